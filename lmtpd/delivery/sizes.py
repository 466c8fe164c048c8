"""Sizes: what a file's name says of its length (Maildir++).

Readers trust it: with `S=` a quota is counted, with `W=` RFC822.SIZE is answered, and no file is
opened for either.
"""

from __future__ import annotations


class Sizes:
    """Octets as stored, and as they are with CR LF where LF stands alone."""

    def __init__(self, data: bytes = b"") -> None:
        self.stored = 0
        self._on_the_wire = 0
        self._last = b""
        if data:
            self.add(data)

    def add(self, data: bytes) -> None:
        """Count what follows."""
        self.stored += len(data)
        # What is left without LF tells how many there were in less time than count() needs.
        self._on_the_wire += 2 * len(data) - len(data.replace(b"\n", b""))
        if b"\r" in data:  # rarely; it costs a tenth of counting pairs
            self._on_the_wire -= data.count(b"\r\n")
        self._on_the_wire -= self._last == b"\r" and data[:1] == b"\n"
        self._last = data[-1:] or self._last

    def before(self, rest: Sizes) -> Sizes:
        """The sizes of lines with `rest` behind them."""
        whole = Sizes()
        whole.stored = self.stored + rest.stored
        whole._on_the_wire = self._on_the_wire + rest._on_the_wire
        return whole

    def __str__(self) -> str:
        """`S=432,W=447`."""
        return f"S={self.stored},W={self._on_the_wire}"
