"""ReplyReader: from the octets of a server, in any cut, to replies (RFC 5321 4.2).

The server may be broken or hostile: what it says is bounded, and its text is made safe before
anybody shows it on a terminal or puts it into a bounce.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ..protocol.reply import Reply

LINE_OCTETS = 2048
"""Longest line taken; RFC 5321 4.5.3.1.5 allows 512, and not every server keeps to it."""
LINES = 128
"""Most lines of one reply."""

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*?))?\r?")
_STATUS = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |\Z)")


class ReplyError(ValueError):
    """What the server says is no reply."""


class ReplyReader:
    """Cuts the stream into replies."""

    def __init__(self) -> None:
        self._buffer = b""
        self._code = b""
        self._texts: list[str] = []

    @property
    def has_input(self) -> bool:
        """Octets are there that belong to no reply given so far."""
        return bool(self._buffer or self._texts)

    def feed(self, data: bytes) -> None:
        """Take what was received."""
        self._buffer += data

    def next_reply(self) -> Reply | None:
        """The next whole reply; None before more octets come.

        Raises:
            ReplyError: a line is no line of a reply, or too long, or one too many.
        """
        while b"\n" in self._buffer[:LINE_OCTETS]:
            line, _, self._buffer = self._buffer.partition(b"\n")
            if self._take(line):
                texts, self._texts = self._texts, []
                return _reply(int(self._code), texts)
        if len(self._buffer) >= LINE_OCTETS:
            raise ReplyError("a line is too long")
        return None

    def _take(self, line: bytes) -> bool:
        """One line; True if it is the last of its reply."""
        found = _LINE.fullmatch(line)
        if not found:
            raise ReplyError("a line does not begin with a code")
        # A reply has one code: which of two would be meant is anybody's guess.
        if self._texts and found[1] != self._code:
            raise ReplyError("the lines of one reply have different codes")
        if len(self._texts) == LINES:
            raise ReplyError("a reply has too many lines")
        self._code = found[1]
        self._texts.append((found[3] or b"").decode("utf-8", "replace"))
        return found[2] != b"-"


def _reply(code: int, texts: list[str]) -> Reply:
    """The enhanced status code stands in every line (RFC 2034 4), or it is text as any other."""
    found = [_STATUS.match(text) for text in texts]
    statuses = {match[1] if match else "" for match in found}
    status = statuses.pop() if len(statuses) == 1 else ""
    if status[:1] != str(code)[0]:
        status = ""
    blank = Reply(code, status, ("",))
    lines = (text.removeprefix(status).removeprefix(" ") if status else text for text in texts)
    return replace(blank, lines=tuple(blank.saying(line).lines[0] for line in lines))
