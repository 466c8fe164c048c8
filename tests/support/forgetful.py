"""The server with one of its promises broken on purpose: the tests of durability must notice.

    python -m tests.support.forgetful BREACH serve ...

    no-file-sync      the octets are never fsynced
    no-root-sync      the entries of the store's root are never fsynced
    no-domain-sync    the entries of a domain's directory are never fsynced
    no-maildir-sync   the entries of a maildir are never fsynced
    no-new-sync       the entries of new/ are never fsynced
    reply-first       everything is fsynced, but when the next message is begun
    name-first        the octets are fsynced when the name stands in new/ already

And with the answer to a fault broken, for the tests of faults:

    deaf              a failed fsync is taken for a success
    stubborn          what was made is never taken away

It replaces methods of `lmtpd.delivery.disk.Disk`, the one place of system calls, and nothing else.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lmtpd import cli
from lmtpd.delivery.disk import Disk

_Methods = Mapping[str, Callable[..., Any]]


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _depth(descriptor: int) -> int:
    """Of a directory below the root, which these tests mount; -1 for a file."""
    path = Path(f"/proc/self/fd/{descriptor}").readlink()
    places = (path, *path.parents)
    return -1 if _is_file(descriptor) else next(n for n, at in enumerate(places) if at.is_mount())


def _forgetting(forgets: Callable[[int], bool]) -> _Methods:
    def sync(_: Disk, descriptor: int) -> None:
        if not forgets(descriptor):
            os.fsync(descriptor)

    return {"sync": sync}


def _late() -> _Methods:
    owed: list[int] = []
    create = Disk.create

    def sync_later(_: Disk, descriptor: int) -> None:
        owed.append(os.dup(descriptor))

    def create_after_that(disk: Disk, name: str, parent: int) -> int:
        while owed:
            _sync_and_close(owed.pop(0))
        return create(disk, name, parent)

    return {"sync": sync_later, "create": create_after_that}


def _name_first() -> _Methods:
    owed: dict[int, int] = {}
    lock = threading.Lock()
    rename = Disk.rename

    def sync_directories(_: Disk, descriptor: int) -> None:
        if _is_file(descriptor):
            with lock:
                owed[os.fstat(descriptor).st_ino] = os.dup(descriptor)
        else:
            os.fsync(descriptor)

    def rename_and_sync(disk: Disk, old: str, old_parent: int, new: str, new_parent: int) -> None:
        rename(disk, old, old_parent, new, new_parent)
        with lock:
            _sync_and_close(owed.pop(os.stat(new, dir_fd=new_parent).st_ino))

    return {"sync": sync_directories, "rename": rename_and_sync}


def _deaf() -> _Methods:
    def sync(_: Disk, descriptor: int) -> None:
        with suppress(OSError):
            os.fsync(descriptor)

    return {"sync": sync}


def _stubborn() -> _Methods:
    return {"unlink": lambda *_: None}


def _sync_and_close(descriptor: int) -> None:
    os.fsync(descriptor)
    os.close(descriptor)


BREACHES: Mapping[str, _Methods] = MappingProxyType(
    {
        "no-file-sync": _forgetting(_is_file),
        "no-root-sync": _forgetting(lambda descriptor: _depth(descriptor) == 0),
        "no-domain-sync": _forgetting(lambda descriptor: _depth(descriptor) == 1),
        "no-maildir-sync": _forgetting(lambda descriptor: _depth(descriptor) == 2),
        "no-new-sync": _forgetting(lambda descriptor: _depth(descriptor) == 3),
        "reply-first": _late(),
        "name-first": _name_first(),
    }
)
FAULTY: Mapping[str, _Methods] = MappingProxyType({"deaf": _deaf(), "stubborn": _stubborn()})


def main() -> int:
    """Break the promise, then be the server."""
    for name, method in (BREACHES | FAULTY)[sys.argv[1]].items():
        setattr(Disk, name, method)
    return cli.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
