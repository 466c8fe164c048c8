"""Any address survives being written and read; any text is an address or an AddressError."""

from __future__ import annotations

import unicodedata

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lmtpd.protocol import events, replies
from lmtpd.protocol.address import PATH_OCTETS, Address, AddressError
from lmtpd.protocol.command import CommandParser
from lmtpd.protocol.extensions import Extensions
from lmtpd.protocol.limits import Limits
from lmtpd.protocol.reply import Reply

PARSER = CommandParser(Limits(), Extensions())

ATEXT = "abcXYZ019!#$%&'*+-/=?^_`{|}~\u00e9\u00fc\u4f8b\U0001f600"
ATOM = st.text(ATEXT, min_size=1, max_size=8)
DOT_STRING = st.lists(ATOM, min_size=1, max_size=4).map(".".join)
# Whatever a quoted string may mean, spelled with or without the backslashes it may do without.
QUOTED_LETTER = st.one_of(
    st.sampled_from(["a", " ", "@", ">", "<", ".", "\u00fc", r"\"", r"\\", r"\a", r"\ ", r"\@"]),
    st.characters(min_codepoint=0xA0, exclude_categories=["Cc", "Cs", "Zl", "Zp"]),
)
QUOTED_STRING = st.lists(QUOTED_LETTER, min_size=1, max_size=12).map(
    lambda letters: '"' + "".join(letters) + '"'
)
LABEL = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,10}[A-Za-z0-9_])?", fullmatch=True)
U_LABEL = st.text("abz\u00e4\u00f6\u00fc\u00df\u00e9\u4f8b\u3048", min_size=1, max_size=8)
LITERAL = st.one_of(
    st.ip_addresses(v=4).map(lambda ip: f"[{ip}]"),
    st.ip_addresses(v=6).map(lambda ip: f"[IPv6:{ip.exploded}]"),
    st.just("[X-tag:content]"),
)
DOMAIN = st.one_of(
    st.lists(LABEL, min_size=1, max_size=4).map(".".join),
    st.lists(U_LABEL, min_size=1, max_size=3).map(".".join),
    LITERAL,
)
LOCAL = DOT_STRING | QUOTED_STRING
ROUTE = st.sampled_from(["", "", "@relay.example:", "@a,@b.example:"])
ADDRESS = st.builds(lambda route, local, domain: f"{route}{local}@{domain}", ROUTE, LOCAL, DOMAIN)
TEXT = st.one_of(
    ADDRESS,
    LOCAL,
    st.text(max_size=40),
    st.text('ab"\\@.<>[]: ,\u00fc\0\n', max_size=30),
    st.builds(lambda local, domain: f"{local}@[IPv6:{domain}]", LOCAL, st.text(max_size=20)),
    st.builds(lambda local, domain: f"{local}@{domain}", LOCAL, st.text(max_size=20)),
)


def parsed(text: str) -> Address:
    """The address that a text is, or no example at all."""
    try:
        return Address.parse(text)
    except AddressError:
        assume(False)
        raise


@given(ADDRESS)
@settings(max_examples=250)
@example('"a\\"b\\\\c"@x')
@example("a\u037eb@x")
@example("a@xn--0.example")
def test_an_address_survives_being_written_and_read(text: str) -> None:
    address = parsed(text)
    assume(len(str(address).encode()) + len("<>") <= PATH_OCTETS)
    assert Address.parse(str(address)) == address
    assert str(Address.parse(str(address))) == str(address)


@given(st.builds(lambda local, domain: f"{local}@{domain}", DOT_STRING, LITERAL | LABEL))
def test_well_formed_addresses_are_taken(text: str) -> None:
    assert Address.parse(text).domain.isascii()


@given(TEXT)
@settings(max_examples=250)
@example("a@[IPv6:::1% \u00fc]")
@example("a@\ud800")
@example('"@"')
def test_any_text_is_a_safe_address_or_an_address_error(text: str) -> None:
    try:
        address = Address.parse(text)
    except AddressError:
        return
    assert address.local
    assert address.domain.isascii()
    assert not set(address.domain) & set(' "\\<>@,;\x7f')
    assert address.domain.isprintable()
    assert unicodedata.is_normalized("NFC", address.local)
    assert not any(unicodedata.category(letter) == "Cc" for letter in str(address))
    whole = address.in_domain("example.org")
    assert Address.of_mailbox(whole.mailbox) == whole


@given(ADDRESS)
@settings(max_examples=120)
def test_the_case_of_a_domain_does_not_count(text: str) -> None:
    address = parsed(text)
    local, _, domain = str(address).rpartition("@")
    assume(not domain.startswith("[X-tag"))
    assert Address.parse(f"{local}@{domain.upper()}") == address
    assert address.domain == address.domain.lower().replace("ipv6", "IPv6")


@given(ADDRESS)
@settings(max_examples=150)
def test_what_is_an_address_is_a_recipient(text: str) -> None:
    """The path in angle brackets, with whatever its quotes hold, is the address and no more."""
    address = parsed(text)
    line = f"RCPT TO:<{text}>".encode()
    assert PARSER.parse(line, smtputf8=True) == events.RcptTo(address)
    mail = PARSER.parse(f"MAIL FROM:<{text}> SIZE=7 SMTPUTF8".encode(), smtputf8=False)
    assert mail == events.MailFrom(str(address), smtputf8=True, size=7)


@given(TEXT)
@settings(max_examples=120)
def test_any_address_leaves_a_reply_whole(text: str) -> None:
    address = parsed(text)
    reply = replies.UNKNOWN_RECIPIENT.about(address)
    octets = reply.encode()
    assert octets.count(b"\r\n") == octets.count(b"\n") == octets.count(b"\r") == 1
    assert isinstance(reply, Reply)
