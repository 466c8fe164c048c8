"""Breaker: whether a back-end may be asked just now.

    closed      every question goes through; so many faults in a row open it
    open        none does, for a pause that doubles from trial to trial, up to a bound
    half-open   the pause is over: one question goes through. An answer closes, a fault opens again

A trial that never comes back (its connection was cut) blocks nobody: it is a lease, and after it
the next question is a trial.
"""

from __future__ import annotations

from typing import NewType

Ticket = NewType("Ticket", int)
"""Says to which state of the breaker a question belonged when it was let through."""

FIRST_PAUSE_S = 1.0


class Breaker:
    """The state of one back-end, by the caller's clock."""

    def __init__(self, faults: int, longest_pause_s: float, trial_s: float) -> None:
        """A closed breaker.

        Args:
            faults: this many in a row open it.
            longest_pause_s: a back-end that is mended is noticed after so long at the latest.
            trial_s: no question takes longer.
        """
        self._most_faults = faults
        self._longest_pause_s = longest_pause_s
        self._trial_s = trial_s
        self._faults = 0
        self._pause_s = 0.0
        self._state = 0
        self.cause = ""
        """The fault that was last seen."""
        self.since = 0.0
        """When it opened."""
        self.next_trial = 0.0
        """When it will be half-open."""

    @property
    def is_open(self) -> bool:
        """The back-end is known to be down."""
        return self._pause_s > 0

    def admit(self, now: float) -> Ticket | None:
        """A ticket for one question; None while there shall be none."""
        if self.is_open:
            if now < self.next_trial:
                return None
            self.next_trial = now + self._trial_s
            self._state += 1
        return Ticket(self._state)

    def answered(self, ticket: Ticket) -> bool:
        """The back-end gave an answer; whether that closed the breaker."""
        if ticket != self._state:
            return False  # asked before it opened: says nothing of how things are now
        was_open = self.is_open
        self._faults, self._pause_s = 0, 0.0
        return was_open

    def failed(self, ticket: Ticket, now: float, cause: str) -> bool:
        """The back-end gave none; whether that opened the breaker, which was closed."""
        if ticket != self._state:
            return False  # one of many that were on their way: not a new misfortune
        self.cause = cause
        self._faults += 1
        if self._faults < self._most_faults:
            return False
        is_first = not self.is_open
        if is_first:
            self.since = now
        self._pause_s = min(max(self._pause_s * 2, FIRST_PAUSE_S), self._longest_pause_s)
        self.next_trial = now + self._pause_s
        self._state += 1
        return is_first
