"""DeliveryAgent: messages to all their recipients (the MDA of RFC 5598), one Outcome each.

Messages that are ready at the same time are delivered together, since what makes one durable makes
the others durable too.

It runs on a real thread and touches the disk; it neither logs nor counts nor waits for a lock.
Failures become replies here, not later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..failures import kept, reply_for
from ..protocol import replies
from ..protocol.envelope import Envelope, Peer, Recipient
from ..protocol.reply import Reply
from . import trace
from .commit import Failures, GroupCommit
from .duplicates import Duplicates, key_of
from .message import Message
from .progress import Progress, WithdrawnError
from .store import Delivery, MailboxStore, Place


@dataclass(frozen=True, slots=True)
class Job:
    """A message that is complete, and where it goes."""

    message: Message
    envelope: Envelope
    peer: Peer


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
    key: bytes = b""
    """What is not to be remembered any more when the client has heard the reply."""
    is_repetition: bool = False
    """Some copy was there already, from a delivery of whose reply the client had not heard."""


@dataclass(slots=True)
class _Attempt:
    """One recipient's copies, and what became of them."""

    recipient: Recipient
    deliveries: tuple[Delivery, ...] = ()
    error: Exception | None = None
    key: bytes = b""
    there: tuple[str, ...] = ()
    """Names of copies that need not be made."""


class DeliveryAgent:
    """Hands copies to the store. One thread at a time uses it."""

    def __init__(
        self,
        store: MailboxStore,
        commit: GroupCommit,
        duplicates: Duplicates,
        host: str,
        quota_exceeded: Reply = replies.MAILBOX_FULL,
        clock: Callable[[], float] = time.time,
        *,
        has_delivered_to: bool = True,
    ) -> None:
        """An agent for one store.

        Args:
            store: where the mailboxes are.
            commit: how copies are made durable.
            duplicates: which copies are there already.
            host: our name in Received.
            quota_exceeded: the reply to a mailbox over its quota.
            clock: seconds since the epoch.
            has_delivered_to: each copy names its recipient; else all copies are the same.
        """
        self._store = store
        self._commit = commit
        self._duplicates = duplicates
        self._host = host
        self._quota_exceeded = quota_exceeded
        self._clock = clock
        self._has_delivered_to = has_delivered_to

    def deliver(
        self, jobs: Sequence[Job], progress: Progress | None = None
    ) -> list[tuple[Outcome, ...]]:
        """Deliver messages together; for each, the outcomes in the order of RCPT.

        A mailbox that several recipients of a message reach gets one copy, the first one's. A list
        is all or nothing as far as the disk allows: its copies become visible only when each of
        them is durable, so that a retry after its 4xx doubles nothing.

        Raises:
            WithdrawnError: somebody else delivers them; nothing of them was published.
        """
        begun, progress = time.perf_counter(), progress or Progress()
        copies = [self._copies(job, progress) for job in jobs]
        try:
            attempts = [each.attempts() for each in copies]
            self._make_durable([one for each in attempts for one in each], progress)
        finally:
            for each in copies:
                each.close()
        self._store.rest()
        seconds = time.perf_counter() - begun
        return [
            self._outcomes(job, each, seconds) for job, each in zip(jobs, attempts, strict=True)
        ]

    def lead(self, envelope: Envelope, peer: Peer) -> bytes:
        """The trace fields of the first recipient's copy, for the file of a large message."""
        recipient = envelope.recipients[0] if self._has_delivered_to else None
        return trace.TraceFields(envelope, peer, self._host, self._clock()).of(recipient)

    def failure(self, recipient: Recipient, error: Exception, seconds: float = 0.0) -> Outcome:
        """The outcome of a copy that could not be made."""
        reply = reply_for(error, self._quota_exceeded).about(recipient.address)
        return Outcome(recipient, reply, (), error, seconds)

    def close(self) -> None:
        """Let go of the store; nothing more will be delivered."""
        self._store.close()

    def _copies(self, job: Job, progress: Progress) -> _Copies:
        fields = trace.TraceFields(job.envelope, job.peer, self._host, self._clock())
        return _Copies(self._store, self._duplicates, job, fields, progress, self._has_delivered_to)

    def _make_durable(self, attempts: Sequence[_Attempt], progress: Progress) -> None:
        deliveries = (one for each in attempts for one in each.deliveries)
        batches = self._commit.batches(deliveries, progress.reach)
        for batch in batches:
            _note(attempts, batch.sync())
        if not progress.claim():
            raise WithdrawnError
        for batch in batches:
            _note(attempts, batch.publish(_wanted(attempts)))
        wanted = _wanted(attempts)
        for attempt in attempts if any(each.error for each in attempts) else ():
            for delivery in attempt.deliveries:
                if delivery.name and delivery not in wanted:
                    # Another member of the list has failed: the retry shall not double this one.
                    with suppress(OSError):
                        delivery.retract()

    def _outcomes(
        self, job: Job, attempts: Sequence[_Attempt], seconds: float
    ) -> tuple[Outcome, ...]:
        delivered = replies.DELIVERED.saying(f"{replies.DELIVERED.lines[0]}, id {job.envelope.id}")
        return tuple(self._outcome(attempt, delivered, seconds) for attempt in attempts)

    def _outcome(self, attempt: _Attempt, delivered: Reply, seconds: float) -> Outcome:
        recipient = attempt.recipient
        if attempt.error:
            return self.failure(recipient, attempt.error, seconds)
        names = (*attempt.there, *(delivery.name for delivery in attempt.deliveries))
        reply, is_repetition = delivered.about(recipient.address), bool(attempt.there)
        return Outcome(recipient, reply, names, None, seconds, attempt.key, is_repetition)


