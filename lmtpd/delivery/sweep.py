"""Takes away what crashes left in tmp/: nothing there was ever promised to a client."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator

from .disk import UNNAMED

ABANDONED_SECONDS = 36 * 3600
"""The Maildir author's age: by then no delivery can still be writing."""


def sweep(root: str, older_than_s: float = ABANDONED_SECONDS) -> int:
    """Remove abandoned files from every tmp/ that has a new/ and a cur/ beside it.

    Symbolic links are neither followed nor removed, and nothing but regular files goes. What cannot
    be read or removed is left for the next time.

    An empty file in the root that was to have no name goes too: some file systems want one for a
    moment, in which a crash may come.

    Returns:
        How many files were removed.
    """
    oldest = time.time() - older_than_s
    removed = sum(_remove_abandoned(path, oldest) for path in _tmp_directories(root))
    return removed + _remove_abandoned(root, oldest, UNNAMED)


def _tmp_directories(root: str) -> Iterator[str]:
    for path, names, _ in os.walk(root, followlinks=False):
        if {"tmp", "new", "cur"}.issubset(names):
            yield os.path.join(path, "tmp")  # noqa: PTH118
            # Messages are files: their directories hold nothing to look for.
            names[:] = [name for name in names if name not in ("tmp", "new", "cur")]


def _remove_abandoned(path: str, oldest: float, prefix: str = "") -> int:
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        names = os.listdir(directory)  # noqa: PTH208 - by descriptor
        found = [one for one in names if one.startswith(prefix)]
        return sum(remove_abandoned(directory, one, oldest) for one in found)
    except OSError:
        return 0
    finally:
        os.close(directory)


def remove_abandoned(directory: int, name: str, oldest: float) -> bool:
    """Whether a file was there and is gone; nothing else is, and nothing that is younger."""
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode) or status.st_mtime > oldest:
            return False
        os.unlink(name, dir_fd=directory)
    except OSError:
        return False
    return True
