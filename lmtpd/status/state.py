"""State: all that is known of the server, for those who tell it: metrics, health, the page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from .. import __version__
from ..config import Config
from ..delivery.tree import MaildirTree
from .history import SLOT_SECONDS
from .readiness import Readiness
from .roster import Sample, Standing, Worker, roster
from .samples import Samples
from .troubles import troubles


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
        """The store's file system; None if it does not tell."""
        space = self._readiness.space()
        if space is None:
            return None
        return {
            "path": str(self._config.lmtp_maildir_root),
            "size": space.size,
            "free": _finite(space.free),
            "free_files": _finite(space.free_files),
            "reserve": self._config.lmtp_disk_reserve or 0,
        }

    def certificates(self) -> list[dict[str, Any]]:
        """Those that are in use: of a worker that does not drain, if there is one."""
        alive = self.samples.alive()
        return list(max(alive, key=_start)["certificates"]) if alive else []

    @property
    def workers_wanted(self) -> int:
        """How many there should be."""
        return self._config.lmtp_workers

    def workers(self) -> list[Worker]:
        """Those that are there, and those that should be."""
        samples = self.samples
        return [*roster(self.workers_wanted, samples.heard(), samples.watched_seconds(), _is_there)]

    def told(self) -> dict[str, object]:
        """All of it, for the page."""
        samples = self.samples
        faults = self.not_ready()
        workers = self.workers()
        found = {
            "version": __version__,
            "host": self._config.lmtp_hostname,
            "now": samples.now(),
            "started": samples.started,
            "is_ready": not faults,
            "not_ready": faults,
            "slot_seconds": SLOT_SECONDS,
            **samples.told(),
            "hooks": samples.hooks(),
            "workers_wanted": self.workers_wanted,
            "workers": [_told(worker) for worker in workers],
            "disk": self.disk(),
            "certificates": self.certificates(),
        }
        return {**found, "troubles": [*faults, *troubles(found, workers)]}

    def _faults(self) -> Iterator[str]:
        alive = self.samples.alive()
        if not alive:
            yield "no worker has told anything of itself lately"
        for hook in self.samples.hooks():
            if not hook["is_up"]:
                since = f"{hook['down_seconds']:.0f} s"
                yield f"hook {hook['name']} is down for {since}: {hook['cause']}"


def _told(worker: Worker) -> dict[str, object]:
    sample = worker.sample
    return {
        "index": worker.index,
        "standing": worker.standing,
        "seen_seconds_ago": worker.age_seconds,
        "pid": sample and sample["pid"],
        "started": sample and sample["started"],
        "connections": sample["connections"]
        if sample and worker.standing != Standing.MISSING
        else 0,
        "delivered": sample["outcomes"].get("delivered", 0) if sample else 0,
    }


def _start(sample: Sample) -> float:
    return float(sample["started"])


def _is_there(pid: int) -> bool:
    """A process of another user is there too."""
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


def _finite(figure: float) -> float:
    """JSON knows no end of numbers."""
    return min(figure, float(2**63))
