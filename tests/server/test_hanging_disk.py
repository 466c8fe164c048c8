"""A call to the disk that hangs, at each step of a delivery; and homes that hang."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import pytest

from lmtpd.server.lanes import MOST_LOST
from tests.support.client import Client, stuffed
from tests.support.messages import as_stored
from tests.support.outcomes import status
from tests.support.server import PROJECT, Server
from tests.support.strict_load import Connection, message
from tests.support.waiting import wait_for

ALICE, BOB, STUCK = (f"{name}@example.org" for name in ("alice", "bob", "stuck"))
DELIVERED = "250 2.0.0"
MAILBOX_STUCK = "450 4.2.0"
_SOON_S = 20.0
_PATIENCE_S = 2.0
"""More than a true disk of a busy machine needs."""


@contextmanager
def hanging(
    folder: Path, call: str, place: str = "example.org/stuck", **settings: object
) -> Iterator[tuple[Server, Path]]:
    """A server that hangs in the mailbox of STUCK, or elsewhere, as long as the file is there."""
    file = folder / "hangs"
    program = ("-m", "tests.support.hanging", call, place, str(file))
    defaults = {"lmtp_workers": 1, "lmtp_mailbox_patience": _PATIENCE_S, "lmtp_commit": "fsync"}
    server = Server(folder, program=program, **{**defaults, **settings})
    for address in (ALICE, BOB, STUCK):
        server.mailbox(address)
    with server:
        try:
            yield server, file
        finally:
            file.unlink(missing_ok=True)


@contextmanager
def sent(server: Server, content: bytes, *recipients: str) -> Iterator[Client]:
    """A client that waits for the final replies."""
    with Client.tcp(server.port) as client:
        assert client.reply().code == 220
        lines = ["LHLO client.example", "MAIL FROM:<sender@example.net>"]
        for line in (*lines, *(f"RCPT TO:<{one}>" for one in recipients)):
            assert client.command(line).code == 250
        assert client.command("DATA").code == 354
        client.send(stuffed(content))
        yield client


def deliver(server: Server, *recipients: str, content: bytes) -> list[str]:
    with Connection(server.port, lambda: 0) as connection:
        replies = connection.deliver(recipients, content)
    return [status(replies[one]) for one in recipients]


def stored(server: Server, address: str) -> list[bytes]:
    assert list((server.mailbox(address) / "tmp").iterdir()) == []
    return [one.partition(b"Message-ID")[2] for one in server.messages(address)]


def as_sent(*contents: bytes) -> list[bytes]:
    return [as_stored(one).partition(b"Message-ID")[2] for one in contents]


@pytest.mark.parametrize("call", ["create", "write", "sync"])
@pytest.mark.parametrize("octets", [1000, 300_000], ids=["memory", "file"])
def test_before_it_is_published_it_is_withdrawn(call: str, octets: int, tmp_path: Path) -> None:
    """The stuck mailbox hears 450 and has no copy, all others have theirs."""
    content = message("x", octets)
    with hanging(tmp_path, call) as (server, file):
        file.touch()
        with sent(server, content, BOB, STUCK, ALICE) as client:
            heard = [status(one) for one in client.replies(3)]
            assert heard == [DELIVERED, MAILBOX_STUCK, DELIVERED]
            assert "mailbox=stuck@example.org" in server.log
            file.unlink()
            wait_for(lambda: "mailbox-answers" in server.log, _SOON_S, "the thread to come back")
            assert deliver(server, STUCK, content=message("again")) == [DELIVERED]
        for address in (ALICE, BOB):
            assert stored(server, address) == as_sent(content)
        assert stored(server, STUCK) == as_sent(message("again"))


def test_while_it_is_published_its_reply_is_owed(tmp_path: Path) -> None:
    """The copy may be there or not: so its client waits, and others do not."""
    content, other = message("x"), message("other")
    with hanging(tmp_path, "rename") as (server, file):
        file.touch()
        with sent(server, content, BOB, STUCK) as client:
            wait_for(lambda: "mailbox-stuck" in server.log, _SOON_S, "the server to notice")
            assert deliver(server, STUCK, BOB, content=other) == [MAILBOX_STUCK, DELIVERED]
            file.unlink()
            assert [status(one) for one in client.replies(2)] == [DELIVERED] * 2
        wait_for(lambda: "mailbox-answers" in server.log, _SOON_S, "the thread to come back")
        assert deliver(server, STUCK, content=other) == [DELIVERED]
        assert sorted(stored(server, STUCK)) == sorted(as_sent(content, other))
        assert sorted(stored(server, BOB)) == sorted(as_sent(content, other))


def test_a_call_that_is_slow_and_no_more_is_waited_for(tmp_path: Path) -> None:
    with hanging(tmp_path, "create", lmtp_mailbox_patience=60) as (server, file):
        file.touch()
        with sent(server, message("x"), STUCK) as client:
            assert server.messages(STUCK) == []
            file.unlink()
            assert status(client.reply()) == DELIVERED
        assert "mailbox-stuck" not in server.log


def test_one_that_has_gone_meanwhile_is_served_all_the_same(tmp_path: Path) -> None:
    """The client, that is; its message is withdrawn, and comes once to those who are not stuck."""
    content = message("x")
    with hanging(tmp_path, "create") as (server, file):
        file.touch()
        with sent(server, content, BOB, STUCK):
            pass
        wait_for(lambda: "mailbox-stuck" in server.log, _SOON_S, "the server to notice")
        wait_for(lambda: server.messages(BOB), _SOON_S, "the other copy")
        file.unlink()
        wait_for(lambda: "mailbox-answers" in server.log, _SOON_S, "the thread to come back")
        assert stored(server, BOB) == as_sent(content)
        assert stored(server, STUCK) == []


def test_when_all_threads_hang_mail_waits_and_comes(tmp_path: Path) -> None:
    """There is an end of them, and then nobody is told anything that is not true."""
    with (
        hanging(tmp_path, "create", lmtp_mailbox_patience=1) as (server, file),
        ThreadPoolExecutor(20) as pool,
    ):
        addresses = [f"stuck{number}@example.org" for number in range(MOST_LOST + 2)]
        for address in addresses:
            server.mailbox(address)
        file.touch()
        running = [pool.submit(deliver, server, one, content=message(one)) for one in addresses]
        told = " mailbox-stuck "
        wait_for(lambda: server.log.count(told) == MOST_LOST, 3 * _SOON_S, "all to hang")
        other = pool.submit(deliver, server, ALICE, content=message("other"))
        assert not wait([other], timeout=3.0).done
        file.unlink()
        assert other.result() == [DELIVERED]
        heard = [one.result() for one in running]
        wait_for(lambda: server.log.count("answers") == MOST_LOST, _SOON_S, "all to come back")
        for address, (reply,) in zip(addresses, heard, strict=True):
            assert reply in (DELIVERED, MAILBOX_STUCK)
            assert stored(server, address) == as_sent(message(address)) * (reply == DELIVERED)
        assert server.log.count(told) == MOST_LOST


HELD_UP = "451 4.3.0"
_TIMEOUT_S = 2


def held_up(server: Server, *recipients: str, content: bytes) -> None:
    """It hears so, and in time."""
    begun = time.monotonic()
    assert deliver(server, *recipients, content=content) == [HELD_UP] * len(recipients)
    assert _TIMEOUT_S - 1 < time.monotonic() - begun < 3 * _TIMEOUT_S
    wait_for(lambda: "HeldUpError" in server.log, _SOON_S, "the line of the log")


@pytest.mark.parametrize("octets", [1000, 300_000], ids=["memory", "file"])
@pytest.mark.parametrize("call", ["create", "rename"])
def test_what_waits_behind_a_disk_that_hangs_is_given_up_in_time(
    call: str, octets: int, tmp_path: Path
) -> None:
    """Its client hears 451 and sends it again; what has begun is waited for, and comes once."""
    content = message("x", octets)
    settings = {"lmtp_mailbox_patience": 60, "lmtp_delivery_timeout": _TIMEOUT_S}
    with hanging(tmp_path, call, **settings) as (server, file):
        file.touch()
        with sent(server, message("begun"), STUCK) as client:
            wait_for(lambda: hangs(server), _SOON_S, "it to hang")
            held_up(server, ALICE, BOB, content=content)
            held_up(server, ALICE, content=content)
            file.unlink()
            assert status(client.reply()) == DELIVERED, "late, and true"
        assert deliver(server, ALICE, BOB, content=content) == [DELIVERED] * 2
        for address in (ALICE, BOB):
            assert stored(server, address) == as_sent(content)
        assert stored(server, STUCK) == as_sent(message("begun"))


def hangs(server: Server) -> bool:
    """Whether a delivery to STUCK has come to where it hangs: all is opened by then."""
    return (server.mailbox(STUCK) / "tmp").exists()


@pytest.mark.parametrize("call", ["write", "sync"])
def test_a_large_message_whose_file_cannot_be_written_is_given_up_in_time(
    call: str, tmp_path: Path
) -> None:
    """At its first piece, while the client sends, or at its last; small ones are delivered."""
    content = message("large", 700_000)
    settings = {"lmtp_delivery_timeout": _TIMEOUT_S, "lmtp_commit": "fsync"}
    with hanging(tmp_path, call, "maildirs/#", **settings) as (server, file):
        before = descriptors(server)
        file.touch()
        with ThreadPoolExecutor(12) as pool:
            running = [pool.submit(held_up, server, BOB, content=content) for _ in range(12)]
            assert deliver(server, ALICE, content=message("small")) == [DELIVERED]
            for one in running:
                one.result()
        file.unlink()
        wait_for(lambda: descriptors(server) <= before + 4, _SOON_S, "its files to be closed")
        assert server.messages(BOB) == []
        assert deliver(server, BOB, content=content) == [DELIVERED]
        assert stored(server, BOB) == as_sent(content)


def descriptors(server: Server) -> int:
    """Of the worker; a mailbox that had mail stays open, by two."""
    (worker,) = server.workers()
    return len(list(Path(f"/proc/{worker}/fd").iterdir()))


def test_what_waits_for_its_turn_at_a_mailbox_is_given_up_in_time(tmp_path: Path) -> None:
    settings = {"lmtp_mailbox_concurrency": 1, "lmtp_delivery_timeout": _TIMEOUT_S}
    with hanging(tmp_path, "create", lmtp_mailbox_patience=60, **settings) as (server, file):
        file.touch()
        with sent(server, message("begun"), STUCK) as client, ThreadPoolExecutor(5) as pool:
            wait_for(lambda: hangs(server), _SOON_S, "it to hang")
            running = [
                pool.submit(held_up, server, STUCK, content=message(str(number)))
                for number in range(5)
            ]
            for one in running:
                one.result()
            file.unlink()
            assert status(client.reply()) == DELIVERED
        assert deliver(server, STUCK, content=message("after")) == [DELIVERED]
        assert sorted(stored(server, STUCK)) == sorted(as_sent(message("begun"), message("after")))


def test_what_a_thread_had_begun_and_gave_back_is_given_up_in_time(tmp_path: Path) -> None:
    """When all threads hang there is none to take it."""
    settings = {"lmtp_mailbox_patience": 1, "lmtp_delivery_timeout": 14}
    with (
        hanging(tmp_path, "create", **settings) as (server, file),
        ThreadPoolExecutor(20) as pool,
    ):
        addresses = [f"stuck{number}@example.org" for number in range(MOST_LOST + 2)]
        for address in addresses:
            server.mailbox(address)
        file.touch()
        running = [pool.submit(deliver, server, one, content=message(one)) for one in addresses]
        heard = [one.result()[0] for one in running]
        assert set(heard) <= {MAILBOX_STUCK, HELD_UP}
        assert deliver(server, ALICE, content=message("other")) == [HELD_UP]
        file.unlink()
        wait_for(lambda: server.log.count("answers") == MOST_LOST, _SOON_S, "all to come back")
        assert not any(map(server.messages, (*addresses, ALICE)))
        for address in (*addresses, ALICE):
            assert deliver(server, address, content=message("again")) == [DELIVERED]
            assert stored(server, address) == as_sent(message("again"))


def test_it_stops_while_something_hangs(tmp_path: Path) -> None:
    settings = {"lmtp_drain_timeout": 1, "lmtp_mailbox_patience": 1}
    with hanging(tmp_path, "create", **settings) as (server, file):
        file.touch()
        assert deliver(server, STUCK, content=message("x")) == [MAILBOX_STUCK]
        assert server.stop() == 0


_TURNS = """
import time

