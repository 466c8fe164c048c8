"""Takes away what crashes left in tmp/: nothing there was ever promised to a client."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .disk import UNNAMED

ABANDONED_SECONDS = 36 * 3600
"""The Maildir author's age: by then no delivery can still be writing."""

DEEPEST = 50
"""Directories below the root: whoever nests a thousand must not end the sweeping of the others."""


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
    root = os.path.realpath(root)  # a link there is the operator's own
    removed = sum(_sweep_below(root, oldest))
    with suppress(OSError), _opened(root) as directory:
        removed += _remove_all_abandoned(directory, oldest, UNNAMED)
    return removed


def _sweep_below(root: str, oldest: float) -> Iterator[int]:
    """How many went out of each tmp/.

    By descriptor, never by path: whoever can write in one mailbox could put a link in the place of
    a folder meanwhile, and have another's tmp/ swept, or /tmp.
    """
    with suppress(OSError):
        for path, names, _, directory in os.fwalk(root):
            if {"tmp", "new", "cur"}.issubset(names):
                with suppress(OSError), _opened("tmp", directory) as tmp:
                    yield _remove_all_abandoned(tmp, oldest)
                # Messages are files: their directories hold nothing to look for.
                names[:] = [name for name in names if name not in ("tmp", "new", "cur")]
            if path.removeprefix(root).count("/") >= DEEPEST:
                names.clear()


@contextmanager
def _opened(path: str, parent: int | None = None) -> Iterator[int]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    directory = os.open(path, flags, dir_fd=parent)
    try:
        yield directory
    finally:
        os.close(directory)


def _remove_all_abandoned(directory: int, oldest: float, prefix: str = "") -> int:
    names = os.listdir(directory)
    return sum(remove_abandoned(directory, one, oldest) for one in names if one.startswith(prefix))


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
