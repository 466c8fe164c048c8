"""kill -9, of the whole server, of a worker, of the parent: under load, and between any two calls.

No power is lost, so all that was written is there; but nothing that was on its way goes on. What a
client was promised is in new/, once and whole; what is torn lies in tmp/ at most; the next server
serves on the same store, and a client that heard nothing and tries again, as an MTA does, has its
message there in the end.

The same code has to catch servers that break the promise, or it proves nothing.
LMTPD_CRASH_SEED repeats a run.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import pytest

from tests.crash.conftest import make_mailboxes
from tests.support.at_call import AtCall
from tests.support.client import Client
from tests.support.components import require_root
from tests.support.load import (
    MOST_RECIPIENTS,
    SMALLEST_OCTETS,
    Findings,
    Load,
    Record,
    Trigger,
    announce,
    compose,
    examine,
    finish,
    greeted,
    outside_of_mailboxes,
)
from tests.support.processes import members
from tests.support.server import Server
from tests.support.waiting import wait_for

KILLS = 8
KILLS_TO_BE_CAUGHT = 8

_MOST_EVENTS = 500
_CONNECTIONS = 4
_SOON_S = 30.0
_MOST_CALLS = 400
_ABANDONED_S = 37 * 3600
_MORE_THAN_MEMORY = 300 * 1024
"""The server keeps a message of this size in a file until all of it is there."""
_PUBLISHING = ("rename", "renameat", "renameat2", "link", "linkat")


def _server(
    folder: Path, *, program: Sequence[str] = ("lmtpd.py",), lmtp_workers: int | str = "auto"
) -> Server:
    return Server(
        folder,
        program=program,
        lmtp_workers=lmtp_workers,
        lmtp_recipient_hooks="table;maildirs",
        lmtp_recipient_table=folder / "table",
        lmtp_dns=False,
    )


def _broken(folder: Path, fault: str, *, lmtp_workers: int | str = "auto") -> Server:
    program = ("-m", "tests.support.broken", fault)
    return _server(folder, program=program, lmtp_workers=lmtp_workers)


@pytest.fixture
def tracing() -> None:
    """Processes can be traced."""
    require_root("on most systems only root may trace a process that is not its child")


# Under load.


def _kill_under_load(server: Server, name: str, record: Record) -> Findings:
    """Start, load, kill at a random moment; what the store holds against the promise."""
    chance = Random(name)
    trigger = Trigger(chance.randint(1, _MOST_EVENTS), lambda: _kill_group(server))
    with server, Load(server.port, record, name, _CONNECTIONS, trigger) as load:
        load.wait(lambda: trigger.is_over, _SOON_S, "the kill")
        load.stop()
        server.kill_all()
    return examine(server.root, record)


def _kill_group(server: Server) -> None:
    """The parent and all workers at one moment; nobody is waited for."""
    os.killpg(server.pid, signal.SIGKILL)


def test_what_was_acknowledged_is_there_when_the_server_was_killed(
    tmp_path: Path, seed: str
) -> None:
    server = _server(tmp_path)
    record = Record(make_mailboxes(server.root, tmp_path / "table", "kill"))
    for number in range(1, KILLS + 1):
        # Each round is also the proof that the store of the last one can be served.
        findings = _kill_under_load(server, f"{seed}-{number}", record)
        assert not findings, f"kill {number}: {findings}"
        assert not record.faults, f"kill {number}: {record.faults}"
        assert not outside_of_mailboxes(server.root)
    assert len(record.promises()) > KILLS, "hardly a message was acknowledged: nothing was tried"


def test_a_server_that_replies_first_is_caught(tmp_path: Path, seed: str) -> None:
    server = _broken(tmp_path, "reply-first")
    record = Record(make_mailboxes(server.root, tmp_path / "table", "kill"))
    rounds = (f"{seed}-{number}" for number in range(KILLS_TO_BE_CAUGHT))
    assert any(_kill_under_load(server, name, record) for name in rounds)


@pytest.mark.parametrize("fault", ["reply-twice", "reply-of-another"])
def test_a_server_that_answers_wrongly_is_caught(tmp_path: Path, seed: str, fault: str) -> None:
    """Every test here relies on it: the load notices a reply that was not due."""
    server = _broken(tmp_path, fault)
    record = Record(make_mailboxes(server.root, tmp_path / "table", "wrong"))
    with server, Load(server.port, record, seed, _CONNECTIONS) as load:
        load.wait(lambda: bool(record.faults), _SOON_S, "a reply that was not due")


def test_a_killed_worker_takes_nothing_along(tmp_path: Path, seed: str) -> None:
    """Its clients try again elsewhere; those of its neighbours notice nothing."""
    server = _server(tmp_path, lmtp_workers=3)
    record = Record(make_mailboxes(server.root, tmp_path / "table", "worker"))
    chance = Random(seed)

    def kill_one() -> None:
        os.kill(chance.choice(server.workers()), signal.SIGKILL)

    with server:
        first = server.workers()
        if not first:
            pytest.skip("this server has no worker processes")
        for number in (1, 2):
            _load_past(server, record, f"{seed}-{number}", kill_one)
        wait_for(lambda: len(server.workers()) == 3, _SOON_S, "a new worker in each place")
        assert set(server.workers()) != set(first)
        findings = examine(server.root, record)
    assert not findings, findings
    assert not record.faults, record.faults


def _load_past(server: Server, record: Record, name: str, action: Callable[[], None]) -> None:
    """A load in which something happens at a random moment, and which goes on behind it."""
    trigger = Trigger(Random(name).randint(1, _MOST_EVENTS), action)
    with Load(server.port, record, name, 6, trigger) as load:
        load.wait(lambda: trigger.is_over, _SOON_S, "the kill")
        so_far = len(record.answers)
        load.wait(lambda: len(record.answers) > so_far + 50, _SOON_S, "mail behind the kill")


def test_workers_whose_parent_was_killed_finish_and_go(tmp_path: Path, seed: str) -> None:
    server = _server(tmp_path)
    record = Record(make_mailboxes(server.root, tmp_path / "table", "parent"))
    with server:
        if not server.workers():
            pytest.skip("this server has no worker processes")
        parent = server.pid
        trigger = Trigger(
            Random(seed).randint(1, _MOST_EVENTS), lambda: os.kill(parent, signal.SIGKILL)
        )
        try:
            with Load(server.port, record, seed, _CONNECTIONS, trigger) as load:
                load.wait(lambda: trigger.is_over, _SOON_S, "the kill")
                load.stop()
            wait_for(lambda: not members(parent), _SOON_S, "the end of the orphaned workers")
        finally:
            server.kill_all()
        findings = examine(server.root, record)
        assert not findings, findings
        assert not record.faults, record.faults
        # The port is free again, and mail goes where it went before.
        server.start()
        assert _sent(server, record, f"{seed}-after") == {250}


def _sent(server: Server, record: Record, letter: str) -> set[int]:
    """Send one message to some recipients; the codes that were answered."""
    with greeted(server.port) as client:
        accepted = announce(client, record, letter, sorted(record.routes)[:MOST_RECIPIENTS])
        answers = finish(client, record, letter, accepted, compose(letter, SMALLEST_OCTETS))
    return {answer.code for answer in answers}


def test_leftovers_in_tmp_go_in_their_time(tmp_path: Path) -> None:
    # This server has said 250 when it is killed, and not moved the message yet.
    server = _broken(tmp_path, "reply-first")
    record = Record(make_mailboxes(server.root, tmp_path / "table", "leftovers"))
    with server:
        assert _sent(server, record, "leftover") == {250}
        server.kill_all()
    old, young, *_ = server.root.glob("*/*/tmp/*")
    then = time.time() - _ABANDONED_S
    os.utime(old, (then, then))
    with _server(tmp_path):
        wait_for(lambda: not old.exists(), _SOON_S, "the removal of what was abandoned")
    assert young.exists()


# Between any two calls.


class Kills:
    """One delivery after another on one store: each server is killed one call later than the last.

    Each message goes to mailboxes of its own, `domains` says where: those of
    `old.example` are Maildirs already, those of `new.example` are the delivery's to make.
    """

    def __init__(
        self,
        server: Server,
        folder: Path,
        size: int,
        domains: Sequence[str],
        *,
        only_worker: bool = False,
    ) -> None:
        self.record = Record({})
        self.unanswered: list[str] = []
        self._server = server
        self._size = size
        self._domains = domains
        self._only_worker = only_worker
        (folder / "table").write_text(
            "".join(
                f"{letter}@list.example  {', '.join(self._mailboxes(letter))}\n"
                for letter in map(_letter, range(1, _MOST_CALLS))
            )
        )

    def run(self) -> Iterator[str]:
        """The calls of each delivery up to its kill; ends when one was not killed any more."""
        for number in range(1, _MOST_CALLS):
            letter = _letter(number)
            for part in ("tmp", "new", "cur"):
                (self._server.root / "old.example" / letter / part).mkdir(parents=True)
            self.record.routes[f"{letter}@list.example"] = self._mailboxes(letter)
            tracer = self._kill_at(number, letter)
            if not tracer.at:
                return
            yield " ".join(tracer.calls)
        raise AssertionError(f"still at work after {_MOST_CALLS} calls")

    def retry(self) -> None:
        """What the client got no answer to it sends again, as an MTA does."""
        with self._server, greeted(self._server.port) as client:
            for letter in self.unanswered:
                self._send(client, letter, announce(client, self.record, letter, [_list(letter)]))

    def _kill_at(self, number: int, letter: str) -> AtCall:
        with self._server, greeted(self._server.port) as client:
            accepted = announce(client, self.record, letter, [_list(letter)])
            assert accepted
            with AtCall(self._server.pid, number, self._kill) as tracer:
                try:
                    self._send(client, letter, accepted)
                except ConnectionError:
                    self.unanswered.append(letter)
            if self._only_worker and letter in self.unanswered:
                self._retry_at_once(letter)
            self._server.kill_all()
        return tracer

    def _kill(self) -> None:
        if self._only_worker:
            os.kill(self._server.workers()[0], signal.SIGKILL)
        else:
            _kill_group(self._server)

    def _retry_at_once(self, letter: str) -> None:
        """By the worker that takes the place of the one that died."""
        with greeted(self._server.port) as client:
            accepted = announce(client, self.record, letter, [_list(letter)])
            self._send(client, letter, accepted)

    def _send(self, client: Client, letter: str, accepted: list[str]) -> None:
        answers = finish(client, self.record, letter, accepted, compose(letter, self._size))
        assert [answer.code for answer in answers] == [250]

    def _mailboxes(self, letter: str) -> tuple[str, ...]:
        return tuple(f"{letter}@{domain}" for domain in self._domains)


def _letter(number: int) -> str:
    return f"letter{number}"


def _list(letter: str) -> str:
    return f"{letter}@list.example"


@pytest.mark.usefixtures("tracing")
def test_a_kill_between_any_two_calls_tears_and_loses_nothing(tmp_path: Path) -> None:
    # One worker: which of several took the connection would decide whose calls are counted.
    server = _server(tmp_path, lmtp_workers=1)
    kills = Kills(server, tmp_path, _MORE_THAN_MEMORY, ("new.example", "old.example"))
    last = ""
    stray: dict[str, str] = {}
    for last in kills.run():
        findings = examine(server.root, kills.record)
        assert not findings, f"killed at the end of: {last}\n{findings}"
        for file in outside_of_mailboxes(server.root):
            stray.setdefault(file, f"killed at the end of: {last}")
    assert set(_PUBLISHING) & set(last.split()), last
    assert kills.unanswered
    kills.retry()
    # The first attempt may have been there already, which a client that was told nothing cannot
    # know; the server knows it again, by the names of the files.
    findings = examine(server.root, kills.record)
    assert not findings, findings
    assert not kills.record.faults
    assert not stray, stray


@pytest.mark.usefixtures("tracing")
def test_a_worker_killed_between_any_two_calls_doubles_nothing(tmp_path: Path) -> None:
    """The server lives on, and the message comes again at once."""
    server = _server(tmp_path, lmtp_workers=1)
    kills = Kills(server, tmp_path, SMALLEST_OCTETS, ("old.example",), only_worker=True)
    last = ""
    for last in kills.run():
        findings = examine(server.root, kills.record)
        assert not findings, f"killed at the end of: {last}\n{findings}"
    assert set(_PUBLISHING) & set(last.split()), last
    assert len(kills.unanswered) > 3
    assert not kills.record.faults


@pytest.mark.usefixtures("tracing")
def test_a_server_that_writes_in_new_is_caught(tmp_path: Path) -> None:
    server = _broken(tmp_path, "copy-into-new", lmtp_workers=1)
    kills = Kills(server, tmp_path, 2 * SMALLEST_OCTETS, ("old.example",))
    assert any(examine(server.root, kills.record).torn for _ in kills.run())
