"""Log: gathers what happens in one moment, and keeps a bounded rest for a reader that is slow."""

from __future__ import annotations

import time
from collections.abc import Callable

from .target import Target

MOST_WAITING = 10_000
"""Entries; a reader who does not come back shall not fill the memory."""

LAST_LINES_S = 1.0
_STEP_S = 0.01


class Log:
    """Tells a target what happens; one that is slow or gone never stops the mail."""

    def __init__(self, target: Target) -> None:
        """Nothing is told yet."""
        self._target = target
        self._later: Callable[[Callable[[], object]], object] | None = None
        self._is_due = False
        self._entries: list[bytes] = []
        self._lost = 0

    def gather(self, later: Callable[[Callable[[], object]], object]) -> None:
        """From now on write the lines of one moment together; `later` calls at its end."""
        self._later = later

    def move_to(self, target: Target) -> None:
        """Tell another one from now on; the one before gets what it takes at once."""
        self.flush()
        self._lost += len(self._entries)  # in the other one's form
        self._entries = []
        self._target.close()
        self._target = target

    def forget(self) -> None:
        """In a child, just forked: what is not written yet the parent will write."""
        self._entries, self._lost, self._is_due = [], 0, False
        self._target.forget()

    def words(self, **fields: object) -> str:
        """Words that several lines have in common, made once."""
        return self._target.words(fields)

    def line(self, event: str, common: str = "", /, **fields: object) -> None:
        """Write one line.

        Args:
            event: what has happened.
            common: words that several lines have in common, from `words`.
            fields: the others.
        """
        if len(self._entries) >= MOST_WAITING:
            self._lost += 1
            return
        self._entries.append(self._target.entry(event, common, fields))
        if self._later is None:
            self.flush()
        elif not self._is_due:
            self._is_due = True
            self._later(self.flush)

    def flush(self) -> None:
        """Write what was gathered, as much as the target takes now."""
        self._is_due = False
        taken = self._target.write(self._entries)
        del self._entries[:taken]
        if self._lost and not self._entries:
            self._entries = [self._target.entry("log-lost", "", {"lines": self._lost})]
            self._lost = 0
            del self._entries[: self._target.write(self._entries)]

    def settle(self) -> None:
        """Before this process is gone: a target that is slow gets a moment for the last lines."""
        end = time.monotonic() + LAST_LINES_S
        self.flush()
        while self._entries and time.monotonic() < end:
            time.sleep(_STEP_S)
            self.flush()

    def close(self) -> None:
        """Have done with it."""
        self.settle()
        self._target.close()
