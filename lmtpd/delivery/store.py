"""The contract between the delivery agent and a store of mailboxes."""

from __future__ import annotations

from collections.abc import Hashable
from types import TracebackType
from typing import Protocol, Self


class Delivery(Protocol):
    """One copy of one message on its way; leaving it without a commit aborts it."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Abort, unless it was committed."""

    def write(self, data: bytes) -> None:
        """Add octets, where no reader looks."""

    def sync(self) -> None:
        """Make the octets durable; only `commit` is left to do."""

    def commit(self) -> str:
        """Make it visible, and that durable too; the name it has got."""


class MailboxStore(Protocol):
    """Where mailboxes are."""

    def locate(self, mailbox: str) -> Hashable:
        """Equal for two names of one mailbox, so that a message comes there once.

        Raises:
            UnsafeMailboxError: no mailbox can have that name.
        """

    def begin(self, mailbox: str, delivery_id: str) -> Delivery:
        """Open a delivery; the mailbox is made if it is not there."""
