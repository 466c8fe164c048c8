"""The chain of hooks: whose word counts, for which spelling; no fault ever bounces mail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lmtpd.delivery.layout import Layout
from lmtpd.protocol import replies
from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import Peer
from lmtpd.recipients.chain import AddressRules, VerifierChain
from lmtpd.recipients.fail_open import FailOpen
from lmtpd.recipients.guard import GuardedHook
from lmtpd.recipients.policy import Policy
from lmtpd.recipients.table_file import TableFile
from lmtpd.recipients.verdict import Kind, RcptContext, Verdict
from tests.support.asking import Asking, Clock

CONTEXT = RcptContext(Peer("192.0.2.1"), "sender@example.net")
ALICE = "alice@example.org"


class Knows:
    """A hook with its answers by heart; it keeps what it was asked."""

    def __init__(self, answers: Mapping[str, Verdict | None] | None = None) -> None:
        self.answers = answers or {}
        self.asked: list[str] = []

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:
        assert context.reverse_path == CONTEXT.reverse_path
        self.asked.append(address.mailbox)
        return self.answers.get(address.mailbox)


class Always:
    """A hook that does one thing, whoever is asked for."""

    def __init__(self, does: Callable[[], object]) -> None:
        self.does = does

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:  # noqa: ARG002
        return self.does()  # type: ignore[return-value]


class Chain:
    """A chain over some hooks with a clock of its own."""

    def __init__(
        self,
        *hooks: object,
        rules: AddressRules | None = None,
        fail_open: frozenset[str] = frozenset(),
    ) -> None:
        self.asking = Asking()
        self.clock = self.asking.clock
        parts = Layout("{domain}/{local}").parts
        policy = Policy(positive_ttl_s=0, negative_ttl_s=0)
        self.chain = VerifierChain(
            [
                GuardedHook(f"hook{number}", hook, self.asking.process, parts, policy)  # type: ignore[arg-type]
                for number, hook in enumerate(hooks)
            ],
            rules or AddressRules(),
            25.0,
            self.clock,
            FailOpen(fail_open, parts, self.asking.report) if fail_open else None,
        )

    def verify(self, address: str) -> Verdict:
        local, _, domain = address.rpartition("@")
        return self.chain.verify(Address(local, domain), CONTEXT)


def raising(error: BaseException) -> Callable[[], object]:
    def does() -> object:
        raise error

    return does


def accepted(*mailboxes: str) -> Verdict:
    return Verdict.accept(*mailboxes)


def caught(*mailboxes: str) -> Verdict:
    return Verdict.accept(*mailboxes, catch_all=True)


# Whose word counts.


def test_without_hooks_nobody_is_known() -> None:
    assert Chain().verify(ALICE) == Verdict.unknown()


def test_the_first_opinion_wins() -> None:
    first, second, third = Knows(), Knows({ALICE: accepted("a@x")}), Knows({ALICE: accepted("b@x")})
    assert Chain(first, second, third).verify(ALICE) == accepted("a@x")
    assert (first.asked, second.asked, third.asked) == ([ALICE], [ALICE], [])


@pytest.mark.parametrize(
    "verdict",
    [
        accepted("a@x", "b@x"),
        Verdict.unknown(),
        Verdict.reject("No"),
        Verdict.full(),
        Verdict.unknown("Left in May"),
    ],
    ids=lambda verdict: verdict.kind.name,
)
def test_every_opinion_goes_through_as_it_is(verdict: Verdict) -> None:
    later = Knows({ALICE: accepted("other@x")})
    assert Chain(Knows(), Knows({ALICE: verdict}), later).verify(ALICE) == verdict
    assert later.asked == []


def test_a_hook_that_defers_is_named() -> None:
    chain = Chain(Always(lambda: caught("all@x")), Knows({ALICE: Verdict.defer("moving")}))
    assert chain.verify(ALICE) == Verdict.defer("hook hook1: moving")


def test_the_first_refusal_is_told() -> None:
    hook = Knows({"alice+x@example.org": Verdict.unknown("No list x"), ALICE: Verdict.unknown()})
    assert Chain(hook).verify("alice+x@example.org") == Verdict.unknown("No list x")


def test_nobody_has_an_opinion() -> None:
    verdict = Chain(Knows(), Knows()).verify(ALICE)
    assert verdict == Verdict.unknown()
    assert verdict.reply() == replies.UNKNOWN_RECIPIENT


# Catch-alls.


@pytest.mark.parametrize(
    "verdict",
    [accepted("real@x"), Verdict.reject(), Verdict.full()],
    ids=lambda verdict: verdict.kind.name,
)
def test_a_catch_all_ranks_below_every_later_hook_that_knows_the_address(verdict: Verdict) -> None:
    assert Chain(Always(lambda: caught("all@x")), Knows({ALICE: verdict})).verify(ALICE) == verdict


def test_a_catch_all_holds_if_nobody_knows() -> None:
    chain = Chain(Always(lambda: caught("all@x")), Knows(), Always(lambda: caught("second@x")))
    assert chain.verify(ALICE) == caught("all@x")


def test_a_catch_all_holds_if_a_later_hook_does_not_know_the_address_either() -> None:
    chain = Chain(Always(lambda: caught("all@x")), Always(Verdict.unknown))
    assert chain.verify(ALICE) == caught("all@x")


def test_a_catch_all_of_the_spelling_without_detail_holds_over_unknown() -> None:
    """`alice+news` may be unknown to the first hook, and all of the domain known to the second."""
    chain = Chain(
        Knows({"alice+news@example.org": Verdict.unknown()}), Knows({ALICE: caught("a@x")})
    )
    assert chain.verify("alice+news@example.org") == caught("a@x")


def test_unknown_ends_the_search_for_this_spelling_only() -> None:
    first = Knows({"alice+news@example.org": Verdict.unknown()})
    second = Knows({"alice+news@example.org": accepted("news@x"), ALICE: accepted(ALICE)})
    assert Chain(first, second).verify("alice+news@example.org") == accepted(ALICE)
    assert first.asked == ["alice+news@example.org", ALICE]
    assert second.asked == [ALICE]


def test_unknown_without_detail_is_the_last_word() -> None:
    first, second = Knows({ALICE: Verdict.unknown()}), Knows({ALICE: accepted(ALICE)})
    assert Chain(first, second).verify("alice+news@example.org") == Verdict.unknown()
    assert second.asked == ["alice+news@example.org"]


def test_a_catch_all_ranks_below_the_address_without_its_detail() -> None:
    chain = Chain(Always(lambda: caught("all@x")), Knows({ALICE: accepted(ALICE)}))
    assert chain.verify("alice+news@example.org") == accepted(ALICE)


def table(folder: Path, text: str) -> TableFile:
    path = folder / "table"
    path.write_text(text, "utf-8")
    return TableFile(path, "example.org", AddressRules(), Asking().report)


def test_a_catch_all_of_the_table_and_a_mailbox_of_a_later_hook(tmp_path: Path) -> None:
    hook = table(tmp_path, "@example.org all@example.org")
    chain = Chain(hook, Knows({ALICE: accepted(ALICE)}))
    assert chain.verify(ALICE) == accepted(ALICE)
    assert chain.verify("bob@example.org") == caught("all@example.org")


# Spellings.


@pytest.mark.parametrize(
    ("rules", "local", "asked"),
    [
        (AddressRules(), "alice", ["alice"]),
        (AddressRules(), "ALICE", ["alice"]),
        (AddressRules(), "Alice+News", ["alice+news", "alice"]),
        (AddressRules(), "alice+a+b", ["alice+a+b", "alice"]),
        (AddressRules(), "alice+", ["alice+", "alice"]),
        (AddressRules(), "+alice", ["+alice"]),
        (AddressRules(), "+", ["+"]),
        (AddressRules(), "alice-x", ["alice-x"]),
        (AddressRules(), "JÜRGEN+x", ["jürgen+x", "jürgen"]),
        (AddressRules(delimiters=""), "alice+x", ["alice+x"]),
        (AddressRules(delimiters="-"), "alice+x-y", ["alice+x-y", "alice+x"]),
        (AddressRules(delimiters="+-"), "alice-x+y", ["alice-x+y", "alice"]),
        (AddressRules(delimiters="]^\\-"), "a\\b", ["a\\b", "a"]),
        (AddressRules(delimiters="]^\\-"), "a^b", ["a^b", "a"]),
        (AddressRules(delimiters="]^\\-"), "a]b", ["a]b", "a"]),
        (AddressRules(delimiters="."), "a.b", ["a.b", "a"]),
        (AddressRules(is_case_sensitive=True), "Alice+News", ["Alice+News", "Alice"]),
        (AddressRules(delimiters="", is_case_sensitive=True), "ALICE", ["ALICE"]),
    ],
)
def test_spellings(rules: AddressRules, local: str, asked: list[str]) -> None:
    hook = Knows()
    Chain(hook, rules=rules).verify(f"{local}@example.org")
    assert hook.asked == [f"{name}@example.org" for name in asked]


def test_the_whole_spelling_comes_first_in_all_hooks() -> None:
    first = Knows({ALICE: accepted(ALICE)})
    second = Knows({"alice+news@example.org": accepted("news@example.org")})
    assert Chain(first, second).verify("alice+news@example.org") == accepted("news@example.org")


class Staff:
    """The smallest hook, as lmtpd.recipients.verdict shows it."""

    def __init__(self) -> None:
        self.names = {"alice", "bob"}

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:  # noqa: ARG002
        if address.domain != "example.org":
            return None
        if address.local not in self.names:
            return Verdict.unknown()
        return Verdict.accept(f"{address.local}@example.org")


@pytest.mark.parametrize(
    ("address", "verdict"),
    [
        (ALICE, accepted(ALICE)),
        ("Alice@example.org", accepted(ALICE)),
        ("alice+news@example.org", accepted(ALICE)),
        ("carol@example.org", Verdict.unknown()),
        ("carol+news@example.org", Verdict.unknown()),
        ("alice@example.net", Verdict.unknown()),
    ],
)
def test_the_smallest_hook(address: str, verdict: Verdict) -> None:
    assert Chain(Staff()).verify(address) == verdict


# Faults of hooks.


class UnspeakableError(Exception):
    """An error that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    __str__ = __repr__