def _wanted(attempts: Sequence[_Attempt]) -> set[Delivery]:
    """The copies that somebody needs and that nothing speaks against."""
    return {one for each in attempts if not each.error for one in each.deliveries}


def _note(attempts: Sequence[_Attempt], failures: Failures) -> None:
    """A list is worth what its worst member is worth."""
    for attempt in attempts if failures else ():
        for delivery in attempt.deliveries:
            attempt.error = attempt.error or failures.get(delivery)


class _Copies:
    """The copies of one message: which mailboxes have theirs, and how to make another."""

    def __init__(
        self,
        store: MailboxStore,
        duplicates: Duplicates,
        job: Job,
        fields: trace.TraceFields,
        progress: Progress,
        has_delivered_to: bool,
    ) -> None:
        self._store = store
        self._duplicates = duplicates
        self._digest = job.message.digest() if duplicates.are_found else b""
        self._job = job
        self._fields = fields
        self._progress = progress
        self._has_delivered_to = has_delivered_to
        self._made: dict[Place, Delivery] = {}
        self._there: dict[Place, str] = {}

    def attempts(self) -> list[_Attempt]:
        """For each recipient, a copy in tmp/ for each of its mailboxes that has none yet."""
        return [self._attempt(recipient) for recipient in self._job.envelope.recipients]

    def close(self) -> None:
        """Let go of all of them."""
        for delivery in self._made.values():
            delivery.close()

    def _attempt(self, recipient: Recipient) -> _Attempt:
        had, key = len(self._made), self._key(recipient)
        try:
            places = {self._located(mailbox): mailbox for mailbox in recipient.mailboxes}
            # All are looked for before the key is held to be of this very delivery.
            lacking = [
                place
                for place, mailbox in places.items()
                if not self._has_copy(place, mailbox, key)
            ]
            if key and lacking:
                self._duplicates.add(key)
            for place in lacking:
                self._progress.enter(places[place])
                self._made[place] = self._copy(place, recipient, key)
                self._progress.made(self._made[place], places[place])
            deliveries = tuple(self._made[place] for place in places if place in self._made)
            there = tuple(self._there[place] for place in places if place in self._there)
            return _Attempt(recipient, deliveries, None, key, there)
        except Exception as error:  # noqa: BLE001 - one recipient's fault is not the others'
            while len(self._made) > had:
                self._made.popitem()[1].close()
            return _Attempt(recipient, error=kept(error))

    def _key(self, recipient: Recipient) -> bytes:
        if not self._digest:
            return b""
        return key_of(str(recipient.address), self._job.envelope.reverse_path, self._digest)

    def _located(self, mailbox: str) -> Place:
        self._progress.enter(mailbox)
        return self._store.locate(mailbox)

    def _has_copy(self, place: Place, mailbox: str, key: bytes) -> bool:
        """Whether this message has brought one, or its repetition before."""
        if place in self._made or place in self._there:
            return True
        self._progress.enter(mailbox)
        name = self._duplicates.find(place, key) if key else ""
        if name:
            self._there[place] = name
        return bool(name)

    def _copy(self, place: Place, recipient: Recipient, key: bytes) -> Delivery:
        message, label = self._job.message, self._job.envelope.id
        label += f"D{key.hex()}" if key else ""
        trace.check_hops(message.header)
        trace.check_delivered_to(message.header, recipient)
        there = self._same(place, label) if self._made else self._first(place, recipient, label)
        if there:
            return there
        delivery = self._store.begin(place, label)
        try:
            delivery.write(self._fields.of(recipient if self._has_delivered_to else None), message)
        except BaseException:
            delivery.close()
            raise
        return delivery

    def _first(self, place: Place, recipient: Recipient, label: str) -> Delivery | None:
        """The file of a large message is the first recipient's copy: it begins with its fields."""
        if self._has_delivered_to and recipient is not self._job.envelope.recipients[0]:
            return None
        return self._store.adopt(place, label, self._job.message)

    def _same(self, place: Place, label: str) -> Delivery | None:
        """A second name for a copy that is there already, where all copies are the same."""
        if self._has_delivered_to:
            return None
        return self._store.begin_same(place, label, next(iter(self._made.values())))
