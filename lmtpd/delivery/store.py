"""The contract between the delivery agent and a store of mailboxes."""

from __future__ import annotations

from collections.abc import Hashable
from types import TracebackType
from typing import Protocol, Self


class Delivery(Protocol):
    """One copy of one message on its way; leaving it unpublished aborts it."""

    @property
    def device(self) -> int:
        """The file system that it lies on."""

    @property
    def folder(self) -> Hashable:
        """The directory that it is published in."""

    @property
    def name(self) -> str:
        """What it is called while it is published; else empty."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Abort, unless it was published."""

    def write(self, data: bytes) -> None:
        """Add octets, where no reader looks."""

    def sync(self) -> None:
        """Make the octets durable."""

    def can_sync_filesystem(self) -> bool:
        """Whether `sync_filesystem` can take the place of `sync` and `sync_folder`."""

    def sync_filesystem(self) -> None:
        """Make all that was written to this file system durable, octets and names."""

    def publish(self) -> None:
        """Make it visible."""

    def sync_folder(self) -> None:
        """Make the names in the folder durable."""

    def retract(self) -> None:
        """Take back what was published and cannot be made durable."""


class MailboxStore(Protocol):
    """Where mailboxes are. One thread at a time uses it."""

    def locate(self, mailbox: str) -> Hashable:
        """Equal for two names of one mailbox, so that a message comes there once.

        Raises:
            UnsafeMailboxError: no mailbox can have that name.
        """

    def begin(self, mailbox: str, delivery_id: str) -> Delivery:
        """Open a delivery; the mailbox is made if it is not there."""

    def begin_same(self, mailbox: str, delivery: Delivery) -> Delivery | None:
        """The same octets in another mailbox, under a second name; None if that cannot be."""

    def rest(self) -> None:
        """No delivery is under way: what was kept open for the next ones may be given back."""
