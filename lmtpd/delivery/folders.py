"""The tmp/ and new/ of mailboxes, kept open between deliveries.

Opening a maildir the safe way takes twenty system calls; keeping it open saves them. But a mailbox
may be moved away or made anew by an administrator at any time, and what is delivered into the
descriptor of a directory that has moved is mail in the wrong place. So each use asks once whether
the path still leads to the directory that is open.

One thread owns an OpenMaildirs; between two calls of `trim` nothing is closed.
"""

from __future__ import annotations

import errno
from collections import OrderedDict
from contextlib import ExitStack
from dataclasses import dataclass

from .tree import MaildirTree

MOST_OPEN = 400
"""Maildirs kept open, two descriptors each."""
FEWEST_OPEN = 8


@dataclass(frozen=True, slots=True)
class OpenMaildir:
    """Descriptors of tmp/ and new/, and what tells one new/ from another."""

    tmp: int
    new: int
    identity: tuple[int, int]
    """Device and inode of new/."""
    path: str
    """Of new/, as it was found."""


def open_maildir(tree: MaildirTree, parts: tuple[str, ...]) -> OpenMaildir:
    """Open a maildir; what is missing is made, durably.

    Raises:
        OSError: the disk refuses.
        StoreError: the store is not as it should be.
    """
    with ExitStack() as on_failure, ExitStack() as passing:
        directory = tree.open(parts, create=True)
        passing.callback(tree.release, directory)
        descriptors = []
        for name in ("tmp", "new"):
            descriptors.append(tree.enter(directory, name, create=True))
            on_failure.callback(tree.release, descriptors[-1])
        passing.callback(tree.release, tree.enter(directory, "cur", create=True))
        tree.disk.sync(directory)  # whoever has made the three
        tmp, new = descriptors
        path = str(tree.root.joinpath(*parts, "new"))
        opened = OpenMaildir(tmp, new, tree.disk.identity(new), path)
        on_failure.pop_all()
    return opened


class OpenMaildirs:
    """The maildirs that were used last."""

    def __init__(self, tree: MaildirTree, most: int = MOST_OPEN) -> None:
        self._tree = tree
        self._limit = self._most = most
        self._opened: OrderedDict[tuple[str, ...], OpenMaildir] = OrderedDict()
        self._outdated: list[OpenMaildir] = []

    def get(self, parts: tuple[str, ...]) -> OpenMaildir:
        """The maildir at this place, open.

        Raises:
            OSError, StoreError: as `open_maildir`.
        """
        known = self._opened.get(parts)
        if known and self._is_still_there(known):
            self._opened.move_to_end(parts)
            return known
        self.forget(parts)
        try:
            opened = open_maildir(self._tree, parts)
        except OSError as error:
            self.note(error)
            raise
        self._opened[parts] = opened
        return opened

    def note(self, error: OSError) -> None:
        """Descriptors may be scarce: then `trim` gives half of ours back."""
        if error.errno in (errno.EMFILE, errno.ENFILE):
            self._most = max(FEWEST_OPEN, len(self._opened) // 2)

    def forget(self, parts: tuple[str, ...]) -> None:
        """What was open at this place is not there any more; deliveries may still be using it."""
        known = self._opened.pop(parts, None)
        if known:
            self._outdated.append(known)

    def trim(self) -> None:
        """No delivery is under way: close what is outdated or too much."""
        while len(self._opened) > self._most:
            self._outdated.append(self._opened.popitem(last=False)[1])
        self._most = min(self._limit, self._most + 1)
        while self._outdated:
            maildir = self._outdated.pop()
            self._tree.release(maildir.tmp)
            self._tree.release(maildir.new)

    def close(self) -> None:
        """No delivery is under way, and none will come: close all."""
        self._outdated += self._opened.values()
        self._opened.clear()
        self.trim()

    def _is_still_there(self, known: OpenMaildir) -> bool:
        try:
            return self._tree.disk.identity_at(known.path) == known.identity
        except OSError:
            return False  # opening it anew says what is the matter
