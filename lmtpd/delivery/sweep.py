"""Takes away what crashes left in tmp/: nothing there was ever promised to a client."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator

ABANDONED_SECONDS = 36 * 3600
"""The Maildir author's age: by then no delivery can still be writing."""


def sweep(root: str, older_than_s: float = ABANDONED_SECONDS) -> int:
    """Remove abandoned files from every tmp/ that has a new/ and a cur/ beside it.

    Symbolic links are neither followed nor removed, and nothing but regular files goes. What cannot
    be read or removed is left for the next time.

    Returns:
        How many files were removed.
    """
    oldest = time.time() - older_than_s
    return sum(_remove_abandoned(path, oldest) for path in _tmp_directories(root))


def _tmp_directories(root: str) -> Iterator[str]:
    for path, names, _ in os.walk(root, followlinks=False):
        if {"tmp", "new", "cur"}.issubset(names):
            yield os.path.join(path, "tmp")  # noqa: PTH118
            # Messages are files: their directories hold nothing to look for.
            names[:] = [name for name in names if name not in ("tmp", "new", "cur")]


def _remove_abandoned(path: str, oldest: float) -> int:
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return sum(_remove(directory, name, oldest) for name in os.listdir(directory))  # noqa: PTH208 - by descriptor
    except OSError:
        return 0
    finally:
        os.close(directory)


def _remove(directory: int, name: str, oldest: float) -> bool:
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode) or status.st_mtime > oldest:
            return False
        os.unlink(name, dir_fd=directory)
    except OSError:
        return False
    return True
