"""What stands before each hook: memory, one question for many, patience and its end."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from lmtpd.delivery.layout import Layout
from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import Peer
from lmtpd.recipients.guard import GuardedHook
from lmtpd.recipients.loader import HookError
from lmtpd.recipients.policy import Policy
from lmtpd.recipients.verdict import AnswerError, Kind, RcptContext, Verdict
from tests.support.asking import Asking
from tests.support.waiting import wait_for

ALICE = Address("alice", "example.org")
BOB = Address("bob", "example.org")
YES = Verdict.accept("alice@example.org")
POLICY = Policy(
    deadline_s=10, positive_ttl_s=100, negative_ttl_s=20, stale_s=1000, jitter=0, faults=3
)


class Directory:
    """A hook whose answer the test sets; it counts the queries."""

    def __init__(self, says: Verdict | Exception | None = YES) -> None:
        self.says = says
        self.takes_s = 0.0
        self.queries = 0
        self.counting = threading.Lock()
        self.looks: Callable[[RcptContext], object] = lambda _: None
        self.asking: Asking | None = None

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:  # noqa: ARG002
        with self.counting:
            self.queries += 1
        self.looks(context)
        if self.asking:
            self.asking.clock.now_s += self.takes_s
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class Guarded:
    """A guarded directory with a clock of its own."""

    def __init__(self, directory: Directory, policy: Policy = POLICY) -> None:
        self.asking = Asking()
        self.directory = directory
        directory.asking = self.asking
        check = Layout("{domain}/{local}").parts
        self.hook = GuardedHook("ldap", directory, self.asking.process, check, policy)

    def ask(
        self, address: Address = ALICE, sender: str = "s@example.net", left_s: float = 25.0
    ) -> Verdict | None:
        end = self.asking.clock() + left_s
        return self.hook.verify(address, RcptContext(Peer("192.0.2.1"), sender), end)

    def wait(self, seconds: float) -> None:
        self.asking.clock.now_s += seconds


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def guarded(directory: Directory) -> Guarded:
    return Guarded(directory)


def defer(reason: str) -> Verdict:
    return Verdict.defer(f"hook ldap: {reason}")


class TestMemory:
    def test_an_acceptance_holds_for_its_time(self, guarded: Guarded) -> None:
        assert [guarded.ask() for _ in range(3)] == [YES] * 3
        guarded.wait(99.9)
        assert guarded.ask() == YES
        assert guarded.directory.queries == 1
        guarded.wait(0.1)
        assert guarded.ask() == YES
        assert guarded.directory.queries == 2

    @pytest.mark.parametrize(
        "verdict",
        [None, Verdict.unknown(), Verdict.reject("No"), Verdict.full()],
        ids=str,
    )
    def test_other_answers_hold_for_theirs(self, verdict: Verdict | None) -> None:
        guarded = Guarded(Directory(verdict))
        assert [guarded.ask() for _ in range(3)] == [verdict] * 3
        guarded.wait(19.9)
        assert guarded.ask() == verdict
        assert guarded.directory.queries == 1
        guarded.wait(0.1)
        guarded.directory.says = YES
        assert guarded.ask() == YES

    @pytest.mark.parametrize(
        "verdict", [Verdict.defer("moving"), OSError("down"), "nonsense"], ids=str
    )
    def test_a_deferral_is_never_kept(self, verdict: Verdict | Exception) -> None:
        guarded = Guarded(Directory(verdict))
        for count in (1, 2):
            answer = guarded.ask()
            assert answer
            assert answer.kind is Kind.DEFER
            assert guarded.directory.queries == count
        guarded.directory.says = YES
        assert guarded.ask() == YES

    def test_each_address_has_its_own(self, guarded: Guarded) -> None:
        guarded.ask()
        guarded.directory.says = None
        assert guarded.ask(BOB) is None
        assert guarded.ask() == YES

    def test_the_newest_answer_is_the_only_one(self, guarded: Guarded) -> None:
        """An acceptance from before a refusal must not come back when the back-end goes down."""
        guarded.ask()
        guarded.wait(100)
        guarded.directory.says = Verdict.unknown()
        assert guarded.ask() == Verdict.unknown()
        guarded.wait(20)
        guarded.directory.says = OSError("down")
        assert guarded.ask() == defer("OSError: down")

    def test_a_refusal_from_before_an_acceptance_does_not_come_back(self) -> None:
        policy = replace(POLICY, positive_ttl_s=1, negative_ttl_s=20)
        guarded = Guarded(Directory(None), policy)
        guarded.ask()
        guarded.wait(20)
        guarded.directory.says = YES
        guarded.ask()
        guarded.wait(1)
        assert guarded.ask() == YES

    @pytest.mark.parametrize(
        "looks",
        [lambda context: context.peer, lambda context: context.reverse_path],
        ids=["peer", "reverse-path"],
    )
    def test_an_answer_that_looked_at_the_context_is_for_one_question(
        self, guarded: Guarded, looks: Callable[[RcptContext], object]
    ) -> None:
        guarded.directory.looks = looks
        guarded.ask()
        guarded.directory.says = Verdict.reject("Not from you")
        assert guarded.ask(sender="other@example.net") == Verdict.reject("Not from you")
        assert guarded.directory.queries == 2

    def test_looking_for_one_address_concerns_no_other(self, guarded: Guarded) -> None:
        guarded.directory.looks = lambda context: context.peer
        guarded.ask()
        guarded.directory.looks = lambda _: None
        for _ in range(2):
            guarded.ask(BOB)
        assert guarded.directory.queries == 2

    def test_the_context_reaches_the_hook(self, guarded: Guarded) -> None:
        seen: list[object] = []
        guarded.directory.looks = lambda context: seen.extend((context.peer, context.reverse_path))
        guarded.ask(sender="s@example.net")
        assert seen == [Peer("192.0.2.1"), "s@example.net"]

    def test_a_flood_of_guesses_drives_no_real_address_out(self) -> None:
        guarded = Guarded(Directory(), replace(POLICY, cache_size=2))
        guarded.ask()
        guarded.directory.says = None
        for number in range(100):
            guarded.ask(Address(f"guess{number}", "example.org"))
        guarded.ask()
        assert guarded.directory.queries == 101


class TestForgetting:
    def test_every_answer_is_forgotten_and_counted(self, guarded: Guarded) -> None:
        guarded.ask()
        guarded.directory.says = None
        guarded.ask(BOB)
        assert guarded.hook.flush() == 2
        assert guarded.hook.flush() == 0
        assert guarded.ask() is None
        assert guarded.directory.queries == 3

    def test_a_stale_acceptance_is_an_answer_too(self, guarded: Guarded) -> None:
        guarded.ask()
        guarded.wait(100)
        guarded.hook.flush()
        guarded.directory.says = OSError("down")
        assert guarded.ask() == defer("OSError: down")

    def test_an_answer_on_its_way_is_for_those_who_asked_before(self, guarded: Guarded) -> None:
        later: list[Verdict | None] = []

        def flush(_: RcptContext) -> None:
            guarded.directory.looks = lambda _: None
            guarded.hook.flush()
            guarded.directory.says = YES
            later.append(guarded.ask())
            guarded.directory.says = Verdict.unknown()

        guarded.directory.looks = flush
        assert guarded.ask() == Verdict.unknown()
        assert later == [YES]
        assert guarded.ask() == YES
        assert guarded.directory.queries == 2

    def test_a_back_end_that_is_down_stays_so(self, guarded: Guarded) -> None:
        guarded.directory.says = OSError("down")
        for _ in range(3):
            guarded.ask()
        guarded.hook.flush()
        guarded.ask()
        assert guarded.directory.queries == 3

    def test_what_is_remembered_can_be_read(self, guarded: Guarded) -> None:
        assert guarded.hook.recall(ALICE) == ""
        guarded.ask()
        guarded.directory.says = None
        guarded.ask(BOB)
        guarded.wait(1)
        accepted = "accept alice@example.org (asked 1.0 s ago, holds 99.0 s more)"
        assert guarded.hook.recall(ALICE) == accepted
        assert guarded.hook.recall(BOB) == "no opinion (asked 1.0 s ago, holds 19.0 s more)"

    def test_that_it_is_down_can_be_read(self, guarded: Guarded) -> None:
        guarded.ask()
        guarded.directory.says = OSError("gone")
        for _ in range(3):
            guarded.ask(BOB)
        down = "down for 0.0 s, next try in 1.0 s: OSError: gone"
        assert guarded.hook.recall(BOB) == down
        assert guarded.hook.recall(ALICE).endswith(f"holds 100.0 s more); {down}")
        guarded.wait(2)
        assert "next try in 0.0 s" in guarded.hook.recall(BOB)


class TestPolicy:
    def test_a_hook_may_have_times_of_its_own(self, directory: Directory) -> None:
        directory.negative_ttl_s = 0  # type: ignore[attr-defined]
        directory.deadline_s = 2.5  # type: ignore[attr-defined]
        policy = POLICY.of("ldap", directory)
        assert policy == replace(POLICY, negative_ttl_s=0, deadline_s=2.5)
        guarded = Guarded(directory, policy)
        directory.says = None
        guarded.ask()
        guarded.ask()
        assert directory.queries == 2
        assert guarded.asking.asked == [(2.5, False)] * 2

    @pytest.mark.parametrize("value", ["5", None, -1, float("nan")])
    def test_what_is_no_time_is_named(self, directory: Directory, value: object) -> None:
        directory.positive_ttl_s = value  # type: ignore[attr-defined]
        with pytest.raises(HookError, match=r"^hook ldap: positive_ttl_s = .* seconds$"):
            POLICY.of("ldap", directory)


class Killed(BaseException):
    """Stands for gevent's GreenletExit."""


