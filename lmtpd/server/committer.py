"""Committer: the thread that delivers, and how sessions wait for it.

All messages that are waiting are delivered together, then all their sessions are woken at once.
While it works the next ones gather: the busier the server, the larger the groups, and a lone
message waits for nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import gevent

from ..delivery.agent import DeliveryAgent, Job, Outcome
from ..delivery.stuck import StuckMailboxes
from ..failures import kept
from ..recipients.process import Report
from .entry import Entry, begun
from .lanes import Group, Lane, Lanes
from .threads import Returns, new_queue, start_thread
from .turns import Turns

MOST_TOGETHER = 200
"""Messages in one group: beyond that the first would wait for the last."""


class Committer:
    """One kind of agent, and its thread."""

    def __init__(
        self,
        new_agent: Callable[[], DeliveryAgent],
        stuck: StuckMailboxes,
        concurrency: int | None,
        patience_s: float,
        report: Report,
    ) -> None:
        """A thread that waits for messages.

        Args:
            new_agent: makes an agent; a further one if a thread hangs.
            stuck: is told of mailboxes that hang.
            concurrency: deliveries to one mailbox at one time.
            patience_s: how long a call to the disk may take.
            report: writes a line of the log.
        """
        self._stuck = stuck
        self._turns = Turns(concurrency, stuck)
        self._entries: set[Entry] = set()
        self._gathered: list[Entry] = []
        self._later = gevent.get_hub().loop.run_callback
        self._waiting = new_queue()
        self._returns = Returns()
        self._lanes = Lanes(new_agent, self._start, self._again, stuck, patience_s, report)

    @property
    def waiting(self) -> int:
        """Messages that were brought and have no outcome yet."""
        return len(self._entries)

    def look(self) -> None:
        """See whether the thread gets on, and who has waited for too long."""
        self._lanes.look()
        if self._stuck.are_there:
            self._turns.let_go()
        for entry in self._entries:
            entry.give_up_if_late()

    def deliver(self, job: Job, end: float) -> tuple[Outcome, ...]:
        """Have a message delivered; the greenlet waits.

        Once it has begun there is no deadline: the thread would go on and publish after we had
        said 451.

        Args:
            job: the message.
            end: monotonic seconds; it has to begin by then.

        Raises:
            HeldUpError: it has not, and will not be delivered.
        """
        mailboxes = {each for one in job.envelope.recipients for each in one.mailboxes}
        self._turns.take(mailboxes, end)
        entry = Entry(job, end)
        self._entries.add(entry)
        try:
            self._gathered.append(entry)
            if len(self._gathered) == 1:
                self._later(self._hand_over)
            return cast("tuple[Outcome, ...]", entry.answer.get())
        finally:
            self._entries.discard(entry)
            self._turns.give(mailboxes)

    def _hand_over(self) -> None:
        """All that sessions have brought in one turn of the event loop wakes the thread once."""
        gathered, self._gathered = self._gathered, []
        self._waiting.put(gathered)

    def _again(self, entries: Sequence[Entry]) -> None:
        """What a thread that hangs had begun; the next one does it."""
        for entry in entries:
            entry.wait_again()
        self._waiting.put([*entries])

    def _start(self, lane: Lane) -> None:
        start_thread(self._work, (lane,))

    def _work(self, lane: Lane) -> None:
        while not lane.is_replaced:
            entries: list[Entry] = self._waiting.get()
            while len(entries) < MOST_TOGETHER and not self._waiting.empty():
                entries += self._waiting.get()
            if entries := begun(entries):
                lane.group = Group(entries, self._stuck)
                self._deliver(lane.group, lane.agent)
        lane.agent.close()

    def _deliver(self, group: Group, agent: DeliveryAgent) -> None:
        settle: list[Callable[[], object]]
        try:
            outcomes = agent.deliver([one.job for one in group.entries], group.progress)
            settle = [
                partial(entry.answer.set, one)
                for entry, one in zip(group.entries, outcomes, strict=True)
            ]
        except Exception as error:  # noqa: BLE001 - each session says what it must, we live on
            settle = [partial(one.answer.set_exception, kept(error)) for one in group.entries]
        if not group.progress.claim():
            settle = [one.job.message.close for one in group.entries]
        self._returns.post([*settle, partial(self._lanes.end, group)])
