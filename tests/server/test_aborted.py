"""Transactions that are broken off, at every stage and in every way: nothing is left behind."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.client import Client, stuffed
from tests.support.processes import LOOPBACK, descriptors
from tests.support.server import Server
from tests.support.strict_load import message
from tests.support.waiting import wait_for

ALICE, BOB = "alice@example.org", "bob@example.org"
_SOON_S = 20.0
_MAIL, _RCPT = b"MAIL FROM:<sender@example.net>\r\n", b"RCPT TO:<alice@example.org>\r\n"
_TO_RCPT = _MAIL + _RCPT + b"RCPT TO:<bob@example.org>\r\n"
_TO_DATA = _TO_RCPT + b"DATA\r\n"
_SMALL, _LARGE = b"Subject: x\r\n\r\n", b"Subject: x\r\n\r\n" + b"x" * 998 * 700 + b"\r\n"
"""The large one is more than a session keeps in memory."""
_AT_ONCE = struct.pack("ii", 1, 0)

STAGES = {
    "MAIL": _MAIL,
    "RCPT": _TO_RCPT,
    "DATA": _TO_DATA,
    "text": _TO_DATA + _SMALL,
    "large text": _TO_DATA + _LARGE,
    "all but the dot": _TO_DATA + _LARGE + b".\r",
    "BDAT": _TO_RCPT + b"BDAT 100\r\n" + _SMALL,
    "large BDAT": _TO_RCPT + b"BDAT 10000000\r\n" + _LARGE,
    "between chunks": _TO_RCPT + b"BDAT %d\r\n" % len(_LARGE) + _LARGE,
    "too large": _TO_DATA + _LARGE * 3,
    "half a command": _TO_RCPT + b"DAT",
}
"""What the client has said by then."""


def hangs_up(client: Client, _: socket.socket) -> None:
    client.close()


def resets(client: Client, connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    client.close()


def falls_silent(client: Client, _: socket.socket) -> None:
    assert told_last(client).startswith("421 4.4.2")


def drips(_: Client, connection: socket.socket) -> None:
    """Until it is cut off."""
    for _again in range(200):
        try:
            connection.sendall(b"x")
        except ConnectionError:
            break
        time.sleep(0.1)


def says_no_more(client: Client, connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)
    told_last(client)


def told_last(client: Client) -> str:
    """The last line before the end."""
    last = ""
    while True:
        try:
            reply = client.reply()
        except ConnectionError:
            return last
        last = f"{reply.code} {reply.text}"


def left_behind(server: Server) -> list[str]:
    return [name for name in server.files() if "/tmp/" in name or "/new/" in name]


@pytest.mark.parametrize("ending", [hangs_up, resets, falls_silent, drips, says_no_more])
def test_nothing_is_left(ending: Callable[[Client, socket.socket], None], tmp_path: Path) -> None:
    settings = {
        "lmtp_workers": 1,
        "lmtp_max_message_size": "1M",
        "lmtp_idle_timeout": 2,
        "lmtp_command_timeout": 3,
        "lmtp_data_timeout": 3,
    }
    with Server(tmp_path, **settings) as server:
        for address in ALICE, BOB:
            server.mailbox(address)
        deliver(server)
        (worker,) = server.workers()
        for file in server.root.glob("*/*/new/*"):
            file.unlink()
        before = descriptors(worker)
        with ThreadPoolExecutor(len(STAGES)) as pool:
            running = [pool.submit(abort, server, said, ending) for said in STAGES.values()]
            for one in running:
                one.result()
        # Of those before, some may be of the first delivery's end.
        wait_for(lambda: descriptors(worker) <= before, _SOON_S, f"no more than {before}")
        assert left_behind(server) == []
        assert [name for name in server.files() if name.startswith(".")] == []
        deliver(server)
        assert len(left_behind(server)) == 2
    assert "session-failed" not in server.log


def abort(server: Server, said: bytes, ending: Callable[[Client, socket.socket], None]) -> None:
    connection = socket.create_connection((LOOPBACK, server.port))
    with Client(connection) as client:
        assert client.reply().code == 220
        client.send(b"LHLO client.example\r\n" + said)
        assert client.reply().code == 250
        assert client.reply().code == 250
        ending(client, connection)


def deliver(server: Server) -> None:
    """A large message, so that all is open that stays open."""
    with Client.tcp(server.port) as client:
        assert client.reply().code == 220
        client.send(b"LHLO client.example\r\n" + _TO_DATA)
        assert [reply.code for reply in client.replies(5)] == [250, 250, 250, 250, 354]
        client.send(stuffed(message("x", 400_000)))
        assert [reply.code for reply in client.replies(2)] == [250, 250]
        assert client.command("QUIT").code == 221
