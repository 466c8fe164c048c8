"""Budget: the octets that all messages of a process together hold in memory.

It is the event loop's alone: what a thread has moved to a file is given back when the session goes
on. So nothing is locked, and nothing is counted twice.
"""

from __future__ import annotations

PIECE_OCTETS = 256 * 1024
"""What one message may hold in memory."""
TIGHT_PIECE_OCTETS = 64 * 1024
"""The same when more than half of the budget is held: those that are running shall finish."""


class Budget:
    """How much is held, and how much may be."""

    def __init__(self, most: int | None = None) -> None:
        """Nothing is held yet; with None there is no end of it."""
        self._most = most
        self.held = 0
        """Octets."""

    def change(self, octets: int) -> None:
        """So many more are held than before, or fewer."""
        self.held += octets

    @property
    def is_spent(self) -> bool:
        """Whether no further message shall begin."""
        return self._most is not None and self.held >= self._most

    @property
    def piece_octets(self) -> int:
        """From how many octets on a message moves them to its file."""
        is_tight = self._most is not None and self.held * 2 > self._most
        return TIGHT_PIECE_OCTETS if is_tight else PIECE_OCTETS
