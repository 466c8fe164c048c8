"""Names of trusted peers, from a real name server on loopback, by a clock that the test moves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import dns.message
import dns.rcode
import pytest

from lmtpd.dns import records
from lmtpd.trust import Resolved, plain_address
from lmtpd.trusted_names import (
    LONGEST_MEMORY_S,
    LONGEST_WITHOUT_DNS_S,
    LOOK_S,
    MOST_HOSTS,
    RETRY_S,
    SHORTEST_MEMORY_S,
    TrustedNames,
)
from tests.support.name_server import NameServer, serving

MX1, MX2 = "mx1.example.org", "mx2.example.org"
RECORDS = {
    (f"{MX1}.", "A"): ["192.0.2.1", "192.0.2.9"],
    (f"{MX1}.", "AAAA"): ["2001:db8::1"],
    (f"{MX2}.", "A"): ["192.0.2.2"],
    ("mapped.example.org.", "AAAA"): ["::ffff:192.0.2.5"],
    ("alias.example.org.", "CNAME"): [f"{MX2}."],
    ("example.org.", "MX"): [f"10 {MX1}.", "20 alias.example.org.", "30 gone.example.org."],
    ("example.org.", "A"): ["192.0.2.80"],
    ("null.example.", "MX"): ["0 ."],
    ("nomx.example.", "A"): ["192.0.2.81"],
    ("many.example.", "MX"): [f"10 n{number}.example." for number in range(3 * MOST_HOSTS)],
}


class World:
    """TrustedNames with a clock, the name server behind it, and the lines that were written."""

    def __init__(self, server: NameServer) -> None:
        self.server = server
        self.now_s = 1000.0
        self.lines: list[tuple[str, str]] = []
        self.causes: list[str] = []
        self.ticks: list[Callable[[], object]] = []
        self.waiting: list[Callable[[], object]] = []
        self.is_held = False
        self.names = TrustedNames(self._ask, self._spawn, self._repeat, self._report, self._clock)

    def of(self, name: str) -> set[str]:
        return {str(address) for address in self.names.resolved(name).addresses}

    def is_certain(self, name: str) -> bool:
        return self.names.resolved(name).is_certain

    def passes(self, seconds: float) -> None:
        self.now_s += seconds
        for tick in self.ticks:
            tick()

    def fails(self) -> None:
        self.server.answer = refused

    def _ask(self, name: str, kind: str, seconds: float) -> tuple[list[str], float]:
        assert 0 < seconds <= 5
        return records(name, kind, self.server.address, seconds)

    def _spawn(self, function: Callable[..., object], *arguments: object) -> None:
        if self.is_held:
            self.waiting.append(lambda: function(*arguments))
        else:
            function(*arguments)

    def _repeat(self, seconds: float, function: Callable[[], object]) -> None:
        assert seconds == LOOK_S
        self.ticks.append(function)

    def _report(self, event: str, *, name: str, cause: str) -> None:
        self.lines.append((event, name))
        self.causes.append(cause)

    def _clock(self) -> float:
        return self.now_s


def refused(query: dns.message.Message) -> bytes:
    response = dns.message.make_response(query)
    response.set_rcode(dns.rcode.REFUSED)
    return response.to_wire()


@pytest.fixture
def world() -> Iterator[World]:
    with serving(NameServer(dict(RECORDS))) as running:
        yield World(running)


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        (MX1, {"192.0.2.1", "192.0.2.9", "2001:db8::1"}),
        (MX2, {"192.0.2.2"}),
        ("alias.example.org", {"192.0.2.2"}),
        ("mapped.example.org", {"192.0.2.5"}),
        ("mx:example.org", {"192.0.2.1", "192.0.2.9", "2001:db8::1", "192.0.2.2"}),
        ("example.org", {"192.0.2.80"}),
        ("mx:null.example", set()),
        ("mx:nomx.example", set()),
        ("gone.example.org", set()),
    ],
)
def test_what_is_found(name: str, addresses: set[str], world: World) -> None:
    assert world.of(name) == addresses
    assert world.is_certain(name)
    assert world.lines == ([] if addresses else [("trusted-name-empty", name)])
    assert (".", "A") not in world.server.queries


def test_nobody_waits_and_one_asks(world: World) -> None:
    world.is_held = True
    assert world.names.resolved(MX1) == world.names.resolved(MX1) == Resolved()
    world.passes(3600)
    assert len(world.waiting) == 1
    world.waiting.pop()()
    assert world.is_certain(MX1)
    assert len(world.ticks) == 1
    assert world.names.resolved(MX2) == Resolved()
    assert len(world.ticks) == 1


@pytest.mark.parametrize(
    ("ttl", "memory_s"), [(0, SHORTEST_MEMORY_S), (300, 300), (10**6, LONGEST_MEMORY_S)]
)
def test_asked_again_when_the_ttl_ends(ttl: int, memory_s: float, world: World) -> None:
    world.server.ttl = ttl
    world.of(MX2)
    world.server.records[f"{MX2}.", "A"] = ["192.0.2.77"]
    world.passes(memory_s - 1)
    assert world.of(MX2) == {"192.0.2.2"}
    world.passes(1)
    assert world.of(MX2) == {"192.0.2.77"}


def test_the_shortest_ttl_of_all_counts(world: World) -> None:
    truth = world.server.truth

    def short_mx(query: dns.message.Message) -> bytes:
        world.server.ttl = 60 if query.question[0].rdtype == dns.rdatatype.MX else 3000
        return truth(query)

    world.server.answer = short_mx
    world.of("mx:example.org")
    world.server.records["example.org.", "MX"] = [f"10 {MX2}."]
    world.passes(60)
    assert world.of("mx:example.org") == {"192.0.2.2"}


def test_a_name_that_is_gone_trusts_nobody_at_once(world: World) -> None:
    assert world.of(MX2)
    gone = world.server.records.pop((f"{MX2}.", "A"))
    world.passes(300)
    assert world.of(MX2) == set()
    assert world.is_certain(MX2)
    world.server.records[f"{MX2}.", "A"] = gone
    world.passes(SHORTEST_MEMORY_S)
    assert world.of(MX2)
    assert world.lines == [("trusted-name-empty", MX2), ("trusted-name-answers", MX2)]
    assert world.causes == ["has no address, and so trusts nobody", ""]


def test_while_the_dns_fails_the_last_addresses_hold_for_a_day(world: World) -> None:
    assert world.of(MX2)
    world.fails()
    world.passes(300)
    for _ in range(3):
        assert world.of(MX2) == {"192.0.2.2"}
        assert not world.is_certain(MX2)
        world.passes(RETRY_S)
    world.passes(LONGEST_WITHOUT_DNS_S - 300 - 3 * RETRY_S)
    assert world.of(MX2) == {"192.0.2.2"}
    world.passes(RETRY_S)
    assert world.of(MX2) == set()
    assert not world.is_certain(MX2)
    world.server.answer = world.server.truth
    world.passes(RETRY_S)
    assert world.of(MX2) == {"192.0.2.2"}
    assert world.is_certain(MX2)
    assert world.lines == [("trusted-name-fails", MX2), ("trusted-name-answers", MX2)]
    assert world.causes[0].startswith("cannot be resolved: NoNameservers: ")


def test_a_failure_at_the_start(world: World) -> None:
    world.fails()
    assert world.of(MX2) == set()
    assert not world.is_certain(MX2)
    world.server.answer = world.server.truth
    world.passes(RETRY_S - 1)
    assert not world.is_certain(MX2)
    world.passes(1)
    assert world.is_certain(MX2)


def test_a_server_that_knows_no_aaaa(world: World) -> None:
    """What is known counts, but nobody else is turned away for good."""
    truth = world.server.truth

    def answer(query: dns.message.Message) -> bytes:
        is_aaaa = query.question[0].rdtype == dns.rdatatype.AAAA
        return refused(query) if is_aaaa else truth(query)

    assert world.of(MX1) >= {"2001:db8::1"}
    world.server.answer = answer
    world.server.records[f"{MX1}.", "A"] = ["192.0.2.4"]
    world.passes(300)
    assert world.of(MX1) == {"192.0.2.1", "192.0.2.9", "192.0.2.4", "2001:db8::1"}
    assert not world.is_certain(MX1)
    world.passes(LONGEST_WITHOUT_DNS_S)
    assert world.of(MX1) == {"192.0.2.4"}


def test_one_name_that_fails_is_not_another(world: World) -> None:
    truth = world.server.truth

    def answer(query: dns.message.Message) -> bytes:
        return refused(query) if "mx1" in str(query.question[0].name) else truth(query)

    world.server.answer = answer
    assert world.of(MX2)
    assert world.is_certain(MX2)
    assert not world.is_certain(MX1)
    assert world.of("mx:example.org") == {"192.0.2.2"}
    assert not world.is_certain("mx:example.org")


def test_few_of_many_exchangers_are_asked_for(world: World) -> None:
    world.of("mx:many.example")
    assert world.server.queries.total() == 1 + 2 * MOST_HOSTS


def test_a_silent_server_has_an_end() -> None:
    """20 seconds for a name in all, though each of its questions could take 5."""
    clock = itertools.count(0.0, 3.0)
    seconds: list[float] = []

    def ask(_: str, kind: str, left: float) -> tuple[list[str], float]:
        seconds.append(left)
        if kind == "MX":
            return [f"n{number}.example" for number in range(20)], 300
        raise TimeoutError

    def spawn(function: Callable[..., object], *arguments: object) -> None:
        function(*arguments)

    names = TrustedNames(ask, spawn, lambda *_: None, lambda *_, **__: None, lambda: next(clock))
    assert names.resolved("mx:many.example") == Resolved()
    assert seconds[0] == 5
    assert sum(max(0.0, one) for one in seconds) < 40
    assert seconds[-1] < 0


class Killed(BaseException):
    """Stands for gevent's GreenletExit."""


def test_a_killed_look_up_is_followed_by_another() -> None:
    answers: list[object] = [Killed(), (["192.0.2.1"], 300.0), ([], math.inf)]
    ticks: list[Callable[[], object]] = []
    now_s = [0.0]

    def ask(_: str, __: str, ___: float) -> tuple[list[str], float]:
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[return-value] # what else is in the list

    def spawn(function: Callable[..., object], *arguments: object) -> None:
        function(*arguments)

    names = TrustedNames(
        ask, spawn, lambda _, tick: ticks.append(tick), lambda *_, **__: None, lambda: now_s[0]
    )
    with pytest.raises(Killed):
        names.resolved("a.example")
    assert names.resolved("a.example") == Resolved()
    now_s[0] += RETRY_S
    ticks[0]()
    assert names.resolved("a.example").addresses == {plain_address("192.0.2.1")}
