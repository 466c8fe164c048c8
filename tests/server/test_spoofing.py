"""Clients that pretend: to be another, to be at the end, to mean the mailbox of another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from tests.server.conftest import tls_settings
from tests.server.test_attacks import ALICE, BOB, OPENING, SMUGGLED, greeted, logged
from tests.support.certificates import Certificate
from tests.support.client import Client
from tests.support.server import Server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[Server]:
    """One server for all of them."""
    settings = tls_settings(certificate) | {"lmtp_trusted_ips": "127.0.0.1"}
    with Server(tmp_path_factory.mktemp("spoofed"), **settings) as one:
        yield one


@pytest.fixture
def server(running: Server) -> Server:
    """The same with two mailboxes in which nothing is."""
    for mailbox in ALICE, BOB:
        running.mailbox(mailbox)
        for file in running.message_files(mailbox):
            file.unlink()
    return running


def deliver(client: Client, opening: bytes = OPENING) -> None:
    client.send(opening + b"DATA\r\nSubject: x\r\n\r\nhello\r\n.\r\n")
    commands = opening.count(b"\r\n")
    assert [reply.code for reply in client.replies(commands + 2)] == [250] * commands + [354, 250]
    assert client.command("QUIT").code == 221


def _mixes() -> list[bytes]:
    """Up to three of CR, LF and NUL before a dot and behind it, but for the one true end."""
    sides = [
        b"".join(side) for size in (1, 2, 3) for side in product((b"\r", b"\n", b"\0"), repeat=size)
    ]
    mixes = [before + b"." + behind for before, behind in product(sides, repeat=2)]
    return [mix for mix in mixes if b"\r\n.\r\n" not in mix]


@pytest.mark.parametrize("size", [1 << 20, 1000, 7])
def test_no_other_mix_of_cr_lf_nul_and_a_dot_ends_a_message(size: int, server: Server) -> None:
    """Each with a message behind it that would be another's."""
    mixes = _mixes()
    assert len(mixes) > 1400
    message = b"Subject: x\r\n\r\n" + b"".join(b"first" + mix + SMUGGLED for mix in mixes)
    sent = message + b".\r\n"
    with greeted(server) as client:
        client.send(OPENING + b"DATA\r\n")
        assert [reply.code for reply in client.replies(4)] == [250, 250, 250, 354]
        for at in range(0, len(sent), size):
            client.send(sent[at : at + size])
        assert client.reply().code == 250
        assert client.command("QUIT").code == 221
        assert client.is_closed_by_peer()
    [stored] = server.messages(ALICE)
    assert stored.endswith(message.replace(b"\r\n.", b"\r\n").replace(b"\r\n", b"\n"))
    assert server.messages(BOB) == []


@pytest.mark.parametrize(
    "number", ["0x400", "1_000", "1e3", "+1000", "1000;LAST", "1,000", "-1", ""]
)
def test_a_chunk_whose_end_is_nobodys_runs_nothing(number: str, server: Server) -> None:
    with greeted(server) as client:
        client.send(OPENING + f"BDAT {number} LAST\r\n".encode() + SMUGGLED + b".\r\n")
        assert [reply.code for reply in client.replies(4)] == [250, 250, 250, 501]
        assert client.is_closed_by_peer()
    assert server.messages(ALICE) == server.messages(BOB) == []


def test_commands_behind_the_last_chunk_are_the_next_transaction(server: Server) -> None:
    """They are the client's own, and nothing of the message before belongs to them."""
    chunk = b"Subject: x\r\n\r\n" + SMUGGLED + b".\r\n"
    said = b"RCPT TO:<bob@example.org>\r\nDATA\r\nBDAT 3 LAST\r\nabcQUIT\r\n"
    with greeted(server) as client:
        client.send(OPENING + b"BDAT %d LAST\r\n" % len(chunk) + chunk + said)
        codes = [reply.code for reply in client.replies(8)]
        assert codes == [250, 250, 250, 250, 503, 503, 503, 221]
    assert len(server.messages(ALICE)) == 1
    assert server.messages(BOB) == []


