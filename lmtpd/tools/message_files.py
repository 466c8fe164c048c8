"""Files of messages by the id of their transaction, wherever their reader has moved them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator

from .mailboxes import messages
from .spot import Spot, entered, sub_folders

OUR_ID = re.compile(r"\bid ([0-9a-f]{16})\b")
"""In a 250, in Received and in the log."""

Found = tuple[str, os.stat_result]
"""Where it is below the mailbox, such as `new/NAME` or `.Sent/cur/NAME`, and its status."""


def named(ids: Iterable[str]) -> Callable[[str], bool]:
    """Whether the name of a file has one of these ids."""
    pattern = re.compile(rf"R(?:{'|'.join(sorted(ids))})(?:D[0-9a-f]+)?\.")
    return lambda base: pattern.search(base) is not None


def found(spot: Spot, is_wanted: Callable[[str], bool]) -> list[Found]:
    """Those whose names are wanted, in the inbox and its sub-folders.

    Raises:
        OSError, StoreError: the mailbox cannot be read.
    """
    with spot.tree.opened(spot.place) as directory, spot.rights():
        files = [*_in_folder(directory, "", is_wanted)]
        for name in sub_folders(directory):
            with entered(name, directory) as folder:
                files += _in_folder(folder, f"{name}/", is_wanted)
    return files


def remove(spot: Spot, where: str) -> None:
    """Take one away, no link followed.

    Args:
        spot: the mailbox.
        where: as `found` has it.

    Raises:
        OSError, StoreError: it is not there, or may not be removed.
    """
    *folders, name = where.split("/")
    with spot.tree.opened(spot.place) as mailbox, spot.rights():
        directory = os.dup(mailbox)
        try:
            for one in folders:
                with entered(one, directory) as inner:
                    os.dup2(inner, directory, inheritable=False)
            os.unlink(name, dir_fd=directory)
        finally:
            os.close(directory)


def base(name: str) -> str:
    """What no reader changes: less flags and sizes."""
    return name.partition(":")[0].partition(",")[0]


def _in_folder(directory: int, path: str, is_wanted: Callable[[str], bool]) -> Iterator[Found]:
    for where, entry in messages(directory):
        if is_wanted(base(entry.name)):
            yield f"{path}{where}/{entry.name}", entry.stat(follow_symlinks=False)
