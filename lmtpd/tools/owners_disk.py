"""OwnersDisk: what root makes belongs to whoever owns the directory that it is made in.

`mailbox add` is run by root as a rule, and the server is not: a mailbox of root's in its store
would answer every message with a 451.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..delivery.disk import Disk
from ..delivery.rights import Ids, Rights


class OwnersDisk(Disk):
    """The operating system, as the owner of each directory makes things there.

    With his rights, not by chown afterwards: he may put something else behind the name meanwhile.
    """

    def __init__(self) -> None:
        """Nothing is made yet."""
        self._rights = Rights()

    def make_directory(self, name: str, parent: int) -> None:
        """Make a directory; one that is there already is as good."""
        with self._as_owner(parent):
            super().make_directory(name, parent)

    def create(self, name: str, parent: int) -> int:
        """Make a file that was not there, readable and writable."""
        with self._as_owner(parent):
            return super().create(name, parent)

    @contextmanager
    def _as_owner(self, directory: int) -> Iterator[None]:
        found = os.fstat(directory)
        if os.geteuid() != 0 or found.st_uid == 0:
            yield
            return
        with self._rights.of(Ids(found.st_uid, found.st_gid, (found.st_gid,))):
            yield
