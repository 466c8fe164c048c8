"""Names of peers, from a real name server on loopback."""

import math
import threading
from collections.abc import Callable, Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.reversename
import dns.rrset
import pytest

from lmtpd.dns import PeerNames, records
from tests.support.name_server import Answer, NameServer, reverse, serving


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Spawner:
    """Keeps look-ups back until they are wanted."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[..., object], tuple[object, ...]]] = []

    def __call__(self, function: Callable[..., object], *arguments: object) -> None:
        self.waiting.append((function, arguments))

    def run(self) -> None:
        while self.waiting:
            function, arguments = self.waiting.pop(0)
            function(*arguments)


def directly(function: Callable[..., object], *arguments: object) -> None:
    function(*arguments)


V4, V6 = "192.0.2.1", "2001:db8::1"
RECORDS = {
    (reverse(V4), "PTR"): ["MX.Example.org."],
    ("mx.example.org.", "A"): ["192.0.2.9", V4],
    (reverse(V6), "PTR"): ["mx.example.org."],
    ("mx.example.org.", "AAAA"): [V6],
    (reverse("192.0.2.2"), "PTR"): ["mx.example.org."],
    (reverse("192.0.2.3"), "PTR"): ["gone.example.org."],
    (reverse("192.0.2.4"), "PTR"): ["gone.example.org.", "four.example.org."],
    ("four.example.org.", "A"): ["192.0.2.4"],
    (reverse("192.0.2.5"), "PTR"): [f"n{number}.example.org." for number in range(50)],
}


@pytest.fixture
def server() -> Iterator[NameServer]:
    with serving(NameServer(dict(RECORDS))) as running:
        yield running


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (V4, "mx.example.org"),
        (V6, "mx.example.org"),
        ("2001:DB8:0::1", "mx.example.org"),
        (f"{V6}%eth0", "mx.example.org"),
        (f"::ffff:{V4}", "mx.example.org"),
        ("192.0.2.2", ""),
        ("192.0.2.3", ""),
        ("192.0.2.4", "four.example.org"),
        ("192.0.2.99", ""),
        ("2001:db8::99", ""),
    ],
)
def test_names(address: str, name: str, server: NameServer) -> None:
    assert PeerNames(directly, server.address).name_of(address) == name


@pytest.mark.parametrize("address", ["", "mx.example.org", "192.0.2", "\0", "%eth0"])
def test_what_is_no_address_is_not_asked_for(address: str, server: NameServer) -> None:
    assert PeerNames(directly, server.address).name_of(address) == ""
    assert not server.queries


def test_nobody_waits(server: NameServer) -> None:
    spawn = Spawner()
    names = PeerNames(spawn, server.address)
    assert names.name_of(V4) == ""
    assert names.name_of(V4) == ""
    assert len(spawn.waiting) == 1
    spawn.run()
    assert names.name_of(V4) == "mx.example.org"
    assert not spawn.waiting


def test_a_look_up_in_a_thread(server: NameServer) -> None:
    threads: list[threading.Thread] = []

    def spawn(function: Callable[..., object], *arguments: object) -> None:
        threads.append(threading.Thread(target=function, args=arguments))
        threads[-1].start()

    names = PeerNames(spawn, server.address)
    names.name_of(V4)
    threads[0].join()
    assert names.name_of(V4) == "mx.example.org"
    assert len(threads) == 1


EVIL = [
    r"mx\013\010X-Evil:\032yes.example.org.",
    r"a\032b.example.org.",
    r"mx\(comment\).example.org.",
    r"mx\059.example.org.",
    r"a\.b.example.org.",
    r"b\195\188cher.example.org.",
    "under_score.example.org.",
    "-a.example.org.",
    "192.0.2.7.",
    ".",
    ".".join(["a" * 63] * 3 + ["b" * 61]) + ".",
]


@pytest.mark.parametrize("evil", EVIL[:-1])
def test_names_that_would_forge_a_header_field(evil: str, server: NameServer) -> None:
    server.records |= {(reverse("192.0.2.7"), "PTR"): [evil], (evil, "A"): ["192.0.2.7"]}
    assert PeerNames(directly, server.address).name_of("192.0.2.7") == ""
    assert (evil, "A") not in server.queries


def test_the_longest_name(server: NameServer) -> None:
    name = EVIL[-1]
    server.records |= {(reverse("192.0.2.7"), "PTR"): [name], (name, "A"): ["192.0.2.7"]}
    assert PeerNames(directly, server.address).name_of("192.0.2.7") == name[:-1]


def test_few_of_many_names_are_tried(server: NameServer) -> None:
    assert PeerNames(directly, server.address).name_of("192.0.2.5") == ""
    assert sum(server.queries.values()) <= 6


def _other_rcode(rcode: dns.rcode.Rcode) -> Answer:
    def answer(query: dns.message.Message) -> bytes:
        response = dns.message.make_response(query)
        response.set_rcode(rcode)
        return response.to_wire()

    return answer


def _other_id(query: dns.message.Message) -> bytes:
    response = dns.message.make_response(query)
    response.id ^= 1
    return response.to_wire()


@pytest.mark.parametrize(
    "answer",
    [
        lambda _query: None,
        lambda _query: b"garbage",
        lambda _query: b"",
        lambda query: query.to_wire(),
        lambda query: query.to_wire()[:2] + b"\xff" * 40,
        lambda query: dns.message.make_response(query).to_wire(),
        lambda query: dns.message.make_response(query).to_wire()[:-3],
        _other_id,
        _other_rcode(dns.rcode.SERVFAIL),
        _other_rcode(dns.rcode.REFUSED),
        _other_rcode(dns.rcode.YXDOMAIN),
    ],
)
def test_bad_answers_are_no_answer_and_remembered(answer: Answer, server: NameServer) -> None:
    server.answer = answer
    names = PeerNames(directly, server.address, lifetime_s=0.2)
    assert names.name_of(V4) == ""
    asked = server.queries.total()
    assert asked
    assert names.name_of(V4) == ""
    assert server.queries.total() == asked


def test_a_silent_server_after_the_first_answer(server: NameServer) -> None:
    def answer(query: dns.message.Message) -> bytes | None:
        is_pointer = query.question[0].rdtype == dns.rdatatype.PTR
        return server.truth(query) if is_pointer else None

    server.answer = answer
    assert PeerNames(directly, server.address, lifetime_s=0.2).name_of(V4) == ""


@pytest.mark.parametrize("address", [("not an address", 53), ("127.0.0.1", 1)])
def test_no_server_there(address: tuple[str, int]) -> None:
    assert PeerNames(directly, address, lifetime_s=0.2).name_of(V4) == ""


def test_no_resolv_conf(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_resolver: object, _path: object) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver.Resolver, "read_resolv_conf", missing)
    assert PeerNames(directly).name_of(V4) == ""


@pytest.mark.parametrize(
    ("address", "ttl", "memory_s"),
    [(V4, 300, 300.0), (V4, 0, 60.0), (V4, 10**6, 3600.0), ("192.0.2.99", 300, 60.0)],
)
def test_memory(address: str, ttl: int, memory_s: float, server: NameServer) -> None:
    server.ttl = ttl
    clock = Clock()
    names = PeerNames(directly, server.address, clock)
    first = names.name_of(address)
    asked = server.queries.total()
    clock.now_s += memory_s - 1
    assert names.name_of(address) == first
    assert server.queries.total() == asked
    clock.now_s += 1
    assert names.name_of(address) == first
    assert server.queries.total() == 2 * asked


def test_the_oldest_entry_goes_first(server: NameServer) -> None:
    names = PeerNames(directly, server.address, most_entries=2)
    for address in (V4, V6, "192.0.2.4"):
        assert names.name_of(address)
    asked = server.queries.total()
    assert names.name_of(V6)
    assert names.name_of("192.0.2.4")
    assert server.queries.total() == asked
    assert names.name_of(V4)
    assert server.queries.total() == asked + 2


def test_look_ups_in_flight_are_bounded(server: NameServer) -> None:
    spawn = Spawner()
    names = PeerNames(spawn, server.address, most_in_flight=2)
    for address in (V4, V6, "192.0.2.4"):
        assert names.name_of(address) == ""
    assert len(spawn.waiting) == 2
    spawn.run()
    assert names.name_of(V4)
    assert names.name_of("192.0.2.4") == ""
    spawn.run()
    assert names.name_of("192.0.2.4")


class Killed(BaseException):
    """Stands for gevent's GreenletExit."""