class WithoutVerify:
    """No hook at all."""


class OddProperty:
    """A hook that fails before it is asked."""

    @property
    def blocking(self) -> bool:
        raise RuntimeError("not connected")

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:
        raise NotImplementedError


FAULTY: dict[str, object] = {
    "raises": Always(raising(RuntimeError("down"))),
    "raises-os-error": Always(raising(ConnectionRefusedError(111, "refused"))),
    "raises-time-out": Always(raising(TimeoutError("timed out"))),
    "raises-assertion": Always(raising(AssertionError())),
    "raises-stop-iteration": Always(raising(StopIteration())),
    "raises-what-cannot-be-shown": Always(raising(UnspeakableError())),
    "raises-late-what-cannot-be-shown": Always(
        raising(type("T", (UnspeakableError, TimeoutError), {})())
    ),
    "says-true": Always(lambda: True),
    "says-false": Always(lambda: False),
    "says-text": Always(lambda: "alice@example.org"),
    "says-nothing-much": Always(lambda: ""),
    "says-a-class": Always(lambda: Verdict),
    "accepts-nowhere": Always(lambda: Verdict(Kind.ACCEPT)),
    "accepts-up": Always(lambda: accepted("../x@example.org")),
    "accepts-encoded-up": Always(lambda: accepted("a%2fb@example.org")),
    "accepts-no-domain": Always(lambda: accepted("alice")),
    "accepts-one-unsafe-of-two": Always(lambda: accepted(ALICE, "a/b@example.org")),
    "accepts-octets": Always(lambda: accepted(b"alice@example.org")),  # type: ignore[arg-type]
    "accepts-a-number": Always(lambda: accepted(7)),  # type: ignore[arg-type]
    "catches-unsafely": Always(lambda: caught("..@example.org")),
    "rejects-with-octets": Always(lambda: Verdict.reject(b"No")),  # type: ignore[arg-type]
    "rejects-with-a-number": Always(lambda: Verdict.reject(7)),  # type: ignore[arg-type]
    "is-of-no-kind": Always(lambda: Verdict("ACCEPT", (ALICE,))),  # type: ignore[arg-type]
    "has-no-verify": WithoutVerify(),
    "has-an-odd-property": OddProperty(),
}


