"""mbox files (RFC 4155 and its relatives): the messages of one, and what was known of each.

A message begins behind a line `From alice@example.org Mon Jan  2 15:04:05 2006`, which is the first
of the file or stands behind an empty one. What began so inside a message was quoted when it was
written: mboxrd puts one `>` before `From `, `>From `, `>>From ` ..., and takes one off again; mboxo
puts it before `From ` alone, and nobody can tell what stood there before.

A file may be larger than memory, and so may a message or a line of it.
"""

from __future__ import annotations

import enum
import os
import re
from calendar import timegm
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate
from typing import BinaryIO

from ..delivery.trace import header_section

PIECE_OCTETS = 256 * 1024

_LONGEST_FROM_LINE = 1024
# Not every line that begins so: a time and a year have to be there, in the order of asctime(3).
_FROM_LINE = re.compile(rb"From .*?(\w{3} +\w{3} +\d{1,2} +\d\d:\d\d(?::\d\d)?\b.*?\b\d{4})\b")
_STATUS = re.compile(rb"^(?:X-)?Status:[ \t]*([A-Za-z]*)", re.I | re.M)
_FLAGS = {b"R": "S", b"A": "R", b"F": "F", b"D": "T", b"T": "D"}
"""Letters of Status and X-Status, and those of Maildir."""
_OLD = b"O"


class Quoting(enum.Enum):
    """What stands before a `From ` that begins a line of a message."""

    MBOXRD = "mboxrd"
    MBOXO = "mboxo"
    NONE = "none"


_QUOTED = {
    Quoting.MBOXRD: re.compile(rb"^>(>*From )", re.M),
    Quoting.MBOXO: re.compile(rb"^>(From )", re.M),
}


@dataclass(frozen=True, slots=True)
class MboxMessage:
    """One message of a file."""

    file: BinaryIO
    begin: int
    end: int
    when: float | None
    """Seconds since the epoch, when it was put there; None if that cannot be read."""
    quoting: Quoting

    def pieces(self) -> Iterator[bytes]:
        """Its octets, unquoted.

        Raises:
            OSError: it cannot be read, or is shorter than it was.
        """
        pattern, rest, is_within_line = _QUOTED.get(self.quoting), b"", False
        for piece in self._raw():
            text = rest + piece
            # Up to the last end of a line; one that does not end goes on as it is.
            cut = text.rfind(b"\n") + 1 or (len(text) if len(text) >= PIECE_OCTETS else 0)
            text, rest = text[:cut], text[cut:]
            yield _unquoted(pattern, text, is_within_line=is_within_line)
            is_within_line = bool(text) and not text.endswith(b"\n")
        yield _unquoted(pattern, rest, is_within_line=is_within_line)

    def flags(self) -> str | None:
        """Of Maildir; None for one that no reader has listed yet."""
        header = header_section(os.pread(self.file.fileno(), self._size(), self.begin))
        letters = b"".join(_STATUS.findall(header))
        known = {_FLAGS[letter] for letter in map(bytes, zip(letters)) if letter in _FLAGS}
        return "".join(sorted(known)) if known or _OLD in letters else None

    def _size(self) -> int:
        return min(self.end - self.begin, PIECE_OCTETS)

    def _raw(self) -> Iterator[bytes]:
        at = self.begin
        while at < self.end:
            piece = os.pread(self.file.fileno(), min(self.end - at, PIECE_OCTETS), at)
            if not piece:
                raise OSError("the file has become shorter")
            at += len(piece)
            yield piece


def is_mbox(file: BinaryIO) -> bool:
    """Whether it begins as one does."""
    return bool(_FROM_LINE.match(os.pread(file.fileno(), _LONGEST_FROM_LINE, 0)))


def messages(file: BinaryIO, quoting: Quoting) -> Iterator[MboxMessage]:
    """The messages of a file, in their order.

    Raises:
        OSError: it cannot be read.
    """
    begin, when, at, blank, is_new_line = -1, None, 0, 0, True
    while line := file.readline(PIECE_OCTETS):
        found = None
        if is_new_line and (blank or begin < 0) and line.startswith(b"From "):
            found = _FROM_LINE.match(line[:_LONGEST_FROM_LINE])
        if found:
            if begin >= 0:
                yield MboxMessage(file, begin, at - blank, when, quoting)
            begin, when = at + len(line), _time(found[1])
        blank = len(line) if is_new_line and line in (b"\n", b"\r\n") else 0
        is_new_line = line.endswith(b"\n")
        at += len(line)
    if begin >= 0:
        yield MboxMessage(file, begin, max(begin, at - blank), when, quoting)


def _unquoted(pattern: re.Pattern[bytes] | None, text: bytes, *, is_within_line: bool) -> bytes:
    if pattern is None or not text:
        return text
    begin = text.find(b"\n") + 1 or len(text) if is_within_line else 0
    return text[:begin] + pattern.sub(rb"\1", text[begin:])


def _time(text: bytes) -> float | None:
    with suppress(ValueError, OverflowError):
        found = parsedate(text.decode("ascii", "replace"))
        return float(timegm(found)) if found else None
    return None
