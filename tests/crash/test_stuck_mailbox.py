"""A mailbox whose disk hangs starves no other one, and loses and doubles nothing.

The disk is an ext4 of its own that is mounted in the place of the mailbox, and frozen (fsfreeze):
whoever changes anything there hangs in the kernel, where nobody can end him.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest

from tests.support import components
from tests.support.loop_disk import LoopDisk
from tests.support.messages import as_stored
from tests.support.outcomes import DELIVERED, status
from tests.support.server import PROJECT, Server
from tests.support.strict_load import Connection, message
from tests.support.waiting import wait_for

ALICE, BOB, STUCK = (f"{name}@example.org" for name in ("alice", "bob", "stuck"))
TEAM = "team@example.org"
MAILBOX_STUCK = "450 4.2.0"
_SOON_S = 20.0
_LARGE_OCTETS = 300 * 1024


@dataclass
class Site:
    """The server, and the disk that is the mailbox of STUCK."""

    server: Server
    disk: LoopDisk

    def connect(self) -> Connection:
        return Connection(self.server.port, lambda: 0)

    def folder(self, address: str) -> Path:
        return self.disk.seen if address == STUCK else self.server.mailbox(address)

    def copies(self, address: str) -> list[bytes]:
        assert list((self.folder(address) / "tmp").iterdir()) == []
        return [one.read_bytes() for one in (self.folder(address) / "new").iterdir()]

    def deliver(self, *recipients: str, content: bytes) -> list[str]:
        with self.connect() as connection:
            replies = connection.deliver(recipients, content)
        return [status(replies[one]) for one in recipients]

    def resources(self) -> tuple[int, int]:
        """Threads and descriptors of the worker."""
        (worker,) = self.server.workers()
        return tuple(len(os.listdir(f"/proc/{worker}/{kind}")) for kind in ("task", "fd"))  # type: ignore[return-value]  # noqa: PTH208


@pytest.fixture(params=["fsync", "syncfs"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with on_a_disk_of_its_own("example.org/stuck", tmp_path, lmtp_commit=request.param) as site:
        yield site


@contextmanager
def on_a_disk_of_its_own(place: str, tmp_path: Path, **more: object) -> Iterator[Site]:
    """What lies at this place of the store."""
    components.require_root("mounts are made by root only")
    components.require("ext4")
    table = tmp_path / "table"
    table.write_text(f"{TEAM} {ALICE}, {STUCK}\n")
    settings = {
        "lmtp_workers": 1,
        "lmtp_mailbox_patience": 2,
        "lmtp_mailbox_concurrency": 5,
        "lmtp_recipient_hooks": "table;maildirs",
        "lmtp_recipient_table": table,
        "lmtp_dns": False,
        **more,
    }
    with LoopDisk("ext4", tmp_path) as disk:
        server = Server(tmp_path, prefix=disk.prefix(PROJECT), **settings)
        for address in (ALICE, BOB, STUCK):
            server.mailbox(address)
        (server.root / place).mkdir(parents=True, exist_ok=True)
        disk.show_at(server.root / place)
        with server:
            yield Site(server, disk)


def test_other_mail_goes_on_and_what_hung_is_neither_lost_nor_doubled(site: Site) -> None:
    assert site.deliver(ALICE, STUCK, content=message("before")) == [DELIVERED] * 2
    before = site.resources()
    with site.disk.frozen(), ThreadPoolExecutor(20) as pool:
        lists = [(ALICE, STUCK), (STUCK,), (ALICE,), (STUCK, BOB), (TEAM,), (TEAM, BOB)]
        sizes = [1000] * 6 + [_LARGE_OCTETS] * 6
        contents = [message(f"during{number}", size) for number, size in enumerate(sizes)]
        running = [
            pool.submit(site.deliver, *recipients, content=content)
            for recipients, content in zip(lists * 2, contents, strict=True)
        ]
        for recipients, one in zip(lists * 2, running, strict=True):
            expected = [
                MAILBOX_STUCK if address in (STUCK, TEAM) else DELIVERED for address in recipients
            ]
            assert one.result() == expected
        assert "mailbox-stuck mailbox=stuck@example.org seconds=" in site.server.log
        assert site.deliver(ALICE, BOB, content=message("quick")) == [DELIVERED] * 2
        assert site.deliver(STUCK, content=message("no")) == [MAILBOX_STUCK], "at RCPT"
    wait_for(lambda: "mailbox-answers" in site.server.log, _SOON_S, "the thread to come back")
    assert site.deliver(STUCK, content=message("after")) == [DELIVERED]
    assert ends(site.copies(STUCK)) == ends([message("before"), message("after")])
    mine = [one for to, one in zip(lists * 2, contents, strict=True) if ALICE in to]
    assert ends(site.copies(ALICE)) == ends([message("before"), message("quick"), *mine])
    mine = [one for to, one in zip(lists * 2, contents, strict=True) if BOB in to]
    assert ends(site.copies(BOB)) == ends([message("quick"), *mine])
    wait_for(lambda: not is_more(site.resources(), before), _SOON_S, "its resources to be back")


def ends(contents: list[bytes]) -> list[bytes]:
    """The same whatever trace fields stand in front."""
    return sorted(as_stored(one).partition(b"Message-ID")[2] for one in contents)


def is_more(now: tuple[int, int], before: tuple[int, int]) -> bool:
    """But for connections that are not closed yet, and threads for files, which stay."""
    return now[0] > before[0] + 8 or now[1] > before[1] + 4


def test_a_flood_for_it_fills_nothing(site: Site) -> None:
    """More than the server delivers to one mailbox at one time: each hears 450, and in time."""
    with site.disk.frozen(), ThreadPoolExecutor(40) as pool:
        contents = [message(f"flood{number}") for number in range(40)]
        running = [pool.submit(site.deliver, STUCK, content=one) for one in contents]
        assert {one.result()[0] for one in running} == {MAILBOX_STUCK}
    wait_for(lambda: "mailbox-answers" in site.server.log, _SOON_S, "the thread to come back")
    assert site.deliver(STUCK, content=message("after")) == [DELIVERED]
    assert ends(site.copies(STUCK)) == ends([message("after")])
    assert site.server.log.count(" mailbox-stuck ") == 1


def test_a_hang_at_any_moment_loses_and_doubles_nothing(site: Site) -> None:
    """Frozen and thawed under load: a 250 is one copy, whatever was withdrawn; a 450 is none."""
    is_over = Event()

    def load(client: int) -> list[tuple[str, str, bytes]]:
        choice, heard = random.Random(client), []
        with site.connect() as connection:
            for number in range(10_000):
                if is_over.is_set():
                    break
                recipients = choice.sample([ALICE, BOB, STUCK], choice.randint(1, 3))
                size = _LARGE_OCTETS if choice.random() < 0.1 else 500
                content = message(f"c{client}n{number}x", size)
                replies = connection.deliver(recipients, content)
                heard += [(to, status(reply), content) for to, reply in replies.items()]
                time.sleep(0.02)
        return heard

    with ThreadPoolExecutor(8) as pool, ExitStack() as stack:
        stack.callback(is_over.set)
        running = [pool.submit(load, client) for client in range(8)]
        for moment in (0.31, 0.17, 0.43):
            time.sleep(moment)
            with site.disk.frozen():
                time.sleep(3.0)
        is_over.set()
        heard = [one for each in running for one in each.result()]
    assert {reply for _, reply, _ in heard} == {DELIVERED, MAILBOX_STUCK}
    assert site.deliver(STUCK, content=message("after")) == [DELIVERED]
    for address in (ALICE, BOB, STUCK):
        promised = [one for to, reply, one in heard if (to, reply) == (address, DELIVERED)]
        extra = [message("after")] if address == STUCK else []
        assert ends(site.copies(address)) == ends(promised + extra)


def test_a_whole_domain_whose_disk_hangs_costs_one_thread(tmp_path: Path) -> None:
    """Not one for each of its mailboxes: there are more of them than of threads."""
    with on_a_disk_of_its_own("frozen.example", tmp_path) as site:
        addresses = [f"user{number}@frozen.example" for number in range(40)]
        for address in addresses:
            (site.disk.seen / address.partition("@")[0]).mkdir()
        with site.disk.frozen(), ThreadPoolExecutor(40) as pool:
            running = [
                pool.submit(site.deliver, one, ALICE, content=message(one)) for one in addresses
            ]
            heard = [one.result() for one in running]
            assert heard == [[MAILBOX_STUCK, DELIVERED]] * len(addresses)
            assert site.deliver(BOB, content=message("x")) == [DELIVERED]
            assert site.server.log.count(" mailbox-stuck ") == 1
        wait_for(lambda: "mailbox-answers" in site.server.log, _SOON_S, "the thread to come back")
        for address in addresses:
            assert site.deliver(address, content=message("after")) == [DELIVERED]
        assert ends(site.copies(ALICE)) == ends([message(one) for one in addresses])
        assert len(list(site.disk.seen.glob("*/new/*"))) == len(addresses)
        assert not list(site.disk.seen.glob("*/tmp/*"))
