"""The client's name in Received comes from DNS, and no message waits for it."""

from __future__ import annotations

from pathlib import Path

from tests.support.client import Client
from tests.support.name_server import NameServer, reverse, serving
from tests.support.server import Server
from tests.support.waiting import wait_for

_SOON_S = 10.0


def _deliver(server: Server) -> bytes:
    before = set(server.message_files("alice@example.org"))
    with Client.tcp(server.port) as client:
        client.reply()
        client.send(
            b"LHLO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n"
            b"Subject: x\r\n\r\n.\r\n"
        )
        assert client.replies(5)[-1].code == 250
        # Without it the same message, sent again, would be taken for a repetition.
        assert client.command("QUIT").code == 221
    (file,) = set(server.message_files("alice@example.org")) - before
    return file.read_bytes()


def test_a_confirmed_name_stands_in_received(tmp_path: Path) -> None:
    records = {
        (reverse("127.0.0.1"), "PTR"): ["mail.client.example."],
        ("mail.client.example.", "A"): ["127.0.0.1"],
    }
    with serving(NameServer(records)) as names:
        address = f"127.0.0.1:{names.address[1]}"
        with Server(tmp_path, lmtp_dns_server=address) as server:
            server.mailbox("alice@example.org")
            named = b"Received: from client.example (mail.client.example [127.0.0.1])\n"
            wait_for(lambda: named in _deliver(server), _SOON_S, "the name to be known")


def test_a_silent_name_server_delays_nothing(tmp_path: Path) -> None:
    with Server(tmp_path, lmtp_dns_server="127.0.0.1:1") as server:
        server.mailbox("alice@example.org")
        assert b"Received: from client.example ([127.0.0.1])\n" in _deliver(server)
