"""StuckMailboxes: those to which a delivery is under way that does not come back."""

from __future__ import annotations

from collections.abc import Iterable


class StuckMailboxes:
    """Names of mailboxes. One thread changes them, any may read."""

    def __init__(self) -> None:
        self._by_delivery: dict[object, frozenset[str]] = {}
        self.names: frozenset[str] = frozenset()

    def add(self, delivery: object, mailboxes: Iterable[str]) -> None:
        """These are stuck until `remove` is told of the same delivery."""
        self._by_delivery[delivery] = frozenset(mailboxes)
        self._gather()

    def remove(self, delivery: object) -> frozenset[str]:
        """It has come back; the mailboxes that were stuck by it."""
        mailboxes = self._by_delivery.pop(delivery, frozenset[str]())
        if mailboxes:
            self._gather()
        return mailboxes

    def _gather(self) -> None:
        self.names = frozenset().union(*self._by_delivery.values())
