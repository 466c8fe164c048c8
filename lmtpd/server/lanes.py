"""Lanes: the thread that delivers, and the one that takes its place when a call to the disk hangs.

Such a call cannot be ended, and whoever makes it is lost until it returns. So a lane whose step has
not ended for too long is replaced: the mailbox where it hangs is stuck, and refused at once; what
has not begun yet goes to the new lane, and so does what the old one had begun, if nothing of it is
published (lmtpd.delivery.progress). Otherwise its clients go on waiting, as their reply is owed.
When the call returns, the old lane ends.

All of this is the event loop's, but for `Lane.group`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..delivery.agent import DeliveryAgent
from ..delivery.progress import Progress
from ..delivery.stuck import StuckMailboxes
from ..recipients.process import Report
from .entry import Entry

MOST_LOST = 8
"""Lanes that hang; each keeps the mailboxes open that it had. After that mail waits."""
_TOLD = 10
"""Mailboxes that a line of the log names."""


class Group:
    """Messages that are delivered together."""

    def __init__(self, entries: Sequence[Entry], stuck: StuckMailboxes) -> None:
        self.entries = entries
        self.progress = Progress(stuck)
        self.is_over = False


class Lane:
    """A thread with an agent of its own."""

    def __init__(self, agent: DeliveryAgent) -> None:
        self.agent = agent
        self.is_replaced = False
        """It ends as soon as it can."""
        self.group: Group | None = None
        """What it does, or did last; set by its thread."""


class Lanes:
    """The lane that works, and those that hang."""

    def __init__(
        self,
        new_agent: Callable[[], DeliveryAgent],
        start: Callable[[Lane], object],
        again: Callable[[Sequence[Entry]], object],
        stuck: StuckMailboxes,
        patience_s: float,
        report: Report,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the first lane.

        Args:
            new_agent: makes one for a lane.
            start: gives a lane its thread.
            again: takes what a lane has begun and will not deliver.
            stuck: is told of mailboxes.
            patience_s: how long one step may take.
            report: writes a line of the log.
            clock: monotonic seconds.
        """
        self._new_agent = new_agent
        self._start = start
        self._again = again
        self._stuck = stuck
        self._patience_s = patience_s
        self._report = report
        self._clock = clock
        self._lost = 0
        self._given_back: Group | None = None
        self._seen: tuple[Group | None, int] = None, 0
        self._since = 0.0
        self._begin()

    def look(self) -> None:
        """See whether the lane gets on; to be called several times while patience lasts."""
        group = self._lane.group
        seen = group, group.progress.steps if group else 0
        if seen != self._seen:
            self._seen, self._since = seen, self._clock()
        elif group and not group.is_over:
            seconds = self._clock() - self._since
            if seconds >= self._patience_s:
                if self._lost < MOST_LOST:
                    self._replace(group, seconds)
                if group is not self._given_back:
                    self._give_back(group)

    def end(self, group: Group) -> None:
        """A lane has done with a group, whatever came of it."""
        group.is_over = True
        mailboxes = self._stuck.remove(group)
        if mailboxes:
            self._lost -= 1
            self._report("mailbox-answers", mailbox=_named(mailboxes))

    def _begin(self) -> None:
        self._lane = Lane(self._new_agent())
        self._start(self._lane)

    def _replace(self, group: Group, seconds: float) -> None:
        mailboxes = group.progress.mailboxes()
        self._report("mailbox-stuck", mailbox=_named(mailboxes), seconds=seconds)
        self._stuck.add(group, mailboxes)
        self._lost += 1
        self._lane.is_replaced = True
        self._begin()

    def _give_back(self, group: Group) -> None:
        """What it will not deliver waits again, for a lane or for the end of its time."""
        self._given_back = group
        if group.progress.withdraw():
            for entry in group.entries:
                entry.job.message.keep()
            self._again(group.entries)


def _named(mailboxes: frozenset[str]) -> str:
    names = sorted(mailboxes)
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ",".join(names[:_TOLD]) + more
