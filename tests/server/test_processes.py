"""Parent and workers: who dies is replaced, who is orphaned goes, and nobody else notices."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.support.client import Client
from tests.support.processes import accepts
from tests.support.server import Server
from tests.support.waiting import wait_for

_SOON_S = 15.0


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _sockets(pid: int) -> int:
    """How many a process holds; what is closed while we look does not count."""
    count = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            count += str(link.readlink()).startswith("socket:")
    return count


def test_as_many_workers_as_asked_for(tmp_path: Path) -> None:
    with Server(tmp_path, lmtp_workers=3) as server:
        wait_for(lambda: len(server.workers()) == 3, _SOON_S, "three workers")


def test_a_killed_worker_is_replaced_and_its_neighbour_goes_on(tmp_path: Path) -> None:
    with Server(tmp_path, lmtp_workers=2) as server, ExitStack() as connected:
        wait_for(lambda: len(server.workers()) == 2, _SOON_S, "two workers")
        before = server.workers()
        wait_for(lambda: server.log.count("worker-started") == 2, _SOON_S, "both to listen")
        idle = [_sockets(pid) for pid in before]
        clients: list[Client] = []

        def both_are_busy() -> bool:
            clients.append(connected.enter_context(Client.tcp(server.port)))
            assert clients[-1].reply().code == 220
            return all(_sockets(pid) > count for pid, count in zip(before, idle, strict=True))

        wait_for(both_are_busy, _SOON_S, "each worker to have a connection")
        os.kill(before[0], signal.SIGKILL)
        wait_for(lambda: _ended(before[0]), _SOON_S, "the worker's end")
        alive = 0
        for client in clients:
            with suppress(ConnectionError):
                alive += client.command("NOOP").code == 250
        assert 0 < alive < len(clients)
        wait_for(lambda: len(server.workers()) == 2, _SOON_S, "a new worker")
        assert before[1] in server.workers()
        assert f"worker-ended worker=0 pid={before[0]} exit=-9" in server.log


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
