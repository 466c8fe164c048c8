"""The text of a message, fed in pieces of any length: where it ends, and what it says.

Only CRLF.CRLF ends it (RFC 5321 4.1.1.4). LF.LF, LF.CRLF, CRLF.LF, CR.CR and their kin are content:
a server that takes one of them for the end runs the rest of the message as commands, which is how
mail was smuggled past filters in 2023.
"""

from __future__ import annotations

_END = b"\r\n.\r\n"
_STUFFED, _PLAIN = b"\r\n.", b"\r\n"


class DataReader:
    """Undoes the dots of DATA (RFC 5321 4.5.2), by searches in C and never line by line."""

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
        end = text.find(_END)
        if end >= 0:
            self.rest = text[end + len(_END) :]
            return self._content(text[: end + len(_PLAIN)])
        held = next((size for size in range(4, 0, -1) if text.endswith(_END[:size])), 0)
        self._held = text[len(text) - held :]
        return self._content(text[: len(text) - held])

    def _content(self, text: bytes) -> bytes:
        """Dots undone, less the CR LF that belongs to the command line."""
        lead = min(self._lead, len(text))
        self._lead -= lead
        return text.replace(_STUFFED, _PLAIN)[lead:]


class NewlineConverter:
    """CR LF becomes LF, as Maildir readers expect; a lone CR or LF stays what it is."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Convert a piece; a CR at its end waits for what follows."""
        text = self._held + data
        self._held = b"\r" if text.endswith(b"\r") else b""
        return text.removesuffix(self._held).replace(b"\r\n", b"\n")

    def finish(self) -> bytes:
        """The CR that nothing followed."""
        held, self._held = self._held, b""
        return held
