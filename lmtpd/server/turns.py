"""Turns: so many deliveries to one mailbox at one time, and the others wait in a row.

So a flood for one mailbox does not fill every group that is delivered together, and those for other
mailboxes do not wait behind it. Who reaches several mailboxes takes a turn at each, in the order of
their names, so that no two wait for one another. Nobody waits for a mailbox that is stuck.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Collection

from gevent.event import Event

from ..delivery.stuck import StuckMailboxes
from ..failures import HeldUpError


class Turns:
    """Who delivers to which mailbox, in this process."""

    def __init__(self, most: int | None, stuck: StuckMailboxes) -> None:
        """With None nobody waits."""
        self._most = math.inf if most is None else most
        self._stuck = stuck
        self._taken: dict[str, int] = {}
        self._waiting: dict[str, deque[Event]] = {}

    def take(self, mailboxes: Collection[str], end: float) -> None:
        """Wait for a turn at each of them; `give` it back.

        Raises:
            HeldUpError: it does not come until `end`, in monotonic seconds.
        """
        taken: list[str] = []
        try:
            for mailbox in sorted(mailboxes):
                self._take(mailbox, end)
                taken.append(mailbox)
        except BaseException:
            self.give(taken)
            raise

    def give(self, mailboxes: Collection[str]) -> None:
        """Done with each of them: the turn is the next one's."""
        for mailbox in mailboxes:
            if mailbox in self._waiting and self._taken[mailbox] <= self._most:
                self._call(mailbox)
            elif self._taken[mailbox] > 1:
                self._taken[mailbox] -= 1
            else:
                del self._taken[mailbox]

    def let_go(self) -> None:
        """Mailboxes are stuck: those who wait for them hear so, one and all."""
        for mailbox in filter(self._stuck.holds, [*self._waiting]):
            while mailbox in self._waiting:
                self._taken[mailbox] += 1
                self._call(mailbox)

    def _take(self, mailbox: str, end: float) -> None:
        taken = self._taken.get(mailbox, 0)
        if taken < self._most or self._stuck.holds(mailbox):
            self._taken[mailbox] = taken + 1
            return
        turn = Event()
        self._waiting.setdefault(mailbox, deque()).append(turn)
        try:
            if not turn.wait(max(0.0, end - time.monotonic())):
                raise HeldUpError(f"{mailbox}: others went first for too long")
        except BaseException:
            self._leave(mailbox, turn)
            raise

    def _call(self, mailbox: str) -> None:
        self._waiting[mailbox].popleft().set()
        self._tidy(mailbox)

    def _leave(self, mailbox: str, turn: Event) -> None:
        """Somebody is thrown out of the row, maybe at the moment when it was called."""
        if turn.is_set():
            self.give([mailbox])
        else:
            self._waiting[mailbox].remove(turn)
            self._tidy(mailbox)

    def _tidy(self, mailbox: str) -> None:
        if not self._waiting[mailbox]:
            del self._waiting[mailbox]
