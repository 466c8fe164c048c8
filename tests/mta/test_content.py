"""What was sent is what arrives, whatever it is, and each MTA uses the extensions that it knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.client import stuffed
from tests.support.messages import as_stored, put_in_front
from tests.support.mta import ALICE, BOB, DOMAIN, FIELDS, HEADER, SENDER, Mta
from tests.support.mtas import mtas
from tests.support.relay import Relay
from tests.support.server import Server
from tests.support.waiting import wait_for

# Exim returns the first 100 kB of what it bounces, and the bounce shall fit.
_LIMIT = 300_000
# More than any MTA adds, and more than the 1024 that Exim adds to the size it announces.
_ROOM = 3_000
_BOUNCE_S = 30.0


@mtas()
def test_eight_bit_content_arrives_octet_for_octet(server: Server, mta: Mta) -> None:
    server.mailbox(ALICE)
    message = (
        FIELDS
        + b"MIME-Version: 1.0\r\n"
        + b"Content-Type: text/plain; charset=iso-8859-1\r\n"
        + b"Content-Transfer-Encoding: 8bit\r\n\r\n"
        + b"all there is above ASCII: "
        + bytes(range(0x80, 0x100))
        + b"\r\n"
    )
    mta.submit([ALICE], message, " BODY=8BITMIME")
    mta.wait_until_empty()
    [stored] = server.messages(ALICE)
    put_in_front(stored, as_stored(message))


@mtas()
def test_lines_of_dots_survive(server: Server, mta: Mta) -> None:
    server.mailbox(ALICE)
    lines = [b".", b"..", b"...", b".a", b"a.", b" .", b"", b".", b"", b"."]
    message = HEADER + b"".join(line + b"\r\n" for line in lines)
    mta.submit([ALICE], message)
    mta.wait_until_empty()
    [stored] = server.messages(ALICE)
    put_in_front(stored, as_stored(message))


def words(message: bytes) -> bytes:
    """A message without its line ends, blanks and dots."""
    return bytes(octet for octet in message if octet not in b"\r\n .")


@mtas()
@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n"])
def test_a_bare_cr_or_lf_hides_no_second_message(server: Server, mta: Mta, end: bytes) -> None:
    """An MTA may refuse such a message, or mend it in its own way."""
    for recipient in ALICE, BOB:
        server.mailbox(recipient)
    smuggled = b"MAIL FROM:<sender@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n"
    message = HEADER + b"bare CR\rand bare LF\nin a line" + end + smuggled + b"the end\r\n"
    with mta.client() as client:
        mta.open(client, [ALICE])
        assert client.command("DATA").code == 354
        client.send(stuffed(message))
        is_taken = client.reply().code == 250
    mta.wait_until_empty()
    stored = server.messages(ALICE)
    assert len(stored) == int(is_taken)
    assert all(words(one).endswith(words(message)) for one in stored)
    assert server.messages(BOB) == []


@mtas()
def test_a_message_just_under_the_size_limit_arrives(kind: type[Mta], tmp_path: Path) -> None:
    with Server(tmp_path, lmtp_max_message_size=_LIMIT) as server, kind(server.port) as mta:
        server.mailbox(ALICE)
        message = sized(_LIMIT - _ROOM)
        mta.submit([ALICE], message)
        mta.wait_until_empty()
        [stored] = server.messages(ALICE)
        put_in_front(stored, as_stored(message))


@mtas("bounce")
def test_a_message_just_over_the_size_limit_bounces_once(kind: type[Mta], tmp_path: Path) -> None:
    with Server(tmp_path, lmtp_max_message_size=_LIMIT) as server, kind(server.port) as mta:
        for address in ALICE, SENDER:
            server.mailbox(address)
        mta.submit([ALICE], sized(_LIMIT + 1))
        wait_for(lambda: server.messages(SENDER), _BOUNCE_S, "a bounce")
        mta.wait_until_empty()
        assert len(server.messages(SENDER)) == 1
        assert server.messages(ALICE) == []


@mtas(without="bounce")
def test_a_message_just_over_the_size_limit_stays_queued(kind: type[Mta], tmp_path: Path) -> None:
    with Server(tmp_path, lmtp_max_message_size=_LIMIT) as server, kind(server.port) as mta:
        server.mailbox(ALICE)
        mta.submit([ALICE], sized(_LIMIT + 1))
        mta.wait_until_deferred()
        assert "552 5.3.4" in mta.log
        assert server.messages(ALICE) == []


def sized(octets: int) -> bytes:
    """A message of so many octets, in lines of 100."""
    lines, rest = divmod(octets - len(HEADER) - 2, 100)
    return HEADER + (b"y" * 98 + b"\r\n") * lines + b"x" * rest + b"\r\n"


@mtas("smtputf8")
def test_an_address_beyond_ascii_is_delivered(server: Server, mta: Mta) -> None:
    recipient = f"jürgen@{DOMAIN}"
    server.mailbox(recipient)
    message = "To: Jürgen <jürgen@example.org>\r\nSubject: Grüße\r\n\r\nschöne\r\n".encode()
    mta.submit([recipient], message, " SMTPUTF8 BODY=8BITMIME")
    mta.wait_until_empty()
    [stored] = server.messages(recipient)
    assert f"\nDelivered-To: {recipient}\n".encode() in stored
    assert b" with UTF8LMTP " in stored
    assert stored.endswith("\nschöne\n".encode())


@mtas("pipelining")
def test_commands_come_together(kind: type[Mta], server: Server) -> None:
    for recipient in ALICE, BOB:
        server.mailbox(recipient)
    with Relay(server.port) as relay, kind(relay.port) as mta:
        mta.submit([ALICE, BOB], HEADER + b"to both\r\n")
        mta.wait_until_empty()
        assert any(piece.upper().count(b"\r\nRCPT TO:") for piece in relay.heard)
    for recipient in ALICE, BOB:
        assert len(server.messages(recipient)) == 1


@mtas("chunking")
def test_a_message_comes_in_chunks(kind: type[Mta], server: Server) -> None:
    server.mailbox(ALICE)
    message = sized(1_000_000)
    with Relay(server.port) as relay, kind(relay.port) as mta:
        mta.submit([ALICE], message)
        mta.wait_until_empty()
        heard = b"".join(relay.heard)
        assert b"BDAT " in heard
        assert b"\r\nDATA\r\n" not in heard
    [stored] = server.messages(ALICE)
    put_in_front(stored, as_stored(message))
