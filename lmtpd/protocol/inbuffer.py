"""InputBuffer: what was received and not read yet.

What is read is not moved to the front of anything: a peer that sends a thousand commands in one
segment would have the rest copied a thousand times.
"""

from __future__ import annotations


class InputBuffer:
    """Octets in at the end, lines and pieces out at the front."""

    __slots__ = (
        "_begin",
        "_data",
    )

    def __init__(self) -> None:
        self._data = b""
        self._begin = 0

    def __len__(self) -> int:
        """Octets that are not read yet."""
        return len(self._data) - self._begin

    def add(self, data: bytes) -> None:
        """Append what was received; a large piece that comes to an empty buffer is not copied."""
        self._data = self._data[self._begin :] + data
        self._begin = 0

    def line(self) -> bytes | None:
        """Take the first line, its LF included; None if it is not whole."""
        end = self._data.find(b"\n", self._begin) + 1
        if end:
            return self._cut(end)
        self.add(b"")  # half a line does not keep those before it while its client is idle
        return None

    def take(self, most: int | None = None) -> bytes:
        """Take all, or the first `most` octets."""
        return self._cut(len(self._data) if most is None else self._begin + most)

    def _cut(self, end: int) -> bytes:
        piece = self._data[self._begin : end]
        self._begin = end
        if end >= len(self._data):
            self._data, self._begin = b"", 0  # a large piece is not kept for its last line
        return piece
