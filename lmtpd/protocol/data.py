"""The text of a message, fed in pieces of any length: where it ends, and what it says.

Only CRLF.CRLF ends it (RFC 5321 4.1.1.4). LF.LF, LF.CRLF, CRLF.LF, CR.CR and their kin are content:
a server that takes one of them for the end runs the rest of the message as commands, which is how
mail was smuggled past filters in 2023.
"""

from __future__ import annotations

import re

_END = b"\r\n.\r\n"
_STUFFED, _PLAIN = b"\r\n.", b"\r\n"
_MAYBE_END = tuple(_END[:size] for size in range(4, 0, -1))

# For one needle the regular expressions are twice as fast as find() and replace() are.
_LINE_WITH_DOT = re.compile(rb"\r\n\.")
_LONE_CR = re.compile(rb"\r(?!\n)")


class DataReader:
    """Undoes the dots of DATA (RFC 5321 4.5.2), by searches in C and never line by line."""

    __slots__ = (
        "_held",
        "_lead",
        "rest",
    )

    def __init__(self) -> None:
        # The CR LF of the DATA command itself begins the first line: without it neither an empty
        # message would end nor a dot on the first line be seen.
        self._held = _PLAIN
        self._lead = len(_PLAIN)
        self.rest: bytes | None = None
        """None until the end is found; then what came behind it."""

    def feed(self, data: bytes) -> bytes:
        """Take what was received, give the content that is certain by now (maybe none)."""
        text = self._held + data
        dot = _LINE_WITH_DOT.search(text)
        end = text.find(_END, dot.start()) if dot else -1
        if end >= 0:
            self.rest = text[end + len(_END) :]
            text = text[: end + len(_PLAIN)]
        else:
            self._held = next(filter(text.endswith, _MAYBE_END), b"")
            text = text.removesuffix(self._held)
        is_stuffed = dot and dot.end() <= len(text)  # often the only dot is that of the end
        return self._content(text.replace(_STUFFED, _PLAIN) if is_stuffed else text)

    def _content(self, text: bytes) -> bytes:
        """Less the CR LF that belongs to the command line."""
        lead = min(self._lead, len(text))
        self._lead -= lead
        return text[lead:]


class NewlineConverter:
    """CR LF becomes LF, as Maildir readers expect; a lone CR or LF stays what it is."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Convert a piece; a CR at its end waits for what follows."""
        text = self._held + data
        self._held = b"\r" if text.endswith(b"\r") else b""
        text = text.removesuffix(self._held)
        if _LONE_CR.search(text):
            return text.replace(b"\r\n", b"\n")
        return text.replace(b"\r", b"")  # the same, and eight times as fast

    def finish(self) -> bytes:
        """The CR that nothing followed."""
        held, self._held = self._held, b""
        return held
