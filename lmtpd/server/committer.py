"""Committer: the thread that delivers, and how sessions wait for it.

All messages that are waiting are delivered together, then all their sessions are woken at once.
While it works the next ones gather: the busier the server, the larger the groups, and a lone
message waits for nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias, cast

import gevent
from gevent.event import AsyncResult

from ..delivery.agent import DeliveryAgent, Job, Outcome
from .threads import Returns, new_queue, start_thread

MOST_TOGETHER = 200
"""Messages in one group: beyond that the first would wait for the last."""

_Answer: TypeAlias = "AsyncResult[tuple[Outcome, ...]]"


class Committer:
    """One agent's thread."""

    def __init__(self, agent: DeliveryAgent) -> None:
        self._agent = agent
        self._gathered: list[tuple[Job, _Answer]] = []
        self._later = gevent.get_hub().loop.run_callback
        self._waiting = new_queue()
        self._returns = Returns()
        start_thread(self._work, ())

    def deliver(self, job: Job) -> tuple[Outcome, ...]:
        """Have a message delivered; the greenlet waits, without a deadline.

        There is none because the thread would go on and publish after we had said 451.
        """
        answer: _Answer = AsyncResult()
        self._gathered.append((job, answer))
        if len(self._gathered) == 1:
            self._later(self._hand_over)
        return cast("tuple[Outcome, ...]", answer.get())

    def _hand_over(self) -> None:
        """All that sessions have brought in one turn of the event loop wakes the thread once."""
        gathered, self._gathered = self._gathered, []
        self._waiting.put(gathered)

    def _work(self) -> None:
        while True:
            group: list[tuple[Job, _Answer]] = self._waiting.get()
            while len(group) < MOST_TOGETHER and not self._waiting.empty():
                group += self._waiting.get()
            self._deliver(group)

    def _deliver(self, group: Sequence[tuple[Job, _Answer]]) -> None:
        settle: list[Callable[[], object]]
        try:
            outcomes = self._agent.deliver([job for job, _ in group])
            settle = [
                partial(answer.set, one) for (_, answer), one in zip(group, outcomes, strict=True)
            ]
        except Exception as error:  # noqa: BLE001 - each session says what it must, we live on
            settle = [partial(answer.set_exception, error) for _, answer in group]
        self._returns.post(settle)
