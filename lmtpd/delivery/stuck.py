"""StuckMailboxes: those to which a delivery is under way that does not come back.

Where a mailbox lies on a file system that is mounted below the root, all others on it are held to
be stuck too: otherwise each of them would cost a thread before it is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable


class StuckMailboxes:
    """Names of mailboxes. One thread changes them, any may ask."""

    def __init__(
        self,
        path_of: Callable[[str], str] = lambda _: "",
        mount_of: Callable[[str], str] = lambda _: "",
    ) -> None:
        """None are stuck.

        Args:
            path_of: where a mailbox lies; empty for one that is not below the root.
            mount_of: the last mount point on the way to a path; empty if it is that of the root.
        """
        self._path_of = path_of
        self._mount_of = mount_of
        self._by_delivery: dict[object, frozenset[str]] = {}
        self._names: frozenset[str] = frozenset()
        self._mounts: tuple[str, ...] = ()

    @property
    def are_there(self) -> bool:
        """Whether any is stuck."""
        return bool(self._names)

    def holds(self, mailbox: str) -> bool:
        """Whether this one is stuck."""
        if not self._names:
            return False
        return mailbox in self._names or f"{self._path_of(mailbox)}/".startswith(self._mounts)

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
        self._names = frozenset().union(*self._by_delivery.values())
        found = {self._mount_of(self._path_of(one)) for one in self._names}
        self._mounts = tuple(f"{one}/" for one in found if one)
