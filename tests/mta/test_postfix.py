"""A real Postfix hands its mail to the server.

Configured as the documentation says, it must deliver each message once and whole, refuse unknown
recipients while their senders still listen, and lose nothing while the server is away.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.certificates import Certificate
from tests.support.client import Client, Reply, stuffed
from tests.support.messages import as_stored, field_names, put_in_front
from tests.support.postfix import Postfix
from tests.support.server import Server

ALICE = "alice@example.org"
HEADER = (
    b"From: Sender <sender@example.net>\r\n"
    b"To: Alice <alice@example.org>\r\n"
    b"Subject: A message\r\n"
    b"\r\n"
)
# Ours at the top, then the one that Postfix put there itself.
TRACE = ["return-path", "delivered-to", "received", "received"]


def offer(client: Client, recipients: list[str], parameters: str = "") -> list[Reply]:
    """Open a transaction; the replies to the recipients."""
    assert client.command(f"MAIL FROM:<sender@example.net>{parameters}").code == 250
    return [client.command(f"RCPT TO:<{recipient}>") for recipient in recipients]


def submit(postfix: Postfix, recipients: list[str], message: bytes, parameters: str = "") -> None:
    """Send a message that Postfix has to take."""
    with postfix.client() as client:
        replies = offer(client, recipients, parameters)
        assert {reply.code for reply in replies} == {250}, f"{replies}\n{postfix.log}"
        assert client.command("DATA").code == 354
        client.send(stuffed(message))
        assert client.reply().code == 250
        assert client.command("QUIT").code == 221


def only_message(server: Server, address: str) -> bytes:
    """The one message in a mailbox."""
    messages = server.messages(address)
    assert len(messages) == 1, server.log
    return messages[0]


def test_mail_for_a_known_mailbox_arrives_once_and_whole(server: Server, postfix: Postfix) -> None:
    server.mailbox(ALICE)
    message = HEADER + b"One line,\r\n\r\nand after an empty one the last.\r\n\r\n"
    submit(postfix, [ALICE], message)
    postfix.wait_until_empty()
    added = put_in_front(only_message(server, ALICE), as_stored(message))
    assert field_names(added) == TRACE
    assert added.startswith(b"Return-Path: <sender@example.net>\nDelivered-To: alice@example.org\n")


def test_an_unknown_mailbox_is_refused_while_the_sender_listens(
    server: Server, postfix: Postfix
) -> None:
    server.mailbox(ALICE)
    before = server.files()
    with postfix.client() as client:
        [reply] = offer(client, ["bob@example.org"])
    assert reply.code == 550
    # Postfix quotes the server's own reply behind its own words.
    assert "said: 550 5.1.1 <bob@example.org>" in reply.text
    assert server.files() == before


def test_a_probe_for_a_known_mailbox_leaves_nothing_behind(
    server: Server, postfix: Postfix
) -> None:
    server.mailbox(ALICE)
    before = server.files()
    with postfix.client() as client:
        [reply] = offer(client, [ALICE])
    assert reply.code == 250
    assert server.files() == before


def test_mail_waits_while_the_server_is_away_and_arrives_once(
    server: Server, postfix: Postfix
) -> None:
    server.mailbox(ALICE)
    first, second = HEADER + b"first\r\n", HEADER + b"second\r\n"
    # The address is verified by this one: without the server Postfix would refuse a new one.
    submit(postfix, [ALICE], first)
    postfix.wait_until_empty()
    assert server.stop() == 0
    submit(postfix, [ALICE], second)
    postfix.wait_until_deferred()
    server.start()
    postfix.flush()
    postfix.wait_until_empty()
    arrived = server.messages(ALICE)
    assert len(arrived) == 2
    for message in first, second:
        assert sum(stored.endswith(as_stored(message)) for stored in arrived) == 1


def test_while_the_server_is_away_an_unverified_recipient_is_told_to_come_back(
    server: Server, postfix: Postfix
) -> None:
    server.mailbox(ALICE)
    server.stop()
    with postfix.client() as client:
        [reply] = offer(client, [ALICE])
    assert reply.code == 450


def test_two_recipients_get_a_copy_each(server: Server, postfix: Postfix) -> None:
    recipients = [ALICE, "carol@example.org"]
    for recipient in recipients:
        server.mailbox(recipient)
    message = HEADER + b"to both\r\n"
    submit(postfix, recipients, message)
    postfix.wait_until_empty()
    for recipient in recipients:
        added = put_in_front(only_message(server, recipient), as_stored(message))
        assert f"\nDelivered-To: {recipient}\n".encode() in added
        assert field_names(added) == TRACE


def test_an_address_beyond_ascii_is_delivered(server: Server, postfix: Postfix) -> None:
    if postfix.setting("smtputf8_enable") != "yes":
        pytest.skip("this Postfix is built without SMTPUTF8")
    recipient = "jürgen@example.org"
    server.mailbox(recipient)
    message = "To: Jürgen <jürgen@example.org>\r\nSubject: Grüße\r\n\r\nschöne\r\n".encode()
    submit(postfix, [recipient], message, " SMTPUTF8 BODY=8BITMIME")
    postfix.wait_until_empty()
    added = put_in_front(only_message(server, recipient), as_stored(message))
    assert "\nDelivered-To: jürgen@example.org\n".encode() in added


def test_eight_bit_content_arrives_octet_for_octet(server: Server, postfix: Postfix) -> None:
    server.mailbox(ALICE)
    message = (
        HEADER.removesuffix(b"\r\n")
        + b"MIME-Version: 1.0\r\n"
        + b"Content-Type: text/plain; charset=iso-8859-1\r\n"
        + b"Content-Transfer-Encoding: 8bit\r\n\r\n"
        + b"all there is above ASCII: "
        + bytes(range(0x80, 0x100))
        + b"\r\n"
    )
    submit(postfix, [ALICE], message, " BODY=8BITMIME")
    postfix.wait_until_empty()
    put_in_front(only_message(server, ALICE), as_stored(message))


def test_lines_of_dots_survive(server: Server, postfix: Postfix) -> None:
    server.mailbox(ALICE)
    lines = [b".", b"..", b"...", b".a", b"a.", b" .", b"", b".", b"", b"."]
    message = HEADER + b"".join(line + b"\r\n" for line in lines)
    submit(postfix, [ALICE], message)
    postfix.wait_until_empty()
    put_in_front(only_message(server, ALICE), as_stored(message))


@pytest.mark.parametrize(
    ("server_settings", "postfix_settings"),
    [
        pytest.param({}, {}, id="STARTTLS"),
        pytest.param(
            {"lmtp_tls_only": True}, {"lmtp_tls_wrappermode": "yes"}, id="TLS from the first octet"
        ),
    ],
)
@pytest.mark.usefixtures("postfix_is_there")
def test_postfix_delivers_over_tls(
    tmp_path: Path,
    certificate: Certificate,
    server_settings: dict[str, object],
    postfix_settings: dict[str, str],
) -> None:
    message = HEADER + b"under cover\r\n"
    with (
        Server(
            tmp_path,
            lmtp_cert_path=certificate.cert_path,
            lmtp_key_path=certificate.key_path,
            **server_settings,
        ) as server,
        Postfix(server.port, lmtp_tls_security_level="encrypt", **postfix_settings) as postfix,
    ):
        server.mailbox(ALICE)
        submit(postfix, [ALICE], message)
        postfix.wait_until_empty()
        added = put_in_front(only_message(server, ALICE), as_stored(message))
    assert b" with LMTPS " in added
