"""The contract between the delivery agent and a store of mailboxes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol, TypeAlias

from .message import Message

Place: TypeAlias = tuple[str, ...]
"""Where a mailbox lies: the directories from the root down. In front of those below a home stand
its user's number and where it is. Equal for two names of one mailbox."""


class Delivery(Protocol):
    """One copy of one message on its way."""

    @property
    def device(self) -> int:
        """The file system that it lies on."""

    @property
    def folder(self) -> Hashable:
        """The directory that it is published in."""

    @property
    def name(self) -> str:
        """What it is called while it is published; else empty."""

    def write(self, fields: bytes, message: Message) -> None:
        """Put trace fields and content where no reader looks."""

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

    def close(self) -> None:
        """Let go of it: what was not published is aborted; never raises what the disk refuses."""


class MailboxStore(Protocol):
    """Where mailboxes are. One thread at a time uses it."""

    def locate(self, mailbox: str) -> Place:
        """Where it lies, so that a message comes there once.

        Raises:
            UnsafeMailboxError: no mailbox can have that name.
        """

    def names(self, place: Place) -> list[str]:
        """What the copies in a mailbox are called; none if it is not there."""

    def sync_names(self, place: Place) -> None:
        """Make durable what the copies in a mailbox are called."""

    def begin(self, place: Place, label: str) -> Delivery:
        """Open a delivery; the mailbox is made if it is not there. Its name holds the label."""

    def adopt(self, place: Place, label: str, message: Message) -> Delivery | None:
        """A delivery of the file that the message is in already; None if that cannot be."""

    def begin_same(self, place: Place, label: str, delivery: Delivery) -> Delivery | None:
        """The same octets in another mailbox, under a second name; None if that cannot be."""

    def rest(self) -> None:
        """No delivery is under way: what was kept open for the next ones may be given back."""

    def close(self) -> None:
        """No delivery is under way, and none will come."""
