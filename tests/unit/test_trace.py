"""The lines on top of each copy, letter for letter, and the loops that are read from a header."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from lmtpd.delivery import trace
from lmtpd.failures import MailLoopError
from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import BodyType, Envelope, Peer, Recipient, TlsInfo

WHEN = 1_700_000_000.75
ALICE = Recipient(Address("alice", "example.org"), ("alice@example.org",))
PEER = Peer("192.0.2.1", 4711, "mx.example.net")
TLS = TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256)


@pytest.fixture(autouse=True)
def _zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "XST-02:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def envelope(
    reverse_path: str = "sender@example.net",
    client_name: str = "client.example.net",
    tls: TlsInfo | None = None,
    smtputf8: bool = False,
    body: BodyType = BodyType.EIGHT_BIT_MIME,
) -> Envelope:
    return Envelope(
        "0123abcd",
        reverse_path,
        body=body,
        client_name=client_name,
        tls=tls,
        smtputf8=smtputf8,
    )


def fields(
    about: Envelope,
    recipient: Recipient | None = ALICE,
    peer: Peer = PEER,
    host: str = "mail.example.org",
) -> list[str]:
    text = trace.TraceFields(about, peer, host, WHEN).of(recipient).decode("utf-8")
    assert text.endswith("\n")
    return text.split("\n")[:-1]


@pytest.mark.parametrize(
    ("tls", "smtputf8", "keyword"),
    [
        (None, False, "LMTP"),
        (TLS, False, "LMTPS"),
        (None, True, "UTF8LMTP"),
        (TLS, True, "UTF8LMTPS"),
    ],
    ids=["LMTP", "LMTPS", "UTF8LMTP", "UTF8LMTPS"],
)
def test_the_whole_header(tls: TlsInfo | None, smtputf8: bool, keyword: str) -> None:
    with_tls = ["\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256 bits))"] if tls else []
    assert fields(envelope(tls=tls, smtputf8=smtputf8)) == [
        "Return-Path: <sender@example.net>",
        "Delivered-To: alice@example.org",
        "Received: from client.example.net (mx.example.net [192.0.2.1])",
        *with_tls,
        f"\tby mail.example.org (lmtpd) with {keyword} id 0123abcd",
        "\tfor <alice@example.org>; Wed, 15 Nov 2023 00:43:20 +0230",
    ]


@pytest.mark.parametrize(
    ("peer", "info"),
    [
        (Peer("192.0.2.1"), "[192.0.2.1]"),
        (Peer("192.0.2.1", 1, "a.example"), "a.example [192.0.2.1]"),
        (Peer("2001:db8::1", 1), "[IPv6:2001:db8::1]"),
        (Peer("2001:db8::1", 1, "a.example"), "a.example [IPv6:2001:db8::1]"),
        (Peer(""), "local socket"),
        (Peer("", 0, "a.example"), "local socket"),
        (Peer("192.0.2.1", 1, "a(b);c\r\nX: y"), "a?b??c??X:?y [192.0.2.1]"),
    ],
)
def test_the_peer(peer: Peer, info: str) -> None:
    assert fields(envelope(), peer=peer)[2] == f"Received: from client.example.net ({info})"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("client", "client"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
        ("under_score-1", "under_score-1"),
        ("a(b)", "a?b?"),
        ("a;b", "a?b"),
        ("a\r\nX-Evil: yes", "a??X-Evil:?yes"),
        ("a\nb\rc\td\0e", "a?b?c?d?e"),
        ("a,b<c>d@e\"f'g\\h", "a?b?c?d?e?f?g?h"),
        ("bücher", "b?cher"),
        ("\ud800", "?"),
        ("\u2028", "?"),
    ],
)
def test_hostile_client_names(name: str, written: str) -> None:
    received = fields(envelope(client_name=name))[2]
    assert received == f"Received: from {written} (mx.example.net [192.0.2.1])"


@pytest.mark.parametrize(
    ("recipient", "line"),
    [
        (Recipient(Address("a b", "example.org"), ()), 'Delivered-To: "a b"@example.org'),
        (Recipient(Address('a"b', "example.org"), ()), 'Delivered-To: "a\\"b"@example.org'),
        (Recipient(Address("jürgen", "example.org"), ()), "Delivered-To: jürgen@example.org"),
        (
            Recipient(Address("alice+news", "example.org"), ()),
            "Delivered-To: alice+news@example.org",
        ),
    ],
)
def test_recipients(recipient: Recipient, line: str) -> None:
    lines = fields(envelope(), recipient)
    assert lines[1] == line
    assert lines[-1].startswith(line.replace("Delivered-To: ", "\tfor <") + ">; ")


def test_a_bounce_has_an_empty_return_path() -> None:
    assert fields(envelope(reverse_path=""))[0] == "Return-Path: <>"


def test_the_original_recipient() -> None:
    recipient = Recipient(ALICE.address, ALICE.mailboxes, "rfc822;al@example.com")
    lines = fields(envelope(), recipient)
    assert lines[1:3] == [
        "Delivered-To: alice@example.org",
        "Original-Recipient: rfc822;al@example.com",
    ]


def test_a_copy_that_serves_several_names_nobody() -> None:
    assert fields(envelope(), None) == [
        "Return-Path: <sender@example.net>",
        "Received: from client.example.net (mx.example.net [192.0.2.1])",
        "\tby mail.example.org (lmtpd) with LMTP id 0123abcd; Wed, 15 Nov 2023 00:43:20 +0230",
    ]


def test_the_fields_of_several_recipients_differ_in_their_names_alone() -> None:
    several = trace.TraceFields(envelope(tls=TLS), PEER, "host", WHEN)
    bob = Recipient(Address("bob", "example.org"), (), "rfc822;bob@example.com")
    first = several.of(ALICE)
    other = several.of(bob)
    assert several.of(ALICE) == first
    assert b"alice" not in other
    assert b"bob" not in first
    original = b"Original-Recipient: rfc822;bob@example.com\n"
    assert original in other
    assert other.replace(original, b"").replace(b"bob@", b"alice@") == first


@pytest.mark.parametrize("recipient", [ALICE, None], ids=["named", "unnamed"])
def test_lines_end_as_those_of_the_message_do(recipient: Recipient | None) -> None:
    texts = [
        trace.TraceFields(envelope(tls=TLS, body=body), PEER, "host", WHEN).of(recipient)
        for body in (BodyType.EIGHT_BIT_MIME, BodyType.BINARY_MIME)
    ]
    assert b"\r" not in texts[0]
    assert texts[1] == texts[0].replace(b"\n", b"\r\n")


# The header of the message itself.


@pytest.mark.parametrize(
    ("piece", "header", "rest"),
    [
        (b"", b"", b""),
        (b"A: b\n\nbody\n", b"A: b\n", b"\nbody\n"),
        (b"A: b\r\n\r\nbody\r\n", b"A: b\r\n", b"\r\nbody\r\n"),
        (b"A: b\nC: d\n e\n\nbody\n\nmore\n", b"A: b\nC: d\n e\n", b"\nbody\n\nmore\n"),
        (b"\nbody\n", b"", b"\nbody\n"),
        (b"\r\nbody\r\n", b"", b"\r\nbody\r\n"),
        (b"\n", b"", b"\n"),
        (b"A: b\n", b"A: b\n", b""),
        (b"A: b\n\n", b"A: b\n", b"\n"),
        (b"A: b\nC: d", b"A: b\n", b"C: d"),
        (b"A: b", b"", b"A: b"),
        (b"A: b\n \nC: d\n\n", b"A: b\n \nC: d\n", b"\n"),
        (b"A: b\n\rC: d\n\n", b"A: b\n\rC: d\n", b"\n"),
        (b"A: b\r\r\nC: d\n\n", b"A: b\r\r\nC: d\n", b"\n"),
    ],
)
def test_header_section(piece: bytes, header: bytes, rest: bytes) -> None:
    assert header + rest == piece
    assert trace.header_section(piece) == header


@pytest.mark.parametrize(
    ("header", "left"),
    [
        (b"", b""),
        (b"Return-Path: <a@b>\n", b""),
        (b"Return-Path: <a@b>\nA: b\n", b"A: b\n"),
        (b"A: b\nReturn-Path: <a@b>\nC: d\n", b"A: b\nC: d\n"),
        (b"RETURN-path: x\nreturn-PATH:y\nA: b\nReturn-Path:\n", b"A: b\n"),
        (b"Return-Path : <a@b>\nReturn-Path\t: x\nA: b\n", b"A: b\n"),
        (b"Return-Path:\n <a@b>\n\t(comment)\nA: b\n c\n", b"A: b\n c\n"),
        (b"Return-Path: <a@b>\r\n folded\r\nA: b\r\n", b"A: b\r\n"),
        (b"A: b\n Return-Path: folded into A\n", None),
        (b"X-Return-Path: <a@b>\n", None),
        (b"Return-Path-X: <a@b>\n", None),
        (b"Return-Pathology: x\n", None),
        (b"A: Return-Path: x\n", None),
    ],
)
@pytest.mark.parametrize("rest", [b"", b"\nReturn-Path: <kept@body>\n", b"Return-Path: cut of"])
def test_without_return_path(header: bytes, left: bytes | None, rest: bytes) -> None:
    expected = (header if left is None else left) + rest
    assert trace.without_return_path(header, header + rest) == expected


@pytest.mark.parametrize(
    "line", [b"Received: x\n", b"received:x\n", b"RECEIVED : x\n y\n"], ids=repr
)
def test_hops(line: bytes) -> None:
    trace.check_hops(b"A: b\n" + line * trace.MOST_HOPS)
    trace.check_hops(line * trace.MOST_HOPS + b" Received: folded\nX-Received: other\n")
    with pytest.raises(MailLoopError, match="100"):
        trace.check_hops(b"A: b\n" + line * (trace.MOST_HOPS + 1))


HOP = b"Received: from x by y\n"


@pytest.mark.parametrize(
    "line",
    [
        b"Delivered-To: alice@example.org\n",
        b"delivered-to:ALICE@Example.ORG\n",
        b"Delivered-To \t: \t alice@example.org \t\n",
        b"Delivered-To: alice@example.org\r\n",
        b"A: b\nDelivered-To: bob@example.org\nDelivered-To: alice@example.org\nC: d\n",
    ],
    ids=repr,
)
def test_delivered_before(line: bytes) -> None:
    with pytest.raises(MailLoopError, match=r"alice@example\.org"):
        trace.check_delivered_to(b"A: b\n" + HOP + line, ALICE)
    trace.check_delivered_to(line + HOP, ALICE)  # the client's own, and nobody has passed it on


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"Delivered-To:\n",
        b"Delivered-To: bob@example.org\n",
        b"Delivered-To: alice@example.net\n",
        b"Delivered-To: alice+news@example.org\n",
        b"Delivered-To: alice@example.org.\n",
        b"Delivered-To: x alice@example.org\n",
        b"X-Delivered-To: alice@example.org\n",
        b"Subject: x\n Delivered-To: alice@example.org\n",
        b"To: alice@example.org\n",
    ],
    ids=repr,
)
def test_not_delivered_before(line: bytes) -> None:
    trace.check_delivered_to(HOP + line, ALICE)


@pytest.mark.parametrize("local", ["a b", 'a"b', "a\\b", "jürgen"])
def test_our_own_field_is_recognised(local: str) -> None:
    recipient = Recipient(Address(local, "example.org"), ())
    own = trace.TraceFields(envelope(), PEER, "host", WHEN).of(recipient)
    with pytest.raises(MailLoopError):
        trace.check_delivered_to(HOP + own, recipient)
    with pytest.raises(MailLoopError):
        trace.check_delivered_to((HOP + own).replace(b"\n", b"\r\n"), recipient)
    trace.check_delivered_to(HOP + own, ALICE)


HOSTILE_LINES = {
    "spaces-within": b"x" + b" " * 30_000 + b"y",
    "carriage-returns": b"x" + b"\r" * 30_000 + b"y",
    "only-spaces": b" " * 30_000,
    "spaces-at-the-end": b"x" + b" " * 30_000,
}


@pytest.mark.parametrize("name", [b"Delivered-To", b"Received", b"Return-Path"], ids=repr)
@pytest.mark.parametrize("value", HOSTILE_LINES.values(), ids=HOSTILE_LINES)
def test_a_hostile_header_takes_no_time(name: bytes, value: bytes) -> None:
    """Its milliseconds grow with the octets, not with their square: nobody else is served then."""
    header = name + b": " + value + b"\n"
    begun = time.process_time()
    trace.header_section(header)
    trace.check_hops(header)
    trace.check_delivered_to(header, ALICE)
    trace.without_return_path(header, header)
    assert time.process_time() - begun < 0.25
