"""GuardedHook: what stands between the chain and each hook.

An answer is looked for in memory first. Then one question goes to the hook, with a deadline, and
whoever asks for the same address meanwhile waits for that answer: a thousand probes make one query.
Every fault of a hook becomes a deferral here, for a directory that is down must not bounce mail;
one that stays down is left alone for a while, and those that it accepted not long ago are accepted
still, if the administrator wishes. What is remembered can be forgotten at once: no answer to a
question from before that is ever used for one from after it.

One rule says what down is, for all hooks: no answer in time, or one that says that the back-end
cannot answer anybody. Nonsense about an address (AnswerError, or a verdict that delivery cannot
keep) is an answer: its address is deferred like one of a hook that is down, and no other, or a
stranger would have everybody deferred by asking for the one entry that is broken. A query that is
wrong defers them all so, one by one.

A deferral is never kept. An answer that the hook gave after a look at the context (the sender, the
peer) holds for that question alone: it is neither kept nor shared, and no author has to declare it.

All of it belongs to one thread, the event loop's; only the hook itself may be asked on another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from ..failures import told
from ..protocol.address import Address
from .breaker import Breaker, Ticket
from .cache import Cache, Kept
from .policy import Policy
from .process import Event, Process
from .verdict import AnswerError, Kind, RcptContext, RecipientVerifier, Verdict


class _FaultError(Exception):
    """There was no answer; the text says why."""


_Memory: TypeAlias = Cache[Address, Verdict | None]


class _Flight:
    """A question that is on its way, and then its answer."""

    __slots__ = ("is_for_all", "landed", "verdict")

    def __init__(self, landed: Event) -> None:
        self.landed = landed
        self.verdict: Verdict | None = None
        self.is_for_all = False


@dataclass(frozen=True, slots=True)
class Health:
    """How a hook is."""

    name: str
    is_up: bool
    cause: str
    """Why it is not."""
    down_seconds: float
    asked: int
    """Questions that it was asked itself."""
    faults: int
    """Of them, those that it did not answer."""
    hits: int
    """Questions that memory has answered in its place."""
    remembered: int


class GuardedHook:
    """A hook that always answers, in time, and seldom has to be asked."""

    def __init__(
        self,
        name: str,
        hook: RecipientVerifier,
        process: Process,
        check: Callable[[str], object],
        policy: Policy,
    ) -> None:
        """Guard a hook.

        Args:
            name: as it stands in `lmtp-recipient-hooks`.
            hook: anybody's code.
            process: time and waiting.
            check: raises if the store cannot hold a mailbox of that name.
            policy: for this hook.
        """
        self.name = name
        self._hook = hook
        self._process = process
        self._clock = process.clock
        self._check = check
        self._policy = policy
        self._breaker = Breaker(policy.faults, policy.longest_pause_s, policy.deadline_s)
        self._positive: _Memory
        self._negative: _Memory
        self._flights: dict[Address, _Flight]
        self._hits = self._asked = self._faults = 0
        self._forget()

    def _cache(self, ttl_s: float) -> _Memory:
        return Cache(self._policy.cache_size, ttl_s, self._policy.jitter, self._process.random)

    def _forget(self) -> None:
        self._positive = self._cache(self._policy.positive_ttl_s)
        self._negative = self._cache(self._policy.negative_ttl_s)
        self._flights = {}

    def flush(self) -> int:
        """Forget every answer, also those that are on their way; how many there were.

        Who waits for one of these gets it still, for he asked before. Whether the back-end is held
        to be down is no answer, and stays.
        """
        forgotten = len(self._positive) + len(self._negative)
        self._forget()
        return forgotten

    def recall(self, address: Address) -> str:
        """What is remembered, for a person; empty if nothing is."""
        kept, now = self.kept(address), self._clock()
        words = []
        if kept:
            said = str(kept.value) if kept.value else "no opinion"
            ages = f"asked {now - kept.since:.1f} s ago, holds {kept.until - now:.1f} s more"
            words.append(f"{said} ({ages})")
        if self._breaker.is_open:
            words.append(self._down())
        return "; ".join(words)

    def health(self) -> Health:
        """How the hook is, and what it was asked since the start."""
        breaker = self._breaker
        down_s = self._clock() - breaker.since if breaker.is_open else 0.0
        return Health(
            name=self.name,
            is_up=not breaker.is_open,
            cause=breaker.cause if breaker.is_open else "",
            down_seconds=down_s,
            asked=self._asked,
            faults=self._faults,
            hits=self._hits,
            remembered=len(self._positive) + len(self._negative),
        )

    def kept(self, address: Address) -> Kept[Verdict | None] | None:
        """The answer that is in memory and holds still."""
        now = self._clock()
        return self._positive.fresh(address, now) or self._negative.fresh(address, now)

    def verify(self, address: Address, context: RcptContext, end: float) -> Verdict | None:
        """The hook's opinion on an address in its normal form; never raises.

        Args:
            address: the recipient.
            context: the question's own circumstances.
            end: when the chain's time is over, by the clock of the process.
        """
        kept = self.kept(address)
        if kept:
            self._hits += 1
            return kept.value
        flight = self._flights.get(address)
        if flight is None:
            return self._lead(address, context, end)
        seconds = self._seconds_left(end)
        if not flight.landed.wait(seconds):
            return self._defer(f"no answer within {seconds:g} s to another who asked for the same")
        return flight.verdict if flight.is_for_all else self._ask(address, context, end)[0]

    def _lead(self, address: Address, context: RcptContext, end: float) -> Verdict | None:
        flights = self._flights
        flight = flights[address] = _Flight(self._process.new_event())
        try:
            flight.verdict, flight.is_for_all = self._ask(address, context, end)
        finally:  # also if we are thrown out of it: those who wait then ask for themselves
            del flights[address]
            flight.landed.set()
        return flight.verdict

    def _ask(
        self, address: Address, context: RcptContext, end: float
    ) -> tuple[Verdict | None, bool]:
        """The hook's own answer, or what stands for it; and whether it is one for all who ask."""
        seconds = self._seconds_left(end)
        if not seconds:
            return self._defer("no time left"), False
        ticket = self._breaker.admit(self._clock())
        if ticket is None:
            return self._without(address, self._down()), True
        self._asked += 1
        question, memory = context.unread(), (self._positive, self._negative)
        try:
            verdict = self._query(address, question, seconds)
        except _FaultError as fault:
            self._faults += 1
            if self._breaker.failed(ticket, self._clock(), str(fault)):
                self._process.report("hook-down", hook=self.name, cause=str(fault))
            return self._without(address, str(fault)), not question.was_read
        except AnswerError as nonsense:
            self._answered(ticket)
            return self._without(address, told(nonsense)), not question.was_read
        self._answered(ticket)
        if not question.was_read:
            self._keep(address, verdict, *memory)
        return verdict, not question.was_read

    def _answered(self, ticket: Ticket) -> None:
        if self._breaker.answered(ticket):
            self._process.report("hook-up", hook=self.name)

    def _query(self, address: Address, question: RcptContext, seconds: float) -> Verdict | None:
        """What the hook answers.

        Raises:
            _FaultError: nothing.
            AnswerError: nonsense.
        """
        try:
            blocking = bool(getattr(self._hook, "blocking", False))
            answer = self._process.within(
                seconds, blocking, lambda: self._hook.verify(address, question)
            )
        except AnswerError:
            raise
        except TimeoutError as error:
            raise _FaultError(f"no answer within {seconds:g} s") from error
        # Whatever a hook raises must not bounce mail, nor may its sys.exit() leave RCPT unanswered.
        except (Exception, SystemExit) as error:
            raise _FaultError(told(error)) from error
        return self._checked(answer)

    def _seconds_left(self, end: float) -> float:
        return max(0.0, min(self._policy.deadline_s, end - self._clock()))

    def _checked(self, answer: object) -> Verdict | None:
        """A hook may be anybody's code: only a verdict that delivery can keep goes through."""
        try:
            verdict = sound(answer, self._check)
        except Exception as error:  # nonsense may be of any kind
            raise AnswerError(told(error)) from error
        if verdict and verdict.kind is Kind.DEFER:
            return replace(verdict, reason=f"hook {self.name}: {verdict.reason}")
        return verdict

    def _keep(
        self, address: Address, verdict: Verdict | None, positive: _Memory, negative: _Memory
    ) -> None:
        """Keep an answer in the memory of the time when it was asked for, forgotten or not."""
        if verdict and verdict.kind is Kind.DEFER:
            return
        # The newest answer is the only one: an older one of the other kind must not come back.
        is_accepted = verdict is not None and verdict.is_accepted
        cache, other = (positive, negative) if is_accepted else (negative, positive)
        cache.put(address, verdict, self._clock())
        other.discard(address)

    # Where there is no answer, or none that makes sense.

    def _down(self) -> str:
        breaker, now = self._breaker, self._clock()
        return (
            f"down for {now - breaker.since:.1f} s,"
            f" next try in {max(0.0, breaker.next_trial - now):.1f} s: {breaker.cause}"
        )

    def _without(self, address: Address, cause: str) -> Verdict:
        """A stale acceptance, or a deferral."""
        now = self._clock()
        kept = self._positive.stale(address, now, self._policy.stale_s)
        if kept is None or kept.value is None:
            return self._defer(cause)
        age_s = now - kept.since
        self._process.report(
            "stale-answer", hook=self.name, recipient=address, age=age_s, cause=cause
        )
        reason = f"hook {self.name}: {cause}; what it said {age_s:.0f} s ago still holds"
        return replace(kept.value, reason=reason)

    def _defer(self, cause: str) -> Verdict:
        return Verdict.defer(f"hook {self.name}: {cause}")


def sound(answer: object, check: Callable[[str], object]) -> Verdict | None:
    """The answer of a hook, if it is one that lmtpd can act on.

    Args:
        answer: whatever the hook returned.
        check: raises if the store cannot hold a mailbox of that name.

    Raises:
        Exception: it is none; of any kind, for a hook may be anybody's code.
    """
    if answer is None:
        return None
    if not isinstance(answer, Verdict):
        raise TypeError(f"a Verdict or None was due, not {type(answer).__name__}")
    if answer.kind is Kind.ACCEPT and not answer.mailboxes:
        raise ValueError("accepted without a mailbox")
    answer.reply()  # so that what is wrong with it shows here and not in the session
    for mailbox in answer.mailboxes:
        check(mailbox)
    return answer
