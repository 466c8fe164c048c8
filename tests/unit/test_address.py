"""Addresses by RFC 5321 4.1.2 and RFC 6531 3.3: what is one, what it means, when two are equal."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmtpd.protocol.address import (
    DOMAIN_OCTETS,
    PATH_OCTETS,
    Address,
    AddressError,
    normal_domain,
    without_source_route,
)

LETTERS = "aZ9._-!@\u00fc"
TEXTS = st.text(LETTERS, min_size=1, max_size=12) | st.builds(
    lambda local, *labels: f"{local}@{'.'.join(labels)}",
    st.text("aZ9.-!", min_size=1, max_size=70),
    *[st.text("aZ9_-", max_size=66)] * 3,
)


def parsed(text: str) -> Address | None:
    try:
        return Address.parse(text)
    except AddressError:
        return None


@given(TEXTS)
@example("a@" + "b" * 63)
@example("a@" + "b" * 64)
@example("a@-b")
@example("a@b-")
@example("a@b..c")
@example("a.@b")
@example("A@B.Xn--0")
def test_the_short_way_and_the_long_way_lead_to_the_same(text: str) -> None:
    """Behind a source route an address is never as plain as most are."""
    assert parsed(text) == parsed(f"@r:{text}")


@pytest.mark.parametrize("octets", range(PATH_OCTETS - 3, PATH_OCTETS + 4))
def test_the_short_way_ends_where_the_long_one_does(octets: int) -> None:
    text = "a" * (octets - len("<@x>")) + "@x"
    quoted = f'"{text[2:-2]}"@x'
    assert len(quoted) == len(text)
    is_short_enough = octets <= PATH_OCTETS
    assert (parsed(text) is not None) is (parsed(quoted) is not None) is is_short_enough


ROOM = PATH_OCTETS - len("<>")
LONGEST_DOMAIN = ".".join(["a" * 63] * 4)
E_ACUTE, E_AND_ACUTE = "\u00e9", "e\u0301"


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        pytest.param("alice@example.org", "alice", "example.org", id="plain"),
        pytest.param("a.b.c@example.org", "a.b.c", "example.org", id="dots"),
        pytest.param("!#$%&'*+-/=?^_`{|}~@x", "!#$%&'*+-/=?^_`{|}~", "x", id="every atext"),
        pytest.param("Alice@EXAMPLE.Org", "Alice", "example.org", id="case"),
        pytest.param("1@2.3", "1", "2.3", id="digits"),
        pytest.param("postmaster", "postmaster", "", id="bare local part"),
        pytest.param('"a b"', "a b", "", id="bare quoted local part"),
        pytest.param('"alice"@x', "alice", "x", id="quotes without need"),
        pytest.param('"a b"@x', "a b", "x", id="quoted blank"),
        pytest.param('"a@b"@x', "a@b", "x", id="quoted @"),
        pytest.param('"a>b"@x', "a>b", "x", id="quoted bracket"),
        pytest.param('"..a."@x', "..a.", "x", id="quoted dots"),
        pytest.param(r'"a\"b\\c"@x', r'a"b\c', "x", id="escapes"),
        pytest.param(r'"\a\ \@"@x', "a @", "x", id="escapes without need"),
        pytest.param('"b\u00fc r"@x', "b\u00fc r", "x", id="quoted beyond ASCII"),
        pytest.param("b\u00fcro@x", "b\u00fcro", "x", id="local part beyond ASCII"),
        pytest.param("\U0001f600@x", "\U0001f600", "x", id="local part of an emoji"),
        pytest.param(f"{E_AND_ACUTE}@x", E_ACUTE, "x", id="NFC"),
        pytest.param(f'"{E_AND_ACUTE} "@x', f"{E_ACUTE} ", "x", id="NFC in quotes"),
        pytest.param("a\u037eb@x", "a;b", "x", id="NFC gives a letter that needs quotes"),
        pytest.param("a@under_score.x", "a", "under_score.x", id="underscore"),
        pytest.param("a@x-y.z--z", "a", "x-y.z--z", id="hyphens"),
        pytest.param("a@b\u00fccher.example", "a", "xn--bcher-kva.example", id="U-label"),
        pytest.param("a@B\u00dcCHER.example", "a", "xn--bcher-kva.example", id="U-label, case"),
        pytest.param("a@bu\u0308cher.example", "a", "xn--bcher-kva.example", id="U-label, NFC"),
        pytest.param("a@XN--BCHER-KVA.example", "a", "xn--bcher-kva.example", id="A-label"),
        # IDNA 2003 would make fass.de of it, which belongs to others.
        pytest.param("a@fa\u00df.de", "a", "xn--fa-hia.de", id="sharp s"),
        pytest.param("a@fass.de", "a", "fass.de", id="not sharp s"),
        pytest.param("a@b\u00fc\u3002example", "a", "xn--b-eha.example", id="ideographic stop"),
        pytest.param("a@xn--0.\u00fc", "a", "xn--0.xn--tda", id="A-label that means nothing"),
        pytest.param("a@\uff45xample.org", "a", "example.org", id="full-width letter"),
        pytest.param("a@[192.0.2.1]", "a", "[192.0.2.1]", id="IPv4"),
        pytest.param("a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]", id="IPv6"),
        pytest.param("a@[ipv6:2001:DB8:0:0::1]", "a", "[IPv6:2001:db8::1]", id="IPv6 spelling"),
        pytest.param("a@[X-tag:some!thing^]", "a", "[X-tag:some!thing^]", id="general literal"),
        pytest.param("@b.org:a@x", "a", "x", id="source route"),
        pytest.param("@b.org,@[192.0.2.1],@c:a@x", "a", "x", id="longer source route"),
        pytest.param('@b:"a@c"@x', "a@c", "x", id="source route and quotes"),
        pytest.param("@b.org:postmaster", "postmaster", "", id="source route, no domain"),
    ],
)
def test_parse(text: str, local: str, domain: str) -> None:
    address = Address.parse(text)
    assert address == Address(local, domain)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("@", id="@ alone"),
        pytest.param("@x", id="no local part"),
        pytest.param("a@", id="no domain behind @"),
        pytest.param('""@x', id="empty quotes"),
        pytest.param('""', id="empty quotes alone"),
        pytest.param(".a@x", id="dot first"),
        pytest.param("a.@x", id="dot last"),
        pytest.param("a..b@x", id="two dots"),
        pytest.param("a b@x", id="blank"),
        pytest.param(" a@x", id="blank first"),
        pytest.param("a@x ", id="blank last"),
        pytest.param("a,b@x", id="comma"),
        pytest.param("a;b@x", id="semicolon"),
        pytest.param("a<b@x", id="bracket"),
        pytest.param("a\\b@x", id="backslash"),
        pytest.param("a(b)@x", id="comment"),
        pytest.param("a@b@x", id="two @"),
        pytest.param('"a@x', id="quote not closed"),
        pytest.param('a"b"@x', id="quotes in the middle"),
        pytest.param('"a"b@x', id="letters behind quotes"),
        pytest.param('"a""b"@x', id="two quoted strings"),
        pytest.param('"a"."b"@x', id="quoted words with dots"),
        pytest.param('"a\\"@x', id="escaped quote, not closed"),
        pytest.param('"a\\\u00fc"@x', id="escape of a letter beyond ASCII"),
        pytest.param("a\0@x", id="NUL"),
        pytest.param('"a\0"@x', id="NUL in quotes"),
        pytest.param('"a\\\0"@x', id="escaped NUL"),
        pytest.param('"a\tb"@x', id="tab in quotes"),
        pytest.param('"a\r\nb"@x', id="line break in quotes"),
        pytest.param('"a\x7f"@x', id="DEL in quotes"),
        pytest.param("a\x80@x", id="C1 control"),
        pytest.param('"a\x9f"@x', id="C1 control in quotes"),
        pytest.param("a\u2028@x", id="line separator"),
        pytest.param('"a\u2029"@x', id="paragraph separator in quotes"),
        pytest.param("a\udc80@x", id="lone surrogate"),
        pytest.param("a@x\udc80", id="lone surrogate in the domain"),
        pytest.param("a@.x", id="domain: dot first"),
        pytest.param("a@x.", id="domain: dot last"),
        pytest.param("a@\u00fc.", id="domain: dot behind a U-label"),
        pytest.param("a@\u3002", id="domain: ideographic stop alone"),
        pytest.param("a@x..y", id="domain: two dots"),
        pytest.param("a@-x", id="domain: hyphen first"),
        pytest.param("a@x-", id="domain: hyphen last"),
        pytest.param("a@x y", id="domain: blank"),
        pytest.param("a@x/y", id="domain: slash"),
        pytest.param("a@x\n", id="domain: line break last"),
        pytest.param("a@x\0", id="domain: NUL"),
        pytest.param('a@"x"', id="domain: quotes"),
        pytest.param("a@192.0.2.1]", id="domain: bracket not opened"),
        pytest.param("a@\u2603.net", id="domain: no letter of IDNA 2008"),
        pytest.param(f"a@{'x' * 64}", id="domain: label of 64 octets"),
        pytest.param(f"a@{chr(0xFC) * 63}", id="domain: U-label too long as an A-label"),
        pytest.param("a@[", id="literal: bracket alone"),
        pytest.param("a@[]", id="literal: empty"),
        pytest.param("a@[192.0.2.1", id="literal: not closed"),
        pytest.param("a@[192.0.2.1]x", id="literal: letters behind"),
        pytest.param("a@[192.0.2.256]", id="literal: 256"),
        pytest.param("a@[192.0.2]", id="literal: three numbers"),
        pytest.param("a@[192.0.2.01]", id="literal: leading zero, octal to some"),
        pytest.param("a@[192.0.2.\u0661]", id="literal: digit of another script"),
        pytest.param("a@[IPv6:]", id="literal: IPv6, empty"),
        pytest.param("a@[IPv6:1::2::3]", id="literal: IPv6, two gaps"),
        pytest.param("a@[IPv6:192.0.2.1]", id="literal: IPv6 tag, IPv4 address"),
        # RFC 5321 4.1.3 has no zones, and a zone may hold what no domain should.
        pytest.param("a@[IPv6:fe80::1%eth0]", id="literal: IPv6 with a zone"),
        pytest.param('a@[IPv6:fe80::1%.. \\<"\u00fc]', id="literal: IPv6 with a wild zone"),
        pytest.param("a@[IPv6:fe80::1%\u00fc]", id="literal: IPv6 zone beyond ASCII"),
        pytest.param("a@[tag-:x]", id="literal: tag ends with a hyphen"),
        pytest.param("a@[:x]", id="literal: no tag"),
        pytest.param("a@[tag:]", id="literal: no content"),
        pytest.param("a@[tag:x y]", id="literal: blank"),
        pytest.param("a@[tag:x]y]", id="literal: bracket inside"),
        pytest.param("a@[tag:\u00fc]", id="literal: beyond ASCII"),
        pytest.param("@b", id="route: no colon"),
        pytest.param("@b:", id="route: nothing behind"),
        pytest.param("@:a@x", id="route: no host"),
        pytest.param("@b,c:a@x", id="route: host without @"),
        pytest.param("@b,:a@x", id="route: comma last"),
        pytest.param("@b :a@x", id="route: blank"),
        pytest.param("@b:@c:a@x", id="route: two of them"),
    ],
)
def test_no_address(text: str) -> None:
    with pytest.raises(AddressError):
        Address.parse(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param('"alice"@EXAMPLE.org', "alice@example.org", id="quotes"),
        pytest.param(r'"\a"@x', "a@x", id="escapes"),
        pytest.param("a@b\u00fccher.example", "a@xn--bcher-kva.example", id="U-label, A-label"),
        pytest.param("a@\u4f8b\u3048.jp", "a@xn--r8jz45g.jp", id="Japanese"),
        # Real mailboxes have such domains, in whatever labels their neighbours are written.
        pytest.param("a@a_b.b\u00fc.x", "a@a_b.xn--b-eha.x", id="underscore beside a U-label"),
        pytest.param("a@ab--c.b\u00fc.x", "a@ab--c.xn--b-eha.x", id="hyphens beside a U-label"),
        pytest.param(f"{E_ACUTE}@x", f"{E_AND_ACUTE}@x", id="NFC"),
        pytest.param("a@[IPv6:::1]", "a@[ipv6:0:0:0:0:0:0:0:1]", id="IPv6"),
        pytest.param("a@[IPv6:::ffff:192.0.2.1]", "a@[IPv6:::ffff:c000:201]", id="IPv4 in IPv6"),
        pytest.param("@b:a@x", "a@x", id="source route"),
    ],
)
def test_two_spellings_of_one_address(one: str, other: str) -> None:
    assert Address.parse(one) == Address.parse(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("Alice@x", "alice@x", id="case of the local part is not the grammar's"),
        pytest.param('"a b"@x', '"a  b"@x', id="blanks"),
        pytest.param("a@fa\u00df.de", "a@fass.de", id="sharp s"),
        pytest.param("a@[192.0.2.1]", "a@192.0.2.1", id="literal and name"),
        pytest.param("a@[2001:db8::1]", "a@[IPv6:2001:db8::1]", id="a tag of digits is no IPv6"),
        pytest.param("\ufb01@x", "fi@x", id="ligature: NFC, not NFKC"),
        pytest.param("a", "a@x", id="no domain"),
    ],
)
def test_two_addresses(one: str, other: str) -> None:
    assert Address.parse(one) != Address.parse(other)


@pytest.mark.parametrize(
    ("local", "domain", "text"),
    [
        pytest.param("a.b", "x", "a.b@x", id="plain"),
        pytest.param("a", "", "a", id="no domain"),
        pytest.param("a b", "x", '"a b"@x', id="blank"),
        pytest.param("a b", "", '"a b"', id="blank, no domain"),
        pytest.param("a@b", "x", '"a@b"@x', id="@"),
        pytest.param('a"b\\', "x", r'"a\"b\\"@x', id="quote and backslash"),
        pytest.param(".a", "x", '".a"@x', id="dot first"),
        pytest.param("a..b", "x", '"a..b"@x', id="two dots"),
        pytest.param("b\u00fc", "x", "b\u00fc@x", id="beyond ASCII"),
    ],
)
def test_text_is_quoted_where_it_must_be(local: str, domain: str, text: str) -> None:
    assert str(Address(local, domain)) == text


@pytest.mark.parametrize(
    ("text", "is_good"),
    [
        pytest.param("a" * (ROOM - 2) + "@x", True, id="254 octets"),
        pytest.param("a" * (ROOM - 1) + "@x", False, id="255 octets"),
        pytest.param("\u00fc" * (ROOM // 2), True, id="254 octets in 127 letters"),
        pytest.param("\u00fc" * (ROOM // 2) + "a", False, id="255 octets in 128 letters"),
        pytest.param(f"@{'r' * (ROOM - 5)}:a@x", True, id="the route counts"),
        pytest.param(f"@{'r' * (ROOM - 4)}:a@x", False, id="route too long"),
        pytest.param("\udc80" * 85, False, id="a surrogate counts three"),
        pytest.param("a" * 65 + "@x", True, id="a local part of 65 octets would bounce"),
    ],
)
def test_length_of_a_path(text: str, is_good: bool) -> None:
    if is_good:
        assert Address.parse(text)
    else:
        with pytest.raises(AddressError, match="path is too long"):
            Address.parse(text)


@pytest.mark.parametrize(
    ("domain", "is_good"),
    [
        pytest.param(LONGEST_DOMAIN, True, id="255 octets"),
        pytest.param(f"{LONGEST_DOMAIN[:-2]}.aa", False, id="256 octets"),
        pytest.param("\u00fc" * (DOMAIN_OCTETS + 1), False, id="256 letters beyond ASCII"),
        pytest.param("\u00fc." * 127 + "a", False, id="too long as A-labels only"),
        pytest.param("a" * 63, True, id="label of 63 octets"),
        pytest.param("a" * 64, False, id="label of 64 octets"),
    ],
)
def test_length_of_a_domain(domain: str, is_good: bool) -> None:
    if is_good:
        assert normal_domain(domain) == domain
    else:
        with pytest.raises(AddressError, match=r"domain is (too long|malformed)"):
            normal_domain(domain)


@pytest.mark.parametrize(
    ("text", "mailbox"),
    [
        ("alice@EXAMPLE.org", "alice@example.org"),
        ('"a b"@x', "a b@x"),
        ('"a@b"@x', "a@b@x"),
        ("postmaster", "postmaster"),
    ],
)
def test_mailbox_names(text: str, mailbox: str) -> None:
    address = Address.parse(text)
    assert address.mailbox == mailbox
    assert Address.of_mailbox(mailbox) == address


@pytest.mark.parametrize(("text", "whole"), [("a", "a@x"), ("a@y", "a@y"), ('"a b"', '"a b"@x')])
def test_default_domain(text: str, whole: str) -> None:
    assert str(Address.parse(text).in_domain("x")) == whole


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("@a,@b:user@c", "user@c"),
        ("@a:user@c", "user@c"),
        ("user@c", "user@c"),
        ('"@a:b"@c', '"@a:b"@c'),
        ("@a:", ""),
        ("@a", "@a"),
    ],
)
def test_source_routes_are_left_out(text: str, path: str) -> None:
    assert without_source_route(text) == path