def test_nothing_of_a_message_is_cut_or_changed(server: Server) -> None:
    """Where one reader of it ends a line or a field, so does the next one."""
    message = (
        b"Subject: x\rBcc: bob@example.org\r\nX-Nul: a\0b\r\nX-Octets: \x80\xff\xc0\xae\r\n"
        b"X-Long: " + b"x" * 100_000 + b"\r\n folded\r\nno field\r\n\r\n"
        b"a\rb\nc\0d\r\r\n" + b"y" * 100_000 + b"\r\n"
    )
    with greeted(server) as client:
        client.send(OPENING + b"DATA\r\n" + message + b".\r\nQUIT\r\n")
        assert [reply.code for reply in client.replies(6)] == [250, 250, 250, 354, 250, 221]
    [stored] = server.messages(ALICE)
    assert stored.endswith(b"\n" + message.replace(b"\r\n", b"\n"))
    assert server.messages(BOB) == []


@pytest.mark.parametrize(
    "line", ["XCLIENT ADDR=192.0.2.7", "XCLIENT NAME=mx.example.org LOGIN=alice", "AUTH EXTERNAL ="]
)
def test_nobody_becomes_another(line: str, server: Server) -> None:
    with greeted(server) as client:
        assert client.command("LHLO client.example").code == 250
        assert client.command(line).code == 500


def test_xforward_changes_a_word_of_the_log_and_nothing_else(server: Server) -> None:
    """Neither who may speak nor what Received says of the client."""
    before = len(server.log)
    with greeted(server) as client:
        assert client.command("LHLO client.example").code == 250
        assert client.command("XFORWARD NAME=bank.example ADDR=192.0.2.7 HELO=bank").code == 250
        deliver(client, OPENING.partition(b"\r\n")[2])
    [stored] = server.messages(ALICE)
    assert b"bank" not in stored
    assert b"192.0.2.7" not in stored
    told = logged(server, before, "delivered")
    assert (told["peer"], told["client_name"]) == ("127.0.0.1", "bank.example")


def test_what_was_said_of_a_client_in_clear_is_forgotten_under_tls(
    server: Server, certificate: Certificate
) -> None:
    before = len(server.log)
    with greeted(server) as client:
        assert client.command("LHLO attacker.example").code == 250
        assert client.command("XFORWARD NAME=bank.example ADDR=192.0.2.7").code == 250
        assert client.command("MAIL FROM:<attacker@example.net>").code == 250
        assert client.command("RCPT TO:<bob@example.org>").code == 250
        assert client.command("STARTTLS").code == 220
        client.start_tls(certificate.client_context())
        for line in ("RCPT TO:<bob@example.org>", "DATA", "BDAT 0 LAST"):
            assert client.command(line).code == 503
        deliver(client)
    [stored] = server.messages(ALICE)
    told = logged(server, before, "delivered")
    assert server.messages(BOB) == []
    assert b"attacker" not in stored
    assert told["tls"].startswith("TLSv1.")
    assert not [key for key in told if key.startswith("client_")]


@pytest.mark.parametrize(
    "local",
    [
        "\uff41lice",
        "\u0430lice",
        "al\u0131ce",
        "ali\u217de",
        "alice\u200b",
        "al\u00adice",
        "\u2060alice",
        "alic\u0435",
        "ali\u0441e\u0300",
        "\U0001d41alice",
    ],
    ids=ascii,
)
def test_an_address_that_looks_alike_is_another(local: str, server: Server) -> None:
    with greeted(server) as client:
        assert client.command("LHLO client.example").code == 250
        assert client.command("MAIL FROM:<> SMTPUTF8").code == 250
        assert client.command(f"RCPT TO:<{local}@example.org>").code == 550
        assert client.command("RCPT TO:<alice@ex\u0430mple.org>").code == 550
        assert client.command("RCPT TO:<ALICE@example.org>").code == 250
        assert client.command("DATA").code == 354
        client.send(b"Subject: x\r\n\r\n.\r\n")
        assert client.reply().code == 250


@pytest.mark.parametrize(
    "octets", [b"\xc0\xae\xc0\xae\xc0\xaf", b"\xe0\x80\xae", b"\xed\xa0\x80", b"\xf8\x80"]
)
def test_overlong_and_broken_utf8_is_no_address(octets: bytes, server: Server) -> None:
    with greeted(server) as client:
        assert client.command("LHLO client.example").code == 250
        assert client.command("MAIL FROM:<> SMTPUTF8").code == 250
        client.send(b"RCPT TO:<" + octets + b"alice@example.org>\r\n")
        assert client.reply().code == 500
