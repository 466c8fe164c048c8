"""Progress: where a group of deliveries is, and whether it may still be taken from its thread.

A call to the disk that hangs cannot be ended: its thread may go on at any later moment. Whoever
watches can see at which mailbox it is, and can withdraw the group as long as nothing of it is
published; the thread has to claim the group before it publishes. One of the two gets it, so that
what was withdrawn may be answered with a 4xx, or delivered by another thread, and comes once.

The thread writes, and the watcher reads without a lock: what it sees may be a step behind.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..failures import MailboxStuckError
from .stuck import StuckMailboxes


class WithdrawnError(Exception):
    """The group was taken from this thread, which publishes nothing of it."""


class Progress:
    """Of one group of deliveries."""

    def __init__(self, stuck: StuckMailboxes | None = None) -> None:
        """Nothing is done yet.

        Args:
            stuck: mailboxes that are not to be entered.
        """
        self._stuck = stuck or StuckMailboxes()
        self._mailbox = ""
        self._copies: Sequence[object] = ()
        self._mailboxes: dict[object, str] = {}
        # pop() is one step for all threads: it succeeds once.
        self._token = [True]
        self._is_claimed = False
        self._is_withdrawn = False
        self.steps = 0
        """How many were begun: a number that stays the same is a step that does not end."""

    # The thread that delivers.

    def enter(self, mailbox: str) -> None:
        """The next step is at this mailbox.

        Raises:
            MailboxStuckError: another delivery hangs there.
            WithdrawnError: there is nothing more to do.
        """
        if self._stuck.holds(mailbox):
            raise MailboxStuckError(f"{mailbox}: an earlier delivery has not come back")
        if self._is_withdrawn:
            raise WithdrawnError
        self._mailbox, self._copies = mailbox, ()
        self.steps += 1

    def made(self, copy: object, mailbox: str) -> None:
        """A copy was begun in this mailbox."""
        self._mailboxes[copy] = mailbox

    def reach(self, copies: Sequence[object]) -> None:
        """The next step is for these copies."""
        self._copies = copies
        self.steps += 1

    def claim(self) -> bool:
        """Whether the group is this thread's, now and for good."""
        self._is_claimed = self._is_claimed or self._take()
        return self._is_claimed

    # Whoever watches it.

    def withdraw(self) -> bool:
        """Whether the group was taken from its thread: nothing of it is, or will be, published."""
        self._is_withdrawn = self._take()
        return self._is_withdrawn

    def mailboxes(self) -> frozenset[str]:
        """Where the thread is."""
        return frozenset(map(self._mailboxes.__getitem__, self._copies)) or frozenset(
            {self._mailbox}
        )

    def _take(self) -> bool:
        try:
            return self._token.pop()
        except IndexError:
            return False