import gevent

from lmtpd.delivery.stuck import StuckMailboxes
from lmtpd.server.turns import Turns

stuck = StuckMailboxes()
turns = Turns(2, stuck)
told = []


def deliver(name, *mailboxes):
    turns.take(mailboxes, time.monotonic() + 1000)
    told.append(name)
    gates[name].wait()
    turns.give(mailboxes)


gates = {name: gevent.event.Event() for name in "abcdefghijklmno"}
jobs = {}


def begin(name, *mailboxes):
    jobs[name] = gevent.spawn(deliver, name, *mailboxes)
    gevent.idle()


def heard():
    gevent.idle()
    now, told[:] = "".join(told), []
    return now


for name in "abcd":
    begin(name, "x")
begin("e", "y")
begin("f", "y", "x")
begin("g", "y", "z")
assert heard() == "abeg", "f waits at x, where it comes third"
for name, then in (("a", "c"), ("b", "d"), ("c", "")):
    gates[name].set()
    assert heard() == then
begin("h", "x")
assert heard() == "", "f has its turn at x, and waits at y"
gates["e"].set()
assert heard() == "f"
gates["d"].set()
assert heard() == "h"

# Thrown out of the row, once while it waits and once when it was called already.
begin("i", "x")
begin("j", "x")
begin("k", "x")
jobs["i"].kill()
jobs["j"].kill(block=False)
turns.give(["x"])  # for h
jobs["h"].kill()
assert heard() == "k"

# A mailbox that is stuck keeps nobody waiting; later there is a row again.
begin("l", "x")
begin("m", "x")
assert heard() == ""
stuck.add("group", ["x"])
turns.let_go()
assert heard() == "lm"
begin("n", "x")
assert heard() == "n"
stuck.remove("group")
begin("o", "x")
for name in "fkl":
    gates[name].set()
    assert heard() == ""
gates["m"].set()
assert heard() == "o"

for gate in gates.values():
    gate.set()
gevent.joinall([*jobs.values()])
assert not turns._taken
assert not turns._waiting
print("in turn")
"""


def test_turns_at_a_mailbox() -> None:
    """So many at one time, then in the order of their coming; nothing is kept when all is done."""
    command = [sys.executable, "-W", "error", "-c", _TURNS]
    told = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=30)
    assert (told.stdout, told.stderr) == ("in turn\n", "")
