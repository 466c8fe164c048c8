"""Target: where lines go, and what each is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Target(Protocol):
    """A reader of the log, who may be slow or gone. Nothing here waits or raises."""

    def words(self, fields: Mapping[str, object]) -> str:
        """What several entries have in common, put into words once."""

    def entry(self, event: str, common: str, fields: Mapping[str, object]) -> bytes:
        """One thing that has happened, as it will be written.

        Args:
            event: what it is.
            common: of `words`.
            fields: all else.
        """

    def write(self, entries: Sequence[bytes]) -> int:
        """How many of them were taken, from the first on; the others are to come again, first."""

    def forget(self) -> None:
        """What was written in part, another process goes on with."""

    def close(self) -> None:
        """Give back what was opened for it."""
