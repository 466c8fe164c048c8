"""Troubles: what may befall a server in years, one after the other by a seed.

Promises: each kind comes before any comes again, in an order that the seed chooses. One that lasts
is over before the next of these begins; in the midst of some a short one happens too. As long as no
reload is allowed, which replaces all workers, one of them is spared, so that it grows old.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from random import Random

from bench.endurance.sender import reset_on_close
from bench.endurance.site import ROUTES, WORKERS, Site
from bench.endurance.vitals import children
from tests.support.client import Client
from tests.support.load import compose, greeted
from tests.support.processes import runs
from tests.support.waiting import wait_for

STOPPED = "worker stopped"
UPGRADE = "upgrade"

_GONE_S = 10.0
_PATIENCE_S = 180.0
_CROWD = 40
_LASTING_S = (3.0, 8.0)
_BETWEEN_S = (1.0, 6.0)
_IN_THE_MIDST = 0.3
"""The share of lasting troubles that another comes to."""


@dataclass(frozen=True, slots=True)
class Happening:
    """A trouble that was; seconds since the begin."""

    name: str
    begun: float
    ended: float
    detail: str


class Troubles:
    """Makes them, on the calling thread."""

    def __init__(self, site: Site, seed: str) -> None:
        """None yet.

        Args:
            site: what is disturbed.
            seed: of chance.
        """
        self.happened: list[Happening] = []
        self._site = site
        self._say: Callable[[str], object] = lambda _: None
        self._chance = Random(f"{seed}/troubles")  # noqa: S311 - not for secrets
        self._deck: list[str] = []
        self._allows_reloads = False
        self._spared: int | None = None

    def go_on(self, end: float, say: Callable[[str], object], *, allows_reloads: bool) -> None:
        """Trouble upon trouble.

        Args:
            end: when it is enough, by the monotonic clock; what has begun goes on to its end.
            say: is told what happens at the moment.
            allows_reloads: else one worker is spared.
        """
        self._say = say
        if self._allows_reloads is not allows_reloads:
            self._allows_reloads, self._deck = allows_reloads, []
        self._spared = None if allows_reloads else min(self._workers())
        while time.monotonic() < end:
            say("")
            time.sleep(self._chance.uniform(*_BETWEEN_S))
            if not self._deck:
                self._deck = [*LASTING, *self._short()]
                self._chance.shuffle(self._deck)
            self._happen(self._deck.pop())

    def upgrade(self) -> None:
        """The program takes its own place, by exec; the last trouble."""
        self._note(UPGRADE, self._upgraded)

    def _short(self) -> list[str]:
        return [*SHORT, *(RELOADS if self._allows_reloads else ())]

    def _happen(self, name: str) -> None:
        short = {**SHORT, **RELOADS}
        if name in short:
            self._note(name, lambda: short[name](self))
            return
        self._note(name, lambda: self._last(name))

    def _last(self, name: str) -> str:
        seconds = self._chance.uniform(*_LASTING_S)
        with LASTING[name](self) as detail:
            self._say(name)
            time.sleep(seconds / 2)
            if self._chance.random() < _IN_THE_MIDST:
                # A reload waits for new workers, and the clients of one that is stopped wait too.
                short = [*SHORT] if name == STOPPED else self._short()
                self._happen(self._chance.choice(short))
            time.sleep(seconds / 2)
        return detail

    def _note(self, name: str, happen: Callable[[], str]) -> None:
        self._say(name)
        begun = time.monotonic()
        try:
            detail = happen()
        except (OSError, RuntimeError) as error:
            detail = str(error)
            self._site.ledger.fault(f"{name}: {error!r}")
        since = self._site.ledger.begun
        self.happened.append(Happening(name, begun - since, time.monotonic() - since, detail))

    def _workers(self) -> list[int]:
        """Those that run, of any generation."""
        known, pids = self._site.log.workers, children(self._site.server.pid)
        return [pid for pid in pids if pid in known and runs(pid)]

    # Those that are over at once.

    def kill_worker(self) -> str:
        """As the kernel does it for want of memory."""
        victims = [pid for pid in self._workers() if pid != self._spared]
        if not victims:
            return "none to kill"
        pid = self._chance.choice(victims)
        with self._site.ledger.kills(pid):
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not runs(pid), _GONE_S, f"the end of {pid}")
        return f"worker {self._site.log.workers[pid]}, process {pid}"

    def lose_crowd(self) -> str:
        """A machine in front of us fails, with many connections in mid-text."""
        crowd = [self._half_a_letter() for _ in range(_CROWD)]
        for client in crowd:
            if self._chance.random() < 0.5:
                reset_on_close(client)
            client.close()
        return f"{_CROWD} connections"

    def _half_a_letter(self) -> Client:
        name = f"crowd/{len(self.happened)}/{self._chance.random()}"
        recipient = self._chance.choice(list(ROUTES))
        self._site.ledger.sends(name, [recipient])
        self._site.ledger.vanishes(name)
        client = greeted(self._site.server.port)
        octets = compose(name, 100_000)
        commands = ("MAIL FROM:<crowd@example.net>", f"RCPT TO:<{recipient}>", "DATA")
        if [client.command(command).code for command in commands] == [250, 250, 354]:
            client.send(octets[: self._chance.randrange(len(octets))])
        return client

    # The server's own.

    def reload(self) -> str:
        """As it is."""
        self._site.configuration.write()
        self._until_logged(signal.SIGHUP, "reloaded")
        return ""

    def change(self) -> str:
        """Something is different from now on, until the next reload."""
        name, value = self._chance.choice(CHANGES)
        self._site.configuration.write(**{name: value})
        self._until_logged(signal.SIGHUP, "reloaded")
        return f"{name.replace('_', '-')} = {value}"

    def spoil(self) -> str:
        """The file is wrong, and nothing may change."""
        before = self._workers()
        self._site.configuration.write(lmtp_workers="many")
        self._until_logged(signal.SIGHUP, "reload-refused")
        if not {*before} <= {*self._workers()}:
            self._site.ledger.fault("workers are gone after a reload that was refused")
        self._site.configuration.write()
        return "lmtp-workers = many"

    def _upgraded(self) -> str:
        # The least that a configuration asks for.
        count = self._site.log.events["worker-started"] + WORKERS - 1
        self._until_logged(signal.SIGUSR2, "upgrading")
        wait_for(
            lambda: self._site.log.events["worker-started"] >= count, _PATIENCE_S, "new workers"
        )
        return ""

    def _until_logged(self, number: signal.Signals, event: str) -> None:
        events = self._site.log.events
        count = events[event] + 1
        os.kill(self._site.server.pid, number)
        wait_for(lambda: events[event] >= count, _PATIENCE_S, event)

    # Those that last.

    @contextmanager
    def stopped_worker(self) -> Iterator[str]:
        """As if its processor were somebody else's."""
        pid = self._chance.choice(self._workers())
        os.kill(pid, signal.SIGSTOP)
        yield f"worker {self._site.log.workers[pid]}, process {pid}"
        with suppress(ProcessLookupError):  # killed meanwhile
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def full_disk(self) -> Iterator[str]:
        """To the last block."""
        with self._kept(), self._site.disk.without_room():
            yield ""

    @contextmanager
    def no_inodes(self) -> Iterator[str]:
        """Not one file more."""
        with self._kept(), self._site.disk.without_inodes():
            yield ""

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Nobody throws mail away meanwhile: that would make room."""
        self._site.reader.keeps_all = True
        yield
        self._site.reader.keeps_all = False

    @contextmanager
    def dead_data_base(self) -> Iterator[str]:
        """It dies, and recovers when it starts."""
        self._site.data_base.die()
        yield ""
        self._site.data_base.come_back()


SHORT: dict[str, Callable[[Troubles], str]] = {
    "worker killed": Troubles.kill_worker,
    "crowd lost": Troubles.lose_crowd,
}
LASTING: dict[str, Callable[[Troubles], AbstractContextManager[str]]] = {
    STOPPED: Troubles.stopped_worker,
    "disk full": Troubles.full_disk,
    "no inodes": Troubles.no_inodes,
    "data base dead": Troubles.dead_data_base,
}
RELOADS: dict[str, Callable[[Troubles], str]] = {
    "reload": Troubles.reload,
    "reload, changed": Troubles.change,
    "reload, refused": Troubles.spoil,
}
CHANGES: tuple[tuple[str, object], ...] = (
    ("lmtp_workers", WORKERS - 1),
    ("lmtp_disk_reserve", "16M"),
    ("lmtp_commit", "fsync"),
    ("lmtp_commit", "syncfs"),
    ("lmtp_recipient_hooks", "sql;table"),
    ("lmtp_mailbox_concurrency", 1),
)