@pytest.mark.parametrize("hook", FAULTY.values(), ids=FAULTY)
def test_a_faulty_hook_defers(hook: object) -> None:
    later = Knows({ALICE: accepted(ALICE)})
    verdict = Chain(Knows(), hook, later).verify(ALICE)
    assert verdict.kind is Kind.DEFER
    assert verdict.reply() == replies.VERIFICATION_FAILED
    assert "hook1" in verdict.reason
    assert later.asked == []


@pytest.mark.parametrize("hook", FAULTY.values(), ids=FAULTY)
def test_a_faulty_hook_is_not_hidden_by_a_catch_all(hook: object) -> None:
    """Behind the fault may be a real address."""
    verdict = Chain(Always(lambda: caught("all@x")), hook).verify(ALICE)
    assert verdict.kind is Kind.DEFER


def test_a_faulty_hook_behind_one_that_knows_is_not_asked() -> None:
    hook = Always(raising(RuntimeError()))
    assert Chain(Knows({ALICE: accepted(ALICE)}), hook).verify(ALICE) == accepted(ALICE)


def test_the_reason_names_hook_and_fault() -> None:
    reason = Chain(Always(raising(ConnectionRefusedError(111, "refused")))).verify(ALICE).reason
    assert reason == "hook hook0: ConnectionRefusedError: [Errno 111] refused"


