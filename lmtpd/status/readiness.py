"""Readiness: could a message be taken and kept right now? Tried, not guessed."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from ..delivery.disk import UNNAMED
from ..delivery.tree import MaildirTree
from ..failures import DeliveryError, told
from .trial import HangsError, Trial


@dataclass(frozen=True, slots=True)
class Space:
    """What there is on the store's file system; no end of it where that does not say."""

    size: int
    """Octets, those in use too."""
    free: float
    free_files: float


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
        self._writing = Trial(self._try)
        self._looking = Trial(self._look)

    def faults(self) -> list[str]:
        """What is wrong, in words; nothing if a message could be taken."""
        try:
            fault = self._writing.answer()
        except HangsError as error:
            fault = f"the mail store {error}"
        return [*filter(None, [fault]), *self._others()]

    def space(self) -> Space | None:
        """What there is on the disk; None if it does not tell."""
        try:
            return self._looking.answer()
        except HangsError:
            return None

    def _look(self) -> Space | None:
        with suppress(OSError, DeliveryError), self._tree.open_root() as root:
            status = os.fstatvfs(root)
            return Space(status.f_blocks * status.f_frsize, *self._tree.disk.free(root))
        return None

    def _try(self) -> str:
        """What is wrong; empty if nothing is."""
        try:
            self._write()
            with self._tree.open_root() as root:
                free, _ = self._tree.disk.free(root)
        except (OSError, DeliveryError) as error:
            return f"the mail store cannot be written to: {told(error)}"
        is_low = self._reserve is not None and free < self._reserve
        return "the mail store is down to lmtp-disk-reserve" if is_low else ""

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
