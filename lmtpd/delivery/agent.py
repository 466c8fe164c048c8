"""DeliveryAgent: one message to all its recipients (the MDA of RFC 5598), one Outcome each.

It runs on a real thread and touches the disk; it neither logs nor counts nor waits for a lock.
Failures become replies here, not later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from dataclasses import dataclass

from ..failures import reply_for
from ..protocol import replies
from ..protocol.envelope import Envelope, Peer, Recipient
from ..protocol.reply import Reply
from . import trace
from .message import Message
from .store import Delivery, MailboxStore


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recipient's copy."""

    recipient: Recipient
    reply: Reply
    names: tuple[str, ...] = ()
    """The files in new/."""
    cause: BaseException | None = None
    """Why it failed; for the log alone."""
    seconds: float = 0.0


class DeliveryAgent:
    """Hands copies to the store."""

    def __init__(
        self,
        store: MailboxStore,
        host: str,
        quota_exceeded: Reply = replies.MAILBOX_FULL,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """An agent for one store.

        Args:
            store: where the mailboxes are.
            host: our name in Received.
            quota_exceeded: the reply to a mailbox over its quota.
            clock: seconds since the epoch.
        """
        self._store = store
        self._host = host
        self._quota_exceeded = quota_exceeded
        self._clock = clock

    def deliver(self, message: Message, envelope: Envelope, peer: Peer) -> tuple[Outcome, ...]:
        """Deliver to each recipient, in the order of RCPT; never raises.

        A mailbox that several recipients reach gets one copy, the first one's. A list is all or
        nothing as far as the disk allows: its copies become visible only when each of them is
        durable, so that a retry after its 4xx doubles nothing.
        """
        copies = _Copies(self._store, message, envelope, peer, self._host, self._clock())
        return tuple(self._outcome(recipient, copies) for recipient in envelope.recipients)

    def failure(self, recipient: Recipient, error: Exception, seconds: float = 0.0) -> Outcome:
        """The outcome of a copy that could not be made."""
        reply = reply_for(error, self._quota_exceeded).about(recipient.address)
        return Outcome(recipient, reply, (), error, seconds)

    def _outcome(self, recipient: Recipient, copies: _Copies) -> Outcome:
        begun = time.perf_counter()
        try:
            names = copies.deliver(recipient)
        except Exception as error:  # noqa: BLE001 - one recipient's fault is not the others'
            return self.failure(recipient, error, time.perf_counter() - begun)
        said = replies.DELIVERED.saying(f"{replies.DELIVERED.lines[0]}, id {copies.envelope.id}")
        seconds = time.perf_counter() - begun
        return Outcome(recipient, said.about(recipient.address), names, None, seconds)


class _Copies:
    """The copies of one message: which mailboxes have theirs, and how to make another."""

    def __init__(
        self,
        store: MailboxStore,
        message: Message,
        envelope: Envelope,
        peer: Peer,
        host: str,
        when: float,
    ) -> None:
        self.envelope = envelope
        self._store = store
        self._message = message
        self._peer = peer
        self._host = host
        self._when = when
        self._names: dict[Hashable, str] = {}

    def deliver(self, recipient: Recipient) -> tuple[str, ...]:
        """Give each mailbox of the recipient its copy; the names of those files.

        Raises:
            Exception: the first fault; no mailbox has got a copy from this call then, unless the
                fault was in the commit itself.
        """
        places = {self._store.locate(mailbox): mailbox for mailbox in recipient.mailboxes}
        missing = {place: name for place, name in places.items() if place not in self._names}
        with ExitStack() as deliveries:
            prepared = {
                place: deliveries.enter_context(self._prepare(mailbox, recipient))
                for place, mailbox in missing.items()
            }
            for place, delivery in prepared.items():
                self._names[place] = delivery.commit()
        return tuple(self._names[place] for place in places)

    def _prepare(self, mailbox: str, recipient: Recipient) -> Delivery:
        """A copy in tmp/, whole and durable."""
        with ExitStack() as on_failure:
            delivery = on_failure.enter_context(self._store.begin(mailbox, self.envelope.id))
            self._write(delivery, recipient)
            delivery.sync()
            on_failure.pop_all()
        return delivery

    def _write(self, delivery: Delivery, recipient: Recipient) -> None:
        pieces = self._message.pieces()
        header, rest = trace.split_header(next(pieces, b""))
        trace.check_hops(header)
        trace.check_delivered_to(header, recipient)
        fields = trace.trace_fields(
            self.envelope, recipient, self._peer, self._host, self._when
        ).replace(b"\n", self._message.newline)
        delivery.write(fields + trace.without_return_path(header) + rest)
        for piece in pieces:
            delivery.write(piece)
