"""What a real IMAP server reads from a Maildir is the message that was sent.

The reader has to find CR LF lines, the server's trace fields in front, the rest octet for octet,
and the sizes that the file's name promises: Dovecot believes them, and tells its clients
RFC822.SIZE from them without a look at the file.
"""

from __future__ import annotations

import imaplib
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.client import Client, Reply, stuffed
from tests.support.dovecot import Dovecot
from tests.support.messages import field_names, put_in_front
from tests.support.server import Server

HEADER = b"From: sender@example.net\r\nSubject: To be read\r\n"
PLAIN = HEADER + b"\r\n"
UTF_8 = (
    HEADER
    + b"MIME-Version: 1.0\r\n"
    + b"Content-Type: text/plain; charset=utf-8\r\n"
    + b"Content-Transfer-Encoding: 8bit\r\n\r\n"
)

# What can be sent with DATA, where a message is whole lines.
LINES = {
    "a line": PLAIN + b"Hello.\r\n",
    "UTF-8": UTF_8 + "Grüße, 你好, 😀\r\n".encode(),
    "dots": PLAIN + b".\r\n..\r\n...\r\n.hidden\r\n\r\n.\r\n",
    "a line of 998 octets": PLAIN + b"x" * 998 + b"\r\n",
    "a line of 100,000 octets": PLAIN + b"y" * 100_000 + b"\r\n",
    "many lines": PLAIN + b"".join(b"line %d\r\n" % number for number in range(50_000)),
    "empty lines at the end": PLAIN + b"text\r\n\r\n\r\n\r\n",
    "an empty body": PLAIN,
    "a header only": HEADER,
}

# What only chunks can carry.
PIECES = {
    "no newline at the end": PLAIN + b"last words",
    "a dot at the end": PLAIN + b"text\r\n.",
    "dots not to be touched": PLAIN + b"..\r\n.\r\n",
    "whole lines": PLAIN + b"text\r\n",
}


class Store(NamedTuple):
    """A server that fills Maildirs, and a reader of the same."""

    server: Server
    dovecot: Dovecot


@pytest.fixture(scope="module")
def store(dovecot_is_there: None, open_folder: Path) -> Iterator[Store]:  # noqa: ARG001
    """Both at work on one root; each test has its own mailbox there."""
    with Server(open_folder) as server, Dovecot(server.root) as dovecot:
        yield Store(server, dovecot)


@pytest.fixture
def address(store: Store) -> str:
    """A mailbox of this test's own."""
    address = f"user-{secrets.token_hex(8)}@example.org"
    store.server.mailbox(address)
    return address


def opened(server: Server, address: str, body: str) -> Client:
    """A connection with a transaction for one recipient."""
    client = Client.tcp(server.port)
    assert client.reply().code == 220
    assert client.command("LHLO client.example.net").code == 250
    assert client.command(f"MAIL FROM:<sender@example.net> BODY={body}").code == 250
    assert client.command(f"RCPT TO:<{address}>").code == 250
    return client


def send_lines(server: Server, address: str, message: bytes) -> Reply:
    """Deliver with DATA; the recipient's final reply."""
    with opened(server, address, "8BITMIME") as client:
        assert client.command("DATA").code == 354
        client.send(stuffed(message))
        return client.reply()


def send_pieces(server: Server, address: str, message: bytes, body: str = "8BITMIME") -> Reply:
    """Deliver with BDAT in two chunks cut inside the last line; the recipient's final reply."""
    cut = len(message) - 1
    with opened(server, address, body) as client:
        client.send(b"BDAT %d\r\n" % cut + message[:cut])
        assert client.reply().code == 250
        client.send(b"BDAT %d LAST\r\n" % (len(message) - cut) + message[cut:])
        return client.reply()


def fetch_size(session: imaplib.IMAP4) -> int:
    """The size that the reader tells its client."""
    status, [line] = session.fetch("1", "(RFC822.SIZE)")
    assert status == "OK"
    assert isinstance(line, bytes)
    match = re.search(rb"RFC822\.SIZE (\d+)", line)
    assert match, line
    return int(match[1])


def fetch_message(session: imaplib.IMAP4) -> bytes:
    """The message that the reader gives its client."""
    status, answer = session.fetch("1", "(BODY.PEEK[])")
    assert status == "OK"
    [message] = [part[1] for part in answer if isinstance(part, tuple)]
    return message


def check_what_is_read(store: Store, address: str, sent: bytes) -> None:
    """The reader's size first, as a client asks it, then the message behind it."""
    with store.dovecot.inbox(address) as session:
        status, [numbers] = session.search(None, "ALL")
        assert (status, numbers) == ("OK", b"1")
        size = fetch_size(session)
        message = fetch_message(session)
    assert size == len(message)
    assert field_names(put_in_front(message, sent)) == ["return-path", "delivered-to", "received"]
    # Dovecot notices sizes in names that are wrong, and says so in its log only.
    assert store.dovecot.complaints() == []


def check_sizes_in_name(server: Server, address: str) -> None:
    """Maildir++: S is the size as stored, W the size with CR LF lines."""
    [file] = server.message_files(address)
    stored = file.read_bytes()
    assert b"\r" not in stored
    expected = f",S={len(stored)},W={len(stored) + stored.count(10)}"
    assert file.name.partition(":")[0].endswith(expected)


@pytest.mark.parametrize("name", LINES)
def test_what_came_with_data_is_read_as_it_was_sent(store: Store, address: str, name: str) -> None:
    assert send_lines(store.server, address, LINES[name]).code == 250
    check_sizes_in_name(store.server, address)
    check_what_is_read(store, address, LINES[name])


@pytest.mark.parametrize("name", PIECES)
def test_what_came_in_chunks_is_read_as_it_was_sent(store: Store, address: str, name: str) -> None:
    assert send_pieces(store.server, address, PIECES[name]).code == 250
    check_sizes_in_name(store.server, address)
    check_what_is_read(store, address, PIECES[name])


def test_a_binary_message_is_read_as_it_was_sent(store: Store, address: str) -> None:
    # Octets for octets (RFC 3030 3): this one keeps its CR LF on disk as well.
    sent = PLAIN + bytes(range(0x80, 0x100)) + b"\r\nno newline at the end"
    assert send_pieces(store.server, address, sent, "BINARYMIME").code == 250
    check_what_is_read(store, address, sent)


def test_the_reader_parses_the_header_fields_of_the_server(store: Store, address: str) -> None:
    assert send_lines(store.server, address, LINES["a line"]).code == 250
    with store.dovecot.inbox(address) as session:
        status, answer = session.fetch("1", "(BODY.PEEK[HEADER.FIELDS (RETURN-PATH DELIVERED-TO)])")
    assert status == "OK"
    assert isinstance(answer[0], tuple)
    expected = f"Return-Path: <sender@example.net>\r\nDelivered-To: {address}\r\n\r\n"
    assert answer[0][1] == expected.encode()
