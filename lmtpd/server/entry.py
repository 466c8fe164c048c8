"""Entry: a message that waits for its delivery, and the session that waits for what comes of it.

A thread takes it to deliver it; whoever watches may take it to give it up. One of the two gets it,
so that what was given up may be answered with a 4xx: it is never delivered.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TypeAlias

from gevent.event import AsyncResult

from ..delivery.agent import Job, Outcome
from ..failures import HeldUpError

Answer: TypeAlias = "AsyncResult[tuple[Outcome, ...]]"


class Entry:
    """What a Committer has been given, and has not answered."""

    def __init__(self, job: Job, end: float) -> None:
        """An entry that waits.

        Args:
            job: the message.
            end: monotonic seconds; it has to begin by then.
        """
        self.job = job
        self.answer: Answer = AsyncResult()
        self._end = end
        # pop() is one step for all threads: it succeeds once.
        self._token = [True]

    def begin(self) -> bool:
        """Whether it may be delivered, by the thread that asks."""
        try:
            return self._token.pop()
        except IndexError:
            return False

    def wait_again(self) -> None:
        """The thread that has begun it publishes nothing of it."""
        self._token.append(True)

    def give_up_if_late(self) -> None:
        """Answer that it will not be delivered, if it has not begun in time."""
        if time.monotonic() >= self._end and self.begin():
            self.answer.set_exception(HeldUpError("its turn did not come in time"))


def begun(entries: Sequence[Entry]) -> list[Entry]:
    """Those that may be delivered."""
    return [entry for entry in entries if entry.begin()]
