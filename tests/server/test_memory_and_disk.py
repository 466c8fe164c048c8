"""Memory and disk of the running server: 452 4.3.1 at MAIL, and those that are running finish."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support import components
from tests.support.client import Client, Reply, stuffed
from tests.support.messages import as_stored
from tests.support.outcomes import status
from tests.support.server import Server
from tests.support.store_on import SmallDisk
from tests.support.strict_load import message
from tests.support.waiting import wait_for

ALICE = "alice@example.org"
NO_ROOM = "452 4.3.1"
MAIL = "MAIL FROM:<sender@example.net>"
_SOON_S = 10.0
_CLIENTS = 40
_SMALL_OCTETS = 30_000
"""So many of so many are more than the memory of the server; each is too small for a file."""


def greeted(server: Server) -> Client:
    client = Client.tcp(server.port)
    assert client.reply().code == 220
    assert client.command("LHLO client.example").code == 250
    return client


def mail(client: Client, parameters: str = "") -> Reply:
    """What MAIL hears; nothing is left of the transaction."""
    reply = client.command(MAIL + parameters)
    assert client.command("RSET").code == 250
    return reply


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path, lmtp_workers=1, lmtp_memory_budget="1M") as server:
        server.mailbox(ALICE)
        yield server


@pytest.fixture
def crowd(server: Server) -> Iterator[list[Client]]:
    """Clients to whom 354 was said."""
    with ExitStack() as stack:
        clients = [stack.enter_context(greeted(server)) for _ in range(_CLIENTS)]
        for client in clients:
            begin(client)
        yield clients


def begin(client: Client) -> None:
    assert client.command(MAIL).code == 250
    assert client.command(f"RCPT TO:<{ALICE}>").code == 250
    assert client.command("DATA").code == 354


def fill(server: Server, crowd: list[Client]) -> None:
    """Half a message from each, until nobody else is let in."""
    for client in crowd:
        client.send(stuffed(text(client))[:_SMALL_OCTETS])
    with greeted(server) as other:
        wait_for(lambda: status(mail(other)) == NO_ROOM, _SOON_S, "the memory to be spent")
        assert "lmtp-memory-budget" in mail(other).text
        assert other.command(f"RCPT TO:<{ALICE}>").code == 503


def text(client: Client) -> bytes:
    return message(f"of{id(client)}", 2 * _SMALL_OCTETS)


def test_those_that_are_running_finish_when_the_memory_is_spent(
    server: Server, crowd: list[Client]
) -> None:
    fill(server, crowd)
    for client in crowd:
        client.send(stuffed(text(client))[_SMALL_OCTETS:])
    for client in crowd:
        assert client.reply().code == 250
    with greeted(server) as other:
        assert mail(other).code == 250
    stored = sorted(content.partition(b"Message-ID")[2] for content in server.messages(ALICE))
    sent = sorted(as_stored(text(one)).partition(b"Message-ID")[2] for one in crowd)
    assert stored == sent
    assert "refused peer=127.0.0.1 sender=<sender@example.net> size=0 reply=" in server.log


def test_a_large_message_that_began_in_time_finishes(server: Server, crowd: list[Client]) -> None:
    with greeted(server) as large:
        begin(large)
        fill(server, crowd)
        content = message("large", 700_000)
        large.send(stuffed(content))
        assert large.reply().code == 250
        (stored,) = server.messages(ALICE)
        assert stored.endswith(as_stored(content))


def hang_up(client: Client) -> None:
    client.close()


def go_beyond_the_limit(client: Client) -> None:
    client.send(b"x" * 70_000 + b"\r\n.\r\n")
    assert client.reply().code == 552


@pytest.mark.parametrize("end", [hang_up, go_beyond_the_limit])
def test_what_is_not_finished_gives_its_memory_back(
    end: Callable[[Client], None], tmp_path: Path
) -> None:
    settings = {"lmtp_memory_budget": "1M", "lmtp_max_message_size": 65536}
    with Server(tmp_path, lmtp_workers=1, **settings) as server, ExitStack() as stack:
        server.mailbox(ALICE)
        for _ in range(2):
            crowd = [stack.enter_context(greeted(server)) for _ in range(_CLIENTS)]
            for client in crowd:
                begin(client)
            fill(server, crowd)
            for client in crowd:
                end(client)
            with greeted(server) as other:
                wait_for(lambda: mail(other).code == 250, _SOON_S, "the memory to be given back")
        assert server.messages(ALICE) == []


def test_chunks_that_are_reset_give_their_memory_back(server: Server) -> None:
    with ExitStack() as stack:
        crowd = [stack.enter_context(greeted(server)) for _ in range(_CLIENTS)]
        for client in crowd:
            assert client.command(MAIL).code == 250
            assert client.command(f"RCPT TO:<{ALICE}>").code == 250
        for client in crowd:
            client.send(b"BDAT %d\r\n" % _SMALL_OCTETS + b"x" * _SMALL_OCTETS)
            assert client.reply().code == 250
        with greeted(server) as other:
            assert status(mail(other)) == NO_ROOM
            for client in crowd:
                assert client.command("RSET").code == 250
            assert mail(other).code == 250


# The disk.

_RESERVE = 1024 * 1024
_LARGE_OCTETS = 200_000


@contextmanager
def on_a_small_disk(kind: str, folder: Path) -> Iterator[tuple[SmallDisk, Client]]:
    components.require_root("mounts are made by root only")
    if kind == "ext4":
        components.require("ext4")
    with SmallDisk(kind, folder) as disk:
        (disk.seen / "example.org" / "alice").mkdir(parents=True)
        settings = {"lmtp_maildir_root": disk.path, "lmtp_disk_reserve": _RESERVE}
        with Server(folder, prefix=disk.prefix(), **settings) as server, greeted(server) as client:
            yield disk, client


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_disk_that_is_down_to_its_reserve(kind: str, tmp_path: Path) -> None:
    """It hears so before it has sent anything; and when there is room again it is let in."""
    with on_a_small_disk(kind, tmp_path) as (disk, client):
        assert mail(client).code == 250
        filler = disk.seen / "filler"
        usable = _free(disk) - _RESERVE
        for sign, expected in ((-1, 250), (1, 452)):
            assert mail(client, f" SIZE={usable + sign * 100_000}").code == expected
        filler.write_bytes(bytes(usable + 64 * 1024))
        wait_for(lambda: status(mail(client)) == NO_ROOM, _SOON_S, "the server to notice")
        assert "lmtp-disk-reserve" in mail(client).text
        filler.unlink()
        wait_for(lambda: mail(client).code == 250, _SOON_S, "the server to notice")
        begin(client)
        filler.write_bytes(bytes(usable + 64 * 1024))
        client.send(stuffed(message("x")))
        assert client.reply().code == 250, "the reserve is for those that are running"


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_disk_that_takes_no_more_files(kind: str, tmp_path: Path) -> None:
    with on_a_small_disk(kind, tmp_path) as (disk, client):
        with disk.without_inodes():
            wait_for(lambda: status(mail(client)) == NO_ROOM, _SOON_S, "the server to notice")
        wait_for(lambda: mail(client).code == 250, _SOON_S, "the server to notice")


def test_a_full_disk_fills_no_memory(tmp_path: Path) -> None:
    """An error has its frames, and they have the message and the error: a circle that stays."""
    components.require_root("mounts are made by root only")
    letter = stuffed(message("large", _LARGE_OCTETS))
    with SmallDisk("tmpfs", tmp_path) as disk:
        (disk.seen / "example.org" / "alice").mkdir(parents=True)
        (disk.seen / "filler").write_bytes(bytes(_free(disk)))
        settings = {"lmtp_maildir_root": disk.path, "lmtp_disk_reserve": "none", "lmtp_workers": 1}
        with Server(tmp_path, prefix=disk.prefix(), **settings) as server:
            (worker,) = wait_for(server.workers, _SOON_S, "a worker")

            def memory_after(failures: int) -> int:
                """Octets."""
                with greeted(server) as client:
                    for _ in range(failures):
                        begin(client)
                        client.send(letter)
                        assert status(client.reply()) == NO_ROOM
                found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{worker}/status").read_text())
                assert found
                return int(found[1]) * 1024

            before = memory_after(20)
            assert memory_after(300) - before < 20 * _LARGE_OCTETS


def _free(disk: SmallDisk) -> int:
    found = os.statvfs(disk.seen)
    return found.f_bavail * found.f_frsize
