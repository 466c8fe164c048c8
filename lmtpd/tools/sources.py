"""Sources: what `mailbox import` reads: an mbox file, a Maildir with its sub-folders, a message.

A Maildir may be a hostile user's, and the reader root: no link in it is followed, and what is no
file is passed over.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from pathlib import Path
from typing import BinaryIO

from ..delivery.trace import header_section
from ..protocol.data import NewlineConverter
from . import mbox
from .spot import entered, sub_folders

_READ_OCTETS = 256 * 1024
_INFO = re.compile(r":[12],([A-Za-z]*)\Z")
_DATE = re.compile(rb"^Date:(.*(?:\n[ \t].*)*)", re.I | re.M)


@dataclass(frozen=True, slots=True)
class Item:
    """A message that can be imported."""

    where: str
    """For people."""
    pieces: Callable[[], Iterator[bytes]]
    """Its octets, from the beginning each time."""
    folder: str = ""
    """The sub-folder; empty for the inbox."""
    flags: str | None = None
    """Of Maildir; None for one that is new."""
    when: float | None = None
    """Seconds since the epoch, when it came; None if nobody knows."""


def items(path: Path, quoting: mbox.Quoting) -> Iterator[Item]:
    """All in one source, in an order that is the same each time.

    Raises:
        OSError: it cannot be read.
    """
    if path.is_dir():
        yield from _maildir(path)
        return
    with path.open("rb") as file:
        if not mbox.is_mbox(file):
            if os.pread(file.fileno(), 5, 0) == b"From ":
                # Or a whole mbox would become one message.
                raise OSError(f"{path} begins as an mbox does, but with no date in its first line")
            yield _single(path, file)
            return
        for number, one in enumerate(mbox.messages(file, quoting), 1):
            # The other kind of line's end is the file's own, and not the message's.
            yield Item(f"{path} message {number}", _with_lf(one.pieces), "", one.flags(), one.when)


def _single(path: Path, file: BinaryIO) -> Item:
    def pieces() -> Iterator[bytes]:
        return _pieces(file.fileno())

    found = _DATE.search(header_section(next(pieces(), b"")))
    date, when = found and parsedate_tz(found[1].decode("ascii", "replace")), None
    with suppress(ValueError, OverflowError):
        when = float(mktime_tz(date)) if date else None
    return Item(str(path), _with_lf(pieces), "", None, when)


def _maildir(path: Path) -> Iterator[Item]:
    with entered(str(path.resolve()), -1) as directory:
        if not {"new", "cur"} & set(os.listdir(directory)):  # noqa: PTH208 - by its descriptor
            raise NotADirectoryError(f"{path} is no Maildir: it has neither new/ nor cur/")
        yield from _folder(directory, str(path), "")
        for name in sub_folders(directory):
            with entered(name, directory) as folder:
                yield from _folder(folder, f"{path}/{name}", name)


def _folder(directory: int, path: str, folder: str) -> Iterator[Item]:
    # new/ first: what its reader moves to cur/ meanwhile is met there.
    there = os.listdir(directory)
    for where in (one for one in ("new", "cur") if one in there):
        with entered(where, directory) as messages:
            for name in sorted(os.listdir(messages)):  # noqa: PTH208 - by its descriptor
                try:
                    status = os.stat(name, dir_fd=messages, follow_symlinks=False)
                except FileNotFoundError:
                    if where == "new":
                        continue
                    raise  # it may have new flags, and is not met again
                if not name.startswith(".") and stat.S_ISREG(status.st_mode):
                    yield _message(messages, name, f"{path}/{where}/{name}", folder, status)


def _message(messages: int, name: str, path: str, folder: str, status: os.stat_result) -> Item:
    def pieces() -> Iterator[bytes]:
        with _opened(name, messages) as file:
            yield from _pieces(file)

    found = _INFO.search(name)
    flags = "".join(sorted(set(found[1]))) if found else ""
    is_new = not found and path.endswith(f"/new/{name}")
    return Item(path, pieces, folder, None if is_new else flags, status.st_mtime)


@contextmanager
def _opened(name: str, parent: int) -> Iterator[int]:
    # A FIFO that has been put there would wait for its writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.open(name, flags, dir_fd=parent)
    try:
        yield file
    finally:
        os.close(file)


def _pieces(file: int) -> Iterator[bytes]:
    at = 0
    while piece := os.pread(file, _READ_OCTETS, at):
        at += len(piece)
        yield piece


def _with_lf(pieces: Callable[[], Iterator[bytes]]) -> Callable[[], Iterator[bytes]]:
    """As delivery stores it."""

    def converted() -> Iterator[bytes]:
        converter = NewlineConverter()
        for piece in pieces():
            yield converter.feed(piece)
        yield converter.finish()

    return converted