@pytest.mark.parametrize(
    ("does", "words"),
    [(lambda: True, "bool"), (lambda: accepted("a/b@x"), "a/b@x"), (list, "list")],
)
def test_the_reason_tells_what_was_wrong(does: Callable[[], object], words: str) -> None:
    assert words in Chain(Always(does)).verify(ALICE).reason


class Interruption(BaseException):
    """Stands for gevent's Timeout and GreenletExit."""


def test_what_is_no_exception_passes() -> None:
    with pytest.raises(Interruption):
        Chain(Always(raising(Interruption()))).verify(ALICE)


# Time.


class Slow(Knows):
    """A hook that takes its time on the chain's clock."""

    def __init__(self, seconds: float, answers: Mapping[str, Verdict | None] | None = None) -> None:
        super().__init__(answers)
        self.seconds = seconds
        self.clock: Clock | None = None

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:
        assert self.clock
        self.clock.now_s += self.seconds
        return super().verify(address, context)


def slow_chain(*hooks: Knows) -> Chain:
    chain = Chain(*hooks)
    for hook in hooks:
        if isinstance(hook, Slow):
            hook.clock = chain.clock
    return chain


def test_a_late_answer_is_no_answer() -> None:
    verdict = slow_chain(Slow(10.5, {ALICE: accepted(ALICE)})).verify(ALICE)
    assert verdict == Verdict.defer("hook hook0: no answer within 10 s")


def test_an_answer_in_time() -> None:
    assert slow_chain(Slow(9.5, {ALICE: accepted(ALICE)})).verify(ALICE) == accepted(ALICE)


