"""Stuffer: a message as it lies in a file or comes from a pipe, as the text that follows DATA."""

from __future__ import annotations

from ..protocol.data import NewlineConverter


class Stuffer:
    """LF and CR LF both become CR LF, dots at the beginning of a line are doubled (4.5.2).

    Every LF gets its CR: a server that took LF.LF for the end would read the rest of the message
    as commands. Searches in C, in pieces of any length; a CR without LF stays what it is.
    """

    def __init__(self) -> None:
        self._newlines = NewlineConverter()
        self._is_line_begun = False

    def feed(self, data: bytes) -> bytes:
        """Convert a piece; what is not certain yet comes with the next."""
        return self._convert(self._newlines.feed(data))

    def finish(self) -> bytes:
        """What was held back, and the end of the last line if it had none."""
        rest = self._convert(self._newlines.finish())
        return rest + b"\r\n" if self._is_line_begun else rest

    def _convert(self, text: bytes) -> bytes:
        if not text:
            return b""
        lead = b"." if text.startswith(b".") and not self._is_line_begun else b""
        self._is_line_begun = not text.endswith(b"\n")
        return lead + text.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")
