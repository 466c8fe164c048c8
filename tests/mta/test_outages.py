"""The server stops, dies, comes back, or has a full disk: nothing is lost, nothing bounces."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.messages import as_stored
from tests.support.mta import ALICE, HEADER, SENDER, Mta
from tests.support.mtas import mtas
from tests.support.relay import Relay
from tests.support.server import Server

LONG = HEADER + b"".join(b"line %d of a long message\r\n" % number for number in range(20_000))
_END_S = 20.0
_SENT = re.compile(rb"^(?:DATA|BDAT [0-9]+ LAST)\r\n(.*?once more\r\n)", re.DOTALL | re.MULTILINE)
_SMALL = 1024 * 1024


def arrived_once(server: Server, *messages: bytes) -> None:
    """Each message is in the mailbox, whole and once, with nothing else, and nothing bounced."""
    stored = server.messages(ALICE)
    for message in messages:
        assert sum(one.endswith(as_stored(message)) for one in stored) == 1
    assert len(stored) == len(messages)
    assert server.messages(SENDER) == []


@mtas()
def test_mail_waits_while_the_server_is_stopped(server: Server, mta: Mta) -> None:
    server.mailbox(ALICE)
    with mta.client() as client:
        mta.open(client, [ALICE])
        assert server.stop() == 0
        mta.finish(client, HEADER + b"while it is away\r\n")
    mta.wait_until_deferred()
    assert mta.waiting() == 1
    server.start()
    mta.drain()
    arrived_once(server, HEADER + b"while it is away\r\n")


@mtas()
def test_a_server_killed_in_the_middle_of_data_gets_the_message_again(
    kind: type[Mta], server: Server
) -> None:
    server.mailbox(ALICE)
    octets = 0
    killed = threading.Event()

    def kill_at_half(piece: bytes) -> bool:
        nonlocal octets
        before, octets = octets, octets + len(piece)
        if before <= len(LONG) // 2 < octets:
            server.kill_all()
            killed.set()
        return True

    with Relay(server.port, kill_at_half) as relay, kind(relay.port) as mta:
        mta.submit([ALICE], LONG)
        mta.wait_until_deferred()
        assert killed.wait(_END_S)
        assert server.messages(ALICE) == []
        server.start()
        mta.drain()
    arrived_once(server, LONG)


@mtas()
def test_a_restart_amid_the_mail_loses_and_doubles_nothing(server: Server, mta: Mta) -> None:
    server.mailbox(ALICE)
    messages = [HEADER + b"message number %d.\r\n" % number for number in range(30)]
    clients = [mta.client() for _ in messages]
    try:
        for client in clients:
            mta.open(client, [ALICE])
        for number, (client, message) in enumerate(zip(clients, messages, strict=True)):
            if number == len(messages) // 3:
                server.terminate()
            if number == 2 * len(messages) // 3:
                assert server.stop() == 0
                server.start()
            mta.finish(client, message)
    finally:
        for client in clients:
            client.close()
    mta.drain()
    arrived_once(server, *messages)


@contextmanager
def server_on_a_small_disk(folder: Path) -> Iterator[Server]:
    """A server whose mailboxes lie in a megabyte of memory, in a mount namespace of its own."""
    root = folder / "maildirs"
    mounting = f'mount -t tmpfs -o size={_SMALL} tmpfs "$0" && exec "$@"'
    prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mounting, str(root)]
    with Server(folder, prefix=prefix, lmtp_disk_reserve="none") as server:
        # The same files as we find them from outside.
        server.root = Path(f"/proc/{server.pid}/root{root}")
        yield server


def fill_up(path: Path) -> None:
    """Take all the space that is left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


@mtas()
def test_mail_waits_while_the_disk_is_full(kind: type[Mta], tmp_path: Path) -> None:
    with server_on_a_small_disk(tmp_path) as server, kind(server.port) as mta:
        for address in ALICE, SENDER:
            server.mailbox(address)
        fill_up(server.root / "filler")
        mta.submit([ALICE], HEADER + b"no room for this\r\n")
        mta.wait_until_deferred()
        assert "452 4.3.1" in server.log
        assert server.messages(ALICE) == []
        (server.root / "filler").unlink()
        mta.drain()
        arrived_once(server, HEADER + b"no room for this\r\n")


def sent_again(kind: type[Mta], server: Server) -> list[bytes]:
    """What the MTA sends when the first final reply is lost between the server and it."""
    server.mailbox(ALICE)
    lost = threading.Event()

    def lose_first(piece: bytes) -> bool:
        if lost.is_set() or b"Delivered, id" not in piece:
            return True
        lost.set()
        return False

    with Relay(server.port, from_server=lose_first) as relay, kind(relay.port) as mta:
        mta.submit([ALICE], HEADER + b"once more\r\n")
        mta.wait_until_deferred()
        assert lost.is_set()
        mta.drain()
    assert server.messages(SENDER) == []
    return _SENT.findall(b"".join(relay.heard))


@mtas()
def test_a_message_whose_final_reply_was_lost_arrives_once(kind: type[Mta], server: Server) -> None:
    sent_again(kind, server)
    assert len(server.messages(ALICE)) == 1


@mtas()
def test_a_message_whose_final_reply_was_lost_is_sent_again_octet_for_octet(
    kind: type[Mta], server: Server
) -> None:
    first, second = sent_again(kind, server)
    assert first == second
