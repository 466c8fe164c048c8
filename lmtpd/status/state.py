"""State: all that is known of the server, for those who tell it: metrics, health, the page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from .. import __version__
from ..config import Config
from ..delivery.tree import MaildirTree
from ..failures import DeliveryError
from .history import SLOT_SECONDS
from .readiness import Readiness
from .samples import Samples


class State:
    """What the samples say, and what can be seen from here."""

    def __init__(self, config: Config, tree: MaildirTree, samples: Samples) -> None:
        """Know where to look.

        Args:
            config: the settings.
            tree: the store.
            samples: of the workers.
        """
        self._config = config
        self._readiness = Readiness(tree, config.lmtp_disk_reserve, self._faults)
        self.samples = samples

    @property
    def is_alive(self) -> bool:
        """Whether some worker does its work."""
        return bool(self.samples.alive())

    def not_ready(self) -> list[str]:
        """Why no message could be taken and kept; nothing if one could."""
        return self._readiness.faults()

    def disk(self) -> dict[str, Any] | None:
        """The store's file system; None if it cannot be seen."""
        with suppress(OSError, DeliveryError):
            free, files = self._readiness.space()
            status = os.statvfs(self._config.lmtp_maildir_root)
            return {
                "path": str(self._config.lmtp_maildir_root),
                "size": status.f_blocks * status.f_frsize,
                "free": _finite(free),
                "free_files": _finite(files),
                "reserve": self._config.lmtp_disk_reserve or 0,
            }
        return None

    def certificates(self) -> list[dict[str, Any]]:
        """Those that are in use."""
        alive = self.samples.alive()
        return list(alive[0][1]["certificates"]) if alive else []

    def told(self) -> dict[str, object]:
        """All of it, for the page."""
        samples = self.samples
        faults = self.not_ready()
        return {
            "version": __version__,
            "host": self._config.lmtp_hostname,
            "now": samples.now(),
            "started": samples.started,
            "is_ready": not faults,
            "not_ready": faults,
            "slot_seconds": SLOT_SECONDS,
            **samples.told(),
            "hooks": samples.hooks(),
            "workers": [
                {
                    "index": one["worker"],
                    "pid": one["pid"],
                    "started": one["started"],
                    "seen_seconds_ago": age,
                    "connections": one["connections"],
                    "delivered": one["outcomes"].get("delivered", 0),
                }
                for age, one in samples.alive()
            ],
            "disk": self.disk(),
            "certificates": self.certificates(),
        }

    def _faults(self) -> Iterator[str]:
        alive = self.samples.alive()
        if not alive:
            yield "no worker has told anything of itself lately"
        for hook in self.samples.hooks():
            if not hook["is_up"]:
                since = f"{hook['down_seconds']:.0f} s"
                yield f"hook {hook['name']} is down for {since}: {hook['cause']}"


def _finite(figure: float) -> float:
    """JSON knows no end of numbers."""
    return min(figure, float(2**63))