def test_a_killed_look_up_is_not_in_flight_for_ever(server: NameServer) -> None:
    time, kills = Clock(), [Killed()]

    def clock() -> float:
        if kills:
            raise kills.pop()
        return time()

    names = PeerNames(directly, server.address, clock)
    with pytest.raises(Killed):
        names.name_of(V4)
    assert names.name_of(V4) == ""
    time.now_s += 60
    assert names.name_of(V4) == "mx.example.org"


@pytest.mark.parametrize(
    ("name", "kind", "found", "ttl"),
    [
        ("mx.example.org", "A", ["192.0.2.9", V4], 300),
        ("mx.example.org.", "AAAA", [V6], 300),
        ("mx.example.org", "MX", [], math.inf),
        ("none.example.org", "A", [], math.inf),
        ("alias.example.org", "A", ["192.0.2.4"], 300),
        ("example.org", "MX", ["mx.example.org.", "Two.example.org."], 300),
        ("null.example", "MX", [], 300),
    ],
)
def test_records(name: str, kind: str, found: list[str], ttl: float, server: NameServer) -> None:
    server.records |= {
        ("alias.example.org.", "CNAME"): ["four.example.org."],
        ("example.org.", "MX"): ["10 mx.example.org.", "20 Two.example.org."],
        ("null.example.", "MX"): ["0 ."],
    }
    texts, seconds = records(name, kind, server.address, 5.0)
    assert sorted(texts) == sorted(found)
    assert seconds == ttl


def test_records_that_nobody_can_tell(server: NameServer) -> None:
    server.answer = _other_rcode(dns.rcode.SERVFAIL)
    with pytest.raises(dns.resolver.NoNameservers):
        records("mx.example.org", "A", server.address, 5.0)
    with pytest.raises(dns.exception.DNSException):
        records("mx.example.org", "A", server.address, -1.0)


def test_no_data_is_no_record(server: NameServer) -> None:
    server.answer = lambda query: dns.message.make_response(query).to_wire()
    assert records("mx.example.org", "A", server.address, 5.0) == ([], math.inf)
