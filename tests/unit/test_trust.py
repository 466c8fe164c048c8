"""Which peers may speak."""

import re

import pytest

from lmtpd.trust import Resolved, TrustPolicy, is_within, parse_networks, plain_address


@pytest.mark.parametrize(
    ("entries", "peer", "trusted"),
    [
        (None, "127.0.0.1", True),
        (None, "127.255.1.2", True),
        (None, "::1", True),
        (None, "::ffff:127.0.0.1", True),
        (None, "", True),
        (None, "192.0.2.1", False),
        (None, "::ffff:192.0.2.1", False),
        (None, "2001:db8::1", False),
        (None, "0.0.0.0", False),
        (None, "::", False),
        (None, "localhost", False),
        (None, "127.0.0.1 ", False),
        (None, "%eth0", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "127.0.0.1", False),
        ("192.0.2.1", "", True),
        (" 192.0.2.1 ; 10.0.0.0/8 ;", "10.255.0.1", True),
        ("10.0.0.0/255.0.0.0", "10.1.2.3", True),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("2001:db8::/32", "2001:db8:ffff::1", True),
        ("2001:db8::/32", "2001:db9::1", False),
        ("2001:DB8::1", "2001:db8:0:0::1", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("fe80::1", "fe80::1%eth0", True),
        ("fe80::1", "fe80::2%eth0", False),
        ("::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1", True),
        ("::ffff:10.0.0.1", "10.0.0.2", False),
        ("0.0.0.0/0", "198.51.100.7", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("::/0", "2001:db8::1", True),
    ],
)
def test_trust(entries: str | None, peer: str, trusted: bool) -> None:
    policy = TrustPolicy() if entries is None else TrustPolicy.parse(entries)
    assert policy.trusts(peer) is trusted


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ("", ["holds no address"]),
        (" ; ", ["holds no address"]),
        ("localhost", ["'localhost' is not an address, network or host name", "mx:example.org"]),
        ("mx:org", ["'mx:org' is not"]),
        ("mx:", ["'mx:' is not"]),
        ("mx:10.0.0.1", ["'mx:10.0.0.1' is not"]),
        ("mx_1.example.org", ["'mx_1.example.org' is not"]),
        ("mx..example.org", ["'mx..example.org' is not"]),
        ("*.example.org", ["'*.example.org' is not"]),
        ("a b.example.org", ["'a b.example.org' is not"]),
        ("example.org:25", ["'example.org:25' is not"]),
        (f"{'a.' * 130}org", ["is not an address"]),
        ("10.0.0.1,10.0.0.2", ["'10.0.0.1,10.0.0.2' is not", "separated by semicolons"]),
        ("10.0.0.0/33", ["'10.0.0.0/33' is not"]),
        ("10.0.0.256", ["'10.0.0.256' is not"]),
        ("010.0.0.1", ["'010.0.0.1' is not"]),
        ("/8", ["'/8' is not"]),
        ("10.0.0.1/8", ["10.0.0.0/8 for the network or 10.0.0.1 for the host"]),
        ("2001:db8::1/32", ["2001:db8::/32 for the network or 2001:db8::1 for the host"]),
        ("fe80::1%eth0", ["without it"]),
        ("127.0.0.1;x;10.0.0.1/8;y", ["'x' is not", "10.0.0.0/8", "'y' is not"]),
    ],
)
def test_faults(entries: str, words: list[str]) -> None:
    with pytest.raises(ValueError, match=re.escape(words[0])) as caught:
        TrustPolicy.parse(entries)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("mx1.example.org", "mx1.example.org"),
        ("MX1.Example.ORG.", "mx1.example.org"),
        ("mx:example.org", "mx:example.org"),
        ("MX:Example.org.", "mx:example.org"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("mx:fa\u00df.de", "mx:xn--fa-hia.de"),
    ],
)
def test_names(entry: str, name: str) -> None:
    policy = TrustPolicy.parse(f"{entry};10.0.0.0/8;{entry}")
    assert policy.names == (name,)
    assert str(policy) == f"10.0.0.0/8;{name}"
    assert TrustPolicy.parse(entry).networks == (), "the list alone counts"


KNOWN = {
    "a.example": Resolved(frozenset({plain_address("192.0.2.1")}), is_certain=True),
    "b.example": Resolved(frozenset({plain_address("2001:db8::1")}), is_certain=True),
    "failing.example": Resolved(frozenset({plain_address("192.0.2.2")})),
    "new.example": Resolved(),
}


@pytest.mark.parametrize(
    ("entries", "peer", "trusted"),
    [
        ("a.example", "192.0.2.1", True),
        ("a.example", "::ffff:192.0.2.1", True),
        ("a.example;b.example", "2001:db8:0::1", True),
        ("a.example;b.example", "192.0.2.2", False),
        ("a.example", "127.0.0.1", False),
        ("a.example", "", True),
        ("a.example", "a.example", False),
        ("failing.example", "192.0.2.2", True),
        ("failing.example", "192.0.2.1", None),
        ("a.example;new.example", "192.0.2.1", True),
        ("a.example;new.example", "192.0.2.3", None),
        ("10.0.0.0/8;new.example", "10.0.0.1", True),
        ("new.example", "no address", False),
    ],
)
def test_trust_by_name(entries: str, peer: str, trusted: bool | None) -> None:
    assert TrustPolicy.parse(entries).trusts(peer, KNOWN.__getitem__) is trusted


def test_a_name_that_nobody_resolves_is_unknown() -> None:
    assert TrustPolicy.parse("a.example").trusts("192.0.2.1") is None


def test_networks_alone() -> None:
    networks = parse_networks("10.0.0.0/8; ::1")
    assert is_within("10.1.2.3", networks)
    assert is_within("::ffff:10.1.2.3", networks)
    assert not is_within("127.0.0.1", networks)
    assert not is_within("", networks), "a unix socket's peer is in no network"
    with pytest.raises(ValueError, match=r"'a.example' is not an address or network such"):
        parse_networks("a.example")
    with pytest.raises(ValueError, match="holds no address"):
        parse_networks(";")


def test_a_fault_leaves_good_entries_out() -> None:
    with pytest.raises(ValueError, match="'x'") as caught:
        TrustPolicy.parse("127.0.0.1;x")
    assert "127.0.0.1" not in str(caught.value)


def test_text() -> None:
    assert str(TrustPolicy()) == "loopback only"
    assert str(TrustPolicy.parse("::1; 10.0.0.0/8")) == "::1/128;10.0.0.0/8"
    assert TrustPolicy.parse("::1") == TrustPolicy.parse("0:0::1")
