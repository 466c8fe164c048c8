"""The power fails during the load, on real file systems: what was acknowledged is there, whole.

The file system stops at a random moment, most often while a client is reading its 250. Then the
server is killed, the disk looked at anew, and every new/ compared with what the clients had read:
nothing acknowledged is lost, nothing at all is torn or doubled. The next round begins with a new
server on that same disk.

The same code has to catch servers that break the promise, or it proves nothing.

LMTPD_POWER_CUTS is the number of cuts for each of the two file systems (100 for a long run by
hand); LMTPD_CRASH_SEED repeats a run.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from tests.crash.conftest import make_mailboxes
from tests.support.at_call import AtCall
from tests.support.client import Client
from tests.support.components import lacking, require, require_root
from tests.support.load import (
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
)
from tests.support.loop_disk import LoopDisk
from tests.support.namespace import MountError
from tests.support.server import PROJECT, Server

CUTS = int(os.environ.get("LMTPD_POWER_CUTS", "10"))
CUTS_TO_BE_CAUGHT = 10

_MOST_EVENTS = 900
_CUT_S = 60.0


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LoopDisk]:
    """An empty disk of that kind."""
    require_root("only root can mount a file system, and stop it")
    require(request.param)
    with ExitStack() as stack:
        try:
            mounted = stack.enter_context(LoopDisk(request.param, tmp_path))
        except MountError as error:
            lacking(f"no disk of our own: {error}")
        yield mounted


class Rehearsal:
    """Power cuts on one disk, one after another."""

    def __init__(
        self, disk: LoopDisk, folder: Path, seed: str, program: Sequence[str] = ("lmtpd.py",)
    ) -> None:
        self.acknowledged = 0
        self._disk = disk
        self._folder = folder
        self._seed = seed
        self._program = program
        self._count = 0

    def cut(self) -> Findings:
        """Load, cut, remount, compare; what the store holds against the promise."""
        name, record = self._begin()
        chance = Random(name)
        server = self._server(
            lmtp_commit=chance.choice(("auto", "fsync", "syncfs")),
            lmtp_delivered_to=chance.choice((True, False)),
        )
        connections = chance.choice((1, 2, 4, 8))
        trigger = Trigger(chance.randint(1, _MOST_EVENTS), self._disk.cut)
        with server, Load(server.port, record, name, connections, trigger) as load:
            load.wait(lambda: trigger.is_over, _CUT_S, "the power cut")
            load.stop()
            if chance.random() < 0.5:
                # What the server says to those who were waiting counts as well.
                load.join()
            server.kill_all()
        return self._findings(name, record)

    def cut_at_call(self, number: int, commit: str) -> tuple[AtCall, Findings]:
        """Cut before that call of one delivery, if it has so many; what the store holds then."""
        name, record = self._begin()
        server = self._server(lmtp_commit=commit, lmtp_workers=1)
        recipients = ["made1@" + next(iter(record.routes)).partition("@")[2]]
        with server, greeted(server.port) as client:
            # The first message finds the way, so that the second one's calls are those that matter.
            _send(client, record, f"{name}/first", recipients)
            accepted = announce(client, record, f"{name}/second", recipients)
            octets = compose(f"{name}/second", SMALLEST_OCTETS)
            with AtCall(server.pid, number, self._disk.cut) as tracer:
                finish(client, record, f"{name}/second", accepted, octets)
            server.kill_all()
        return tracer, self._findings(name, record)

    def _begin(self) -> tuple[str, Record]:
        """The name of the next cut, and what is to be remembered of it."""
        self._count += 1
        routes = make_mailboxes(self._emptied_store(), self._folder / "table", f"r{self._count}")
        return f"{self._seed}-{self._count}", Record(routes)

    def _findings(self, name: str, record: Record) -> Findings:
        self._disk.remount()
        assert not record.faults, f"{name}: {record.faults}"
        self.acknowledged += len(record.promises())
        return examine(self._disk.seen / "maildirs", record)

    def _server(self, **settings: object) -> Server:
        return Server(
            self._folder,
            prefix=self._disk.prefix(PROJECT),
            program=self._program,
            lmtp_maildir_root=self._disk.path / "maildirs",
            lmtp_recipient_hooks="table;maildirs",
            lmtp_recipient_table=self._folder / "table",
            lmtp_dns=False,
            **settings,
        )

    def _emptied_store(self) -> Path:
        """The store's root, with no mail; its own name is durable, as an operator's would be."""
        root = self._disk.seen / "maildirs"
        if root.exists():
            for domain in root.iterdir():
                shutil.rmtree(domain)
        else:
            root.mkdir()
        os.sync()
        return root


def _send(client: Client, record: Record, letter: str, recipients: Sequence[str]) -> None:
    accepted = announce(client, record, letter, recipients)
    answers = finish(client, record, letter, accepted, compose(letter, SMALLEST_OCTETS))
    assert [answer.code for answer in answers] == [250]


def test_what_was_acknowledged_survives(disk: LoopDisk, tmp_path: Path, seed: str) -> None:
    rehearsal = Rehearsal(disk, tmp_path, seed)
    for number in range(1, CUTS + 1):
        findings = rehearsal.cut()
        assert not findings, f"cut {number}: {findings}"
    assert rehearsal.acknowledged > CUTS, "hardly a message was acknowledged: nothing was tried"


@pytest.mark.parametrize("commit", ["fsync", "syncfs"])
def test_a_cut_between_any_two_calls_loses_nothing(
    disk: LoopDisk, tmp_path: Path, commit: str
) -> None:
    """A call that was under way must not be taken for done, be it that the kernel says so."""
    rehearsal = Rehearsal(disk, tmp_path, commit)
    done: list[str] = []
    for number in itertools.count(1):
        tracer, findings = rehearsal.cut_at_call(number, commit)
        assert not findings, f"cut before {tracer.at}, behind {done}: {findings}"
        if not tracer.at:
            break
        done.append(tracer.at)
    assert {"fsync", "fdatasync", "syncfs"} & set(done), f"not the calls of a delivery: {done}"


@pytest.mark.parametrize("fault", ["no-sync", "no-directory-sync", "no-file-sync", "reply-first"])
def test_a_server_that_breaks_the_promise_is_caught(
    disk: LoopDisk, tmp_path: Path, seed: str, fault: str
) -> None:
    program = ("-m", "tests.support.broken", fault)
    rehearsal = Rehearsal(disk, tmp_path, seed, program)
    assert any(rehearsal.cut() for _ in range(CUTS_TO_BE_CAUGHT))
