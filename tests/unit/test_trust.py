"""Which peers may speak."""

import re

import pytest

from lmtpd.trust import TrustPolicy


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
        ("mx.example.org", ["'mx.example.org' is not an address or network"]),
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


def test_a_fault_leaves_good_entries_out() -> None:
    with pytest.raises(ValueError, match="'x'") as caught:
        TrustPolicy.parse("127.0.0.1;x")
    assert "127.0.0.1" not in str(caught.value)


def test_text() -> None:
    assert str(TrustPolicy()) == "loopback only"
    assert str(TrustPolicy.parse("::1; 10.0.0.0/8")) == "::1/128;10.0.0.0/8"
    assert TrustPolicy.parse("::1") == TrustPolicy.parse("0:0::1")