class Busy(threading.Event):
    """An event that knows how many wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.waiting += 1
        return super().wait(timeout)


class TestSingleFlight:
    """Real threads ask; the first is in the hook until all others wait for it."""

    PROBES = 50

    def ask_at_once(self, guarded: Guarded, left_s: float = 25.0) -> list[Verdict | None]:
        """What each of many hears who ask while the first question is on its way."""
        events: list[Busy] = []

        def new_event() -> Busy:
            events.append(Busy())
            return events[-1]

        guarded.hook._process = replace(guarded.asking.process, new_event=new_event)
        answers: list[Verdict | None] = []
        others = [
            threading.Thread(target=lambda: answers.append(guarded.ask(left_s=left_s)), daemon=True)
            for _ in range(self.PROBES)
        ]
        looks = guarded.directory.looks

        def let_the_others_come(context: RcptContext) -> None:
            guarded.directory.looks = looks
            for thread in others:
                thread.start()
            wait_for(lambda: events[0].waiting == self.PROBES, 10.0, "all to wait for the first")
            if not left_s:
                wait_for(lambda: len(answers) == self.PROBES, 10.0, "their time to be over")
            looks(context)

        guarded.directory.looks = let_the_others_come
        with suppress(Killed):
            answers.append(guarded.ask())
        for thread in others:
            thread.join(10.0)
        return answers

    @pytest.mark.parametrize("verdict", [YES, None, Verdict.reject("No")], ids=str)
    def test_many_probes_make_one_query(self, verdict: Verdict | None) -> None:
        guarded = Guarded(Directory(verdict))
        assert self.ask_at_once(guarded) == [verdict] * (self.PROBES + 1)
        assert guarded.directory.queries == 1

    def test_they_share_a_fault_too(self) -> None:
        guarded = Guarded(Directory(OSError("down")))
        assert self.ask_at_once(guarded) == [defer("OSError: down")] * (self.PROBES + 1)
        assert guarded.directory.queries == 1

    def test_an_answer_for_one_sender_is_not_shared(self, guarded: Guarded) -> None:
        guarded.directory.looks = lambda context: context.reverse_path
        assert self.ask_at_once(guarded) == [YES] * (self.PROBES + 1)
        assert guarded.directory.queries == self.PROBES + 1

    def test_a_fault_that_may_be_due_to_one_sender_is_not_shared(self) -> None:
        guarded = Guarded(Directory(KeyError("sender")), replace(POLICY, faults=1000))
        guarded.directory.looks = lambda context: context.reverse_path
        assert self.ask_at_once(guarded) == [defer("KeyError: 'sender'")] * (self.PROBES + 1)
        assert guarded.directory.queries == self.PROBES + 1

    def test_who_waits_keeps_a_deadline_too(self, guarded: Guarded) -> None:
        *others, first = self.ask_at_once(guarded, left_s=0.0)
        assert first == YES
        assert (
            others
            == [defer("no answer within 0 s to another who asked for the same")] * self.PROBES
        )

    def test_if_the_first_is_thrown_out_the_others_ask_for_themselves(
        self, guarded: Guarded
    ) -> None:
        def die(_: RcptContext) -> None:
            guarded.directory.looks = lambda _: None
            raise Killed

        guarded.directory.looks = die
        assert self.ask_at_once(guarded) == [YES] * self.PROBES
        assert guarded.directory.queries == self.PROBES + 1


def test_a_hook_that_exits_is_a_fault_as_another() -> None:
    guarded = Guarded(Directory())
    guarded.directory.looks = lambda _: sys.exit("no more")
    verdict = guarded.hook.verify(ALICE, RcptContext(Peer("")), guarded.asking.clock() + 25)
    assert verdict == defer("SystemExit: no more")


class TestDown:
    """After so many faults in a row the hook is left alone, and tried again."""

    @pytest.fixture
    def down(self) -> Guarded:
        """A hook that has just been found to be down, and had accepted alice before."""
        guarded = Guarded(Directory())
        guarded.ask()
        guarded.directory.says = ConnectionRefusedError(111, "refused")
        for _ in range(3):
            guarded.ask(BOB)
        guarded.directory.queries = 0
        return guarded

    def test_it_is_not_asked(self, down: Guarded) -> None:
        verdict = down.ask(BOB)
        assert down.directory.queries == 0
        assert verdict == defer(
            "down for 0.0 s, next try in 1.0 s: ConnectionRefusedError: [Errno 111] refused"
        )
        down.wait(0.5)
        verdict = down.ask(BOB)
        assert verdict
        assert "down for 0.5 s, next try in 0.5 s" in verdict.reason

    def test_the_log_says_so_once(self, down: Guarded) -> None:
        for _ in range(4):
            down.wait(5)
            down.ask(BOB)
        cause = "ConnectionRefusedError: [Errno 111] refused"
        assert down.asking.lines == [("hook-down", {"hook": "ldap", "cause": cause})]

    def test_it_is_tried_again(self, down: Guarded) -> None:
        down.wait(1)
        down.ask(BOB)
        assert down.directory.queries == 1
        down.wait(1)
        down.ask(BOB)
        assert down.directory.queries == 1
        down.directory.says = Verdict.unknown()
        down.wait(1)
        assert down.ask(BOB) == Verdict.unknown()
        assert down.asking.events == ["hook-down", "hook-up"]
        assert down.ask(Address("carol", "example.org")) == Verdict.unknown()
        assert down.directory.queries == 3

    def test_one_question_at_a_time_tries(self, down: Guarded) -> None:
        down.wait(1)
        heard: list[Verdict | None] = []
        down.directory.looks = lambda _: heard.append(down.ask(Address("carol", "example.org")))
        down.ask(BOB)
        assert down.directory.queries == 1
        assert [str(verdict)[:27] for verdict in heard] == ["defer (hook ldap: down for "]

    def test_who_was_accepted_and_holds_still_is_accepted(self, down: Guarded) -> None:
        assert down.ask() == YES

    def test_a_stale_acceptance_is_used_and_told(self, down: Guarded) -> None:
        down.wait(100)
        down.ask(BOB)  # the trial, which fails
        verdict = down.ask()
        assert verdict
        assert (verdict.kind, verdict.mailboxes) == (Kind.ACCEPT, YES.mailboxes)
        assert "what it said 100 s ago still holds" in verdict.reason
        event, fields = down.asking.lines[-1]
        assert event == "stale-answer"
        assert (fields["hook"], fields["recipient"], fields["age"]) == ("ldap", ALICE, 100.0)
        assert str(fields["cause"]).startswith("down for 100.0 s")

    def test_a_stale_acceptance_is_used_by_the_trial_too(self, down: Guarded) -> None:
        down.wait(100)
        verdict = down.ask()
        assert down.directory.queries == 1
        assert verdict
        assert verdict.is_accepted
        assert "ConnectionRefusedError" in verdict.reason

    def test_a_very_old_one_is_not(self, down: Guarded) -> None:
        down.wait(1100)
        verdict = down.ask()
        assert verdict
        assert verdict.kind is Kind.DEFER

    def test_none_is_if_the_administrator_says_so(self) -> None:
        guarded = Guarded(Directory(), replace(POLICY, stale_s=0))
        guarded.ask()
        guarded.wait(100)
        guarded.directory.says = OSError("down")
        assert guarded.ask() == defer("OSError: down")

    def test_late_answers_count(self) -> None:
        guarded = Guarded(Directory())
        guarded.directory.takes_s = 10.5
        assert [guarded.ask() for _ in range(3)] == [defer("no answer within 10 s")] * 3
        guarded.ask()
        assert guarded.directory.queries == 3

    def test_any_answer_ends_the_row(self) -> None:
        """An opinion on one address says nothing of the back-end but that it answers."""
        guarded = Guarded(Directory())
        for _ in range(4):
            guarded.directory.says = OSError("down")
            guarded.ask()
            guarded.ask()
            guarded.directory.says = Verdict.defer("this one moves house")
            guarded.ask()
        assert guarded.directory.queries == 12

    NONSENSE = (Verdict.accept("../x@example.org"), Verdict.accept("x"), "yes", AnswerError("?"))

    @pytest.mark.parametrize("nonsense", NONSENSE, ids=str)
    def test_nonsense_is_no_fault_of_the_back_end(self, nonsense: Verdict) -> None:
        """Else a stranger who asks for `../x` would have everybody deferred."""
        guarded = Guarded(Directory(nonsense))
        for _ in range(9):
            verdict = guarded.ask(BOB)
            assert verdict
            assert verdict.kind is Kind.DEFER
            assert verdict.reason.startswith("hook ldap: AnswerError: ")
        assert guarded.directory.queries == 9
        assert guarded.asking.events == []
        guarded.directory.says = YES
        assert guarded.ask() == YES

    @pytest.mark.parametrize("nonsense", NONSENSE, ids=str)
    def test_whose_address_gets_nonsense_is_accepted_still(self, nonsense: Verdict) -> None:
        guarded = Guarded(Directory())
        guarded.ask()
        guarded.wait(100)
        guarded.directory.says = nonsense
        verdict = guarded.ask()
        assert verdict
        assert (verdict.kind, verdict.mailboxes) == (Kind.ACCEPT, YES.mailboxes)
        assert guarded.asking.events == ["stale-answer"]

    def test_nonsense_shows_that_it_is_up(self, down: Guarded) -> None:
        down.wait(1)
        down.directory.says = AnswerError("?")
        assert down.ask(BOB) == defer("AnswerError: ?")
        assert down.asking.events == ["hook-down", "hook-up"]

    def test_who_has_no_time_left_blames_nobody(self, guarded: Guarded) -> None:
        for _ in range(4):
            assert guarded.ask(left_s=0.0) == defer("no time left")
        assert guarded.ask() == YES
