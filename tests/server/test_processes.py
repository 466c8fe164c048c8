"""Parent and workers: who dies is replaced, who is orphaned goes, and nobody else notices."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.processes import accepts, descriptors
from tests.support.server import Server
from tests.support.waiting import wait_for

_SOON_S = 15.0


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _connected_while_held(server: Server, held: int) -> Client:
    """A client of the other worker."""
    os.kill(held, signal.SIGSTOP)
    try:
        client = Client.tcp(server.port)
        assert client.reply().code == 220
        return client
    finally:
        os.kill(held, signal.SIGCONT)


def test_as_many_workers_as_asked_for(tmp_path: Path) -> None:
    with Server(tmp_path, lmtp_workers=3) as server:
        wait_for(lambda: len(server.workers()) == 3, _SOON_S, "three workers")


def test_a_killed_worker_is_replaced_and_its_neighbour_goes_on(tmp_path: Path) -> None:
    with Server(tmp_path, lmtp_workers=2) as server:
        wait_for(lambda: server.log.count("worker-started") == 2, _SOON_S, "both to listen")
        first, second = server.workers()
        with (
            _connected_while_held(server, second) as lost,
            _connected_while_held(server, first) as kept,
        ):
            os.kill(first, signal.SIGKILL)
            with pytest.raises(ConnectionError):
                lost.command("NOOP")
            assert kept.command("NOOP").code == 250
            wait_for(lambda: len({*server.workers()} - {first}) == 2, _SOON_S, "a new worker")
            assert kept.command("NOOP").code == 250
        assert second in server.workers()
        assert f"worker-ended worker=0 pid={first} exit=-9" in server.log


def test_a_neighbours_death_spoils_no_transaction(tmp_path: Path) -> None:
    """Begun before it and ended after it, with the new worker there."""
    with Server(tmp_path, lmtp_workers=2) as server:
        server.mailbox("alice@example.org")
        wait_for(lambda: server.log.count("worker-started") == 2, _SOON_S, "both to listen")
        first, _ = server.workers()
        with _connected_while_held(server, first) as kept:
            for line in ("LHLO client.example", "MAIL FROM:<>", "RCPT TO:<alice@example.org>"):
                assert kept.command(line).code == 250
            assert kept.command("DATA").code == 354
            kept.send(b"Subject: begun\r\n\r\n")
            os.kill(first, signal.SIGKILL)
            wait_for(lambda: server.log.count("worker-started") == 3, _SOON_S, "its successor")
            kept.send(b"ended\r\n.\r\n")
            assert kept.reply().code == 250
        (file,) = server.message_files("alice@example.org")
        assert file.read_bytes().endswith(b"Subject: begun\n\nended\n")
        assert f"worker-ended worker=0 pid={first} exit=-9" in server.log


def test_workers_whose_parent_is_gone_finish_and_go(tmp_path: Path) -> None:
    with Server(tmp_path, lmtp_workers=2) as server:
        wait_for(lambda: len(server.workers()) == 2, _SOON_S, "two workers")
        workers = server.workers()
        with Client.tcp(server.port) as client:
            assert client.reply().code == 220
            server.kill()
            assert client.reply().code == 421
        wait_for(lambda: all(map(_ended, workers)), _SOON_S, "the workers' end")
        assert not accepts(server.port)


def test_a_worker_that_cannot_be_replaced_now_is_replaced_later(tmp_path: Path) -> None:
    """Without a descriptor to spare: the parent goes on, and so does the neighbour."""
    with Server(tmp_path, lmtp_workers=2) as server:
        wait_for(lambda: server.log.count("worker-started") == 2, _SOON_S, "both to listen")
        first, second = server.workers()
        _, most = before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (3, most))
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: "worker-failed worker=0" in server.log, _SOON_S, "the failure")
        assert "Too many open files" in server.log
        assert server.workers() == [second]
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
        wait_for(lambda: server.log.count("worker-started") == 3, _SOON_S, "its successor")


def test_connections_that_come_one_by_one_are_shared(tmp_path: Path) -> None:
    """The kernel would wake the same worker each time, and its neighbour would be idle."""
    with Server(tmp_path, lmtp_workers=2) as server, ExitStack() as connected:
        wait_for(lambda: server.log.count("worker-started") == 2, _SOON_S, "two workers")
        before = {pid: descriptors(pid)["socket"] for pid in server.workers()}
        for _ in range(20):
            client = connected.enter_context(Client.tcp(server.port))
            assert client.reply().code == 220
        first, second = (descriptors(pid)["socket"] - before[pid] for pid in server.workers())
        assert first + second == 20
        assert abs(first - second) <= 4, "a moment was too short for a neighbour to wake up"


def test_a_neighbour_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    with Server(tmp_path, lmtp_workers=2) as server, ExitStack() as connected:
        wait_for(lambda: server.log.count("worker-started") == 2, _SOON_S, "two workers")
        hanging, _ = server.workers()
        os.kill(hanging, signal.SIGSTOP)
        try:
            for _ in range(5):
                client = connected.enter_context(Client.tcp(server.port))
                assert client.reply().code == 220
        finally:
            os.kill(hanging, signal.SIGCONT)


def test_a_worker_that_hangs_for_good_is_replaced(tmp_path: Path) -> None:
    """By a hook that blocks in C and does not say so."""
    hooks = "tests.support.slow_hooks:Hanging;maildirs"
    settings = {"lmtp_workers": 2, "lmtp_worker_patience": 4, "lmtp_recipient_hooks": hooks}
    with Server(tmp_path, **settings) as server:
        server.mailbox("alice@example.org")
        wait_for(lambda: server.log.count("worker-started") == 2, _SOON_S, "two workers")
        before = server.workers()
        with Client.tcp(server.port) as client:
            assert client.reply().code == 220
            for line in "LHLO client.example", "MAIL FROM:<>":
                assert client.command(line).code == 250
            with pytest.raises(ConnectionError):
                client.command("RCPT TO:<bob@hanging.example>")
        wait_for(lambda: server.log.count("worker-started") == 3, _SOON_S, "its successor")
        assert server.log.count("worker-hangs") == 1
        assert len({*server.workers()} & {*before}) == 1
        with Client.tcp(server.port) as client:
            assert client.reply().code == 220


def test_a_worker_that_died_has_no_connections(tmp_path: Path) -> None:
    """Its number is not held against its neighbour, and its successor begins with none."""
    with Server(tmp_path, lmtp_workers=2) as server, ExitStack() as connected:
        wait_for(lambda: server.log.count("worker-started") == 2, _SOON_S, "two workers")
        os.kill(server.workers()[0], signal.SIGKILL)
        wait_for(lambda: server.log.count("worker-started") == 3, _SOON_S, "its successor")
        before = {pid: descriptors(pid)["socket"] for pid in server.workers()}
        for _ in range(10):
            client = connected.enter_context(Client.tcp(server.port))
            assert client.reply().code == 220
        first, second = (descriptors(pid)["socket"] - before[pid] for pid in server.workers())
        assert first + second == 10
        assert abs(first - second) <= 4