def test_all_hooks_share_the_chains_time() -> None:
    hooks = [Slow(9), Slow(9), Slow(9, {ALICE: accepted(ALICE)}), Knows()]
    chain = slow_chain(*hooks)
    assert chain.verify(ALICE) == Verdict.defer("hook hook2: no answer within 7 s")
    assert [seconds for seconds, _ in chain.asking.asked] == [10, 10, 7]
    assert hooks[3].asked == []


@pytest.mark.parametrize("last_s", [7.0, 6.5])
def test_no_time_left(last_s: float) -> None:
    """The hooks before kept their deadlines, and used up the chain's."""
    hooks = [Slow(9), Slow(9), Slow(last_s), Knows({ALICE: accepted(ALICE)})]
    chain = slow_chain(*hooks)
    verdict = chain.verify(ALICE)
    if last_s == 7.0:
        assert verdict == Verdict.defer("hook hook3: no time left")
    else:
        assert verdict == accepted(ALICE)


def test_both_spellings_share_the_chains_time() -> None:
    chain = slow_chain(Slow(9), Slow(9))
    verdict = chain.verify("alice+news@example.org")
    assert verdict.kind is Kind.DEFER
    assert [seconds for seconds, _ in chain.asking.asked] == [10, 10, 7]


def test_the_next_question_has_time_again() -> None:
    chain = slow_chain(Slow(9), Slow(9), Slow(6, {ALICE: accepted(ALICE)}))
    for _ in range(3):
        assert chain.verify(ALICE) == accepted(ALICE)


@pytest.mark.parametrize("blocking", [True, False, None])
def test_a_hook_says_whether_it_blocks(blocking: bool | None) -> None:
    hook = Knows()
    if blocking is not None:
        hook.blocking = blocking  # type: ignore[attr-defined]
    chain = Chain(hook)
    chain.verify(ALICE)
    assert chain.asking.asked == [(10.0, bool(blocking))]


# Fail-open.


class TestFailOpen:
    """Nobody could be asked: the domains of the setting take everything, the others nothing."""

    DOWN = Always(raising(ConnectionRefusedError(111, "refused")))

    def chain(self, *hooks: object) -> Chain:
        return Chain(*hooks, fail_open=frozenset({"example.org"}))

    @pytest.mark.parametrize(
        "address", [ALICE, "ALICE@example.org", "alice+news@example.org", "Alice+a+b@example.org"]
    )
    def test_everything_is_accepted_for_its_own_mailbox(self, address: str) -> None:
        chain = self.chain(Knows(), self.DOWN)
        verdict = chain.verify(address)
        assert verdict.is_accepted
        assert verdict.mailboxes == (ALICE,)
        assert not verdict.is_catch_all
        assert verdict.reason.startswith("fail-open: hook hook1: ConnectionRefusedError")
        ((event, fields),) = [line for line in chain.asking.lines if line[0] == "fail-open"]
        assert (event, str(fields["recipient"])) == ("fail-open", ALICE)

    @pytest.mark.parametrize("domain", ["example.net", "sub.example.org", "org"])
    def test_other_domains_are_deferred(self, domain: str) -> None:
        assert self.chain(self.DOWN).verify(f"alice@{domain}").kind is Kind.DEFER

    @pytest.mark.parametrize(
        "verdict", [Verdict.unknown(), Verdict.reject(), Verdict.full(), accepted("x@x")]
    )
    def test_what_is_known_is_not_overruled(self, verdict: Verdict) -> None:
        assert self.chain(Knows({ALICE: verdict}), self.DOWN).verify(ALICE) == verdict

    def test_a_name_that_the_store_cannot_hold_is_deferred(self) -> None:
        assert self.chain(self.DOWN).verify("..@example.org").kind is Kind.DEFER


def test_the_chain_reads_a_table_from_a_file(tmp_path: Path) -> None:
    chain = Chain(table(tmp_path, "team@example.org alice@example.org, bob@example.org\n"))
    assert chain.verify("Team+x@example.org") == accepted(ALICE, "bob@example.org")
    assert chain.verify("teams@example.org") == Verdict.unknown()
