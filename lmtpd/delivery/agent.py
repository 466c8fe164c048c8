"""DeliveryAgent: messages to all their recipients (the MDA of RFC 5598), one Outcome each.

Messages that are ready at the same time are delivered together, since what makes one durable makes
the others durable too.

It runs on a real thread and touches the disk; it neither logs nor counts nor waits for a lock.
Failures become replies here, not later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from ..failures import reply_for
from ..protocol import replies
from ..protocol.envelope import Envelope, Peer, Recipient
from ..protocol.reply import Reply
from . import trace
from .commit import Failures, GroupCommit
from .message import Message
from .store import Delivery, MailboxStore


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


@dataclass(slots=True)
class _Attempt:
    """One recipient's copies, and what became of them."""

    recipient: Recipient
    deliveries: tuple[Delivery, ...] = ()
    error: Exception | None = None


class DeliveryAgent:
    """Hands copies to the store. One thread at a time uses it."""

    def __init__(
        self,
        store: MailboxStore,
        commit: GroupCommit,
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
            host: our name in Received.
            quota_exceeded: the reply to a mailbox over its quota.
            clock: seconds since the epoch.
            has_delivered_to: each copy names its recipient; else all copies are the same.
        """
        self._store = store
        self._commit = commit
        self._host = host
        self._quota_exceeded = quota_exceeded
        self._clock = clock
        self._has_delivered_to = has_delivered_to

    def deliver(self, jobs: Sequence[Job]) -> list[tuple[Outcome, ...]]:
        """Deliver messages together; for each, the outcomes in the order of RCPT.

        A mailbox that several recipients of a message reach gets one copy, the first one's. A list
        is all or nothing as far as the disk allows: its copies become visible only when each of
        them is durable, so that a retry after its 4xx doubles nothing.
        """
        begun = time.perf_counter()
        with ExitStack() as opened:
            attempts = [self._attempts(job, opened) for job in jobs]
            self._make_durable([one for each in attempts for one in each])
        self._store.rest()
        seconds = time.perf_counter() - begun
        return [
            tuple(self._outcome(job, attempt, seconds) for attempt in each)
            for job, each in zip(jobs, attempts, strict=True)
        ]

    def failure(self, recipient: Recipient, error: Exception, seconds: float = 0.0) -> Outcome:
        """The outcome of a copy that could not be made."""
        reply = reply_for(error, self._quota_exceeded).about(recipient.address)
        return Outcome(recipient, reply, (), error, seconds)

    def _attempts(self, job: Job, opened: ExitStack) -> list[_Attempt]:
        copies = _Copies(self._store, job, self._host, self._clock(), self._has_delivered_to)
        return [copies.attempt(recipient, opened) for recipient in job.envelope.recipients]

    def _make_durable(self, attempts: Sequence[_Attempt]) -> None:
        batches = self._commit.batches(one for each in attempts for one in each.deliveries)
        for batch in batches:
            _note(attempts, batch.sync())
        for batch in batches:
            _note(attempts, batch.publish(_wanted(attempts)))
        wanted = _wanted(attempts)
        for attempt in attempts if any(each.error for each in attempts) else ():
            for delivery in attempt.deliveries:
                if delivery.name and delivery not in wanted:
                    # Another member of the list has failed: the retry shall not double this one.
                    with suppress(OSError):
                        delivery.retract()

    def _outcome(self, job: Job, attempt: _Attempt, seconds: float) -> Outcome:
        recipient = attempt.recipient
        if attempt.error:
            return self.failure(recipient, attempt.error, seconds)
        reply = replies.DELIVERED.saying(f"{replies.DELIVERED.lines[0]}, id {job.envelope.id}")
        names = tuple(delivery.name for delivery in attempt.deliveries)
        return Outcome(recipient, reply.about(recipient.address), names, None, seconds)


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
        self, store: MailboxStore, job: Job, host: str, when: float, has_delivered_to: bool
    ) -> None:
        self._store = store
        self._job = job
        self._host = host
        self._when = when
        self._has_delivered_to = has_delivered_to
        self._header = b""
        self._first: bytes | None = None
        self._made: dict[Hashable, Delivery] = {}

    def attempt(self, recipient: Recipient, opened: ExitStack) -> _Attempt:
        """A copy in tmp/ for each of the recipient's mailboxes that has none yet."""
        try:
            return _Attempt(recipient, self._prepare(recipient, opened))
        except Exception as error:  # noqa: BLE001 - one recipient's fault is not the others'
            return _Attempt(recipient, error=error)

    def _prepare(self, recipient: Recipient, opened: ExitStack) -> tuple[Delivery, ...]:
        places = {self._store.locate(mailbox): mailbox for mailbox in recipient.mailboxes}
        fresh: dict[Hashable, Delivery] = {}
        with ExitStack() as on_failure:
            for place, mailbox in places.items():
                if place not in self._made:
                    copy = self._copy(mailbox, recipient, self._made | fresh)
                    fresh[place] = on_failure.enter_context(copy)
            opened.push(on_failure.pop_all())
        self._made |= fresh
        return tuple(self._made[place] for place in places)

    def _copy(
        self, mailbox: str, recipient: Recipient, made: Mapping[Hashable, Delivery]
    ) -> Delivery:
        pieces = self._job.message.pieces()
        first = next(pieces, b"")
        if self._first is None:  # the same for all recipients, and looked at once
            self._header, rest = trace.split_header(first)
            self._first = trace.without_return_path(self._header) + rest
        trace.check_hops(self._header)
        trace.check_delivered_to(self._header, recipient)
        same = self._same(mailbox, made)
        if same:
            return same
        delivery = self._store.begin(mailbox, self._job.envelope.id)
        with ExitStack() as on_failure:
            on_failure.push(delivery)
            fields = self._fields(recipient)
            delivery.write(fields + self._first)
            for piece in pieces:
                delivery.write(piece)
            on_failure.pop_all()
        return delivery

    def _fields(self, recipient: Recipient) -> bytes:
        named = recipient if self._has_delivered_to else None
        fields = trace.trace_fields(
            self._job.envelope, named, self._job.peer, self._host, self._when
        )
        return fields.replace(b"\n", self._job.message.newline)

    def _same(self, mailbox: str, made: Mapping[Hashable, Delivery]) -> Delivery | None:
        """A second name for a copy that is there already, where all copies are the same."""
        if self._has_delivered_to or not made:
            return None
        return self._store.begin_same(mailbox, next(iter(made.values())))
