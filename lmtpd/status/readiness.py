"""Readiness: could a message be taken and kept right now? Tried, not guessed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from ..delivery.disk import UNNAMED
from ..delivery.tree import MaildirTree
from ..failures import DeliveryError, told

PATIENCE_SECONDS = 5.0
"""For the disk to take a file."""
HOLDS_SECONDS = 1.0
"""Who asks more often hears the same: each trial is a write to the disk."""


class Readiness:
    """Writes, fsyncs and removes a file in the store, on a thread that may hang."""

    def __init__(
        self,
        tree: MaildirTree,
        reserve: int | None,
        others: Callable[[], Iterator[str]],
    ) -> None:
        """Nothing was tried yet.

        Args:
            tree: the store.
            reserve: octets of the disk that new messages leave free.
            others: what else is wrong, in words.
        """
        self._tree = tree
        self._reserve = reserve
        self._others = others
        self._lock = threading.Lock()
        self._trial: threading.Thread | None = None
        self._begun = 0.0
        self._fault = ""

    def faults(self) -> list[str]:
        """What is wrong, in words; nothing if a message could be taken."""
        with self._lock:
            return [*self._disk(), *self._others()]

    def space(self) -> tuple[float, float]:
        """Octets and files that are free on the disk.

        Raises:
            OSError, StoreError: it cannot be told.
        """
        with self._tree.open_root() as root:
            return self._tree.disk.free(root)

    def _disk(self) -> Iterator[str]:
        trial, now = self._trial, time.monotonic()
        if trial is None or (not trial.is_alive() and now - self._begun > HOLDS_SECONDS):
            self._begun = now
            trial = self._trial = threading.Thread(target=self._try, daemon=True)
            trial.start()
        trial.join(PATIENCE_SECONDS)
        if trial.is_alive():
            yield f"the mail store does not answer for {time.monotonic() - self._begun:.0f} s"
        elif self._fault:
            yield self._fault

    def _try(self) -> None:
        try:
            self._write()
            free, _ = self.space()
        except (OSError, DeliveryError) as error:
            self._fault = f"the mail store cannot be written to: {told(error)}"
        else:
            is_low = self._reserve is not None and free < self._reserve
            self._fault = "the mail store is down to lmtp-disk-reserve" if is_low else ""

    def _write(self) -> None:
        unique = random.getrandbits(64)  # nosec B311 # a name that nobody has, and no secret
        tree, name = self._tree, f"{UNNAMED}{unique:016x}"
        with tree.open_root() as root:
            file = tree.disk.create(name, root)
            try:
                tree.disk.write(file, b"ready?\n")
                tree.disk.sync(file)
            finally:
                tree.release(file)
                with suppress(OSError):
                    tree.disk.unlink(name, root)
