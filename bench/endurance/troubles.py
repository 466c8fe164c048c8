"""Troubles: what may befall a server in years, one after the other by a seed.

Promises: each kind comes before any comes again, in an order that the seed chooses. One that lasts
is over before the next of these begins; in the midst of some a short one happens too. Until the
reloads begin, in the second half, one worker is spared, so that one of them grows old.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bench.endurance.sender import reset_on_close
from bench.endurance.site import ROUTES, Site
from bench.endurance.vitals import children
from tests.support.client import Client
from tests.support.load import compose, greeted
from tests.support.waiting import wait_for

_GONE_S = 10.0
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
        self._spared: int | None = None

    def go_on(self, end: float, say: Callable[[str], object], *, allows_reloads: bool) -> None:
        """Trouble upon trouble.

        Args:
            end: when it is enough, by the monotonic clock; what has begun goes on to its end.
            say: is told what happens at the moment.
            allows_reloads: else one worker is spared.
        """
        self._say = say
        self._spared = None if allows_reloads else min(self._workers())
        while time.monotonic() < end:
            say("")
            time.sleep(self._chance.uniform(*_BETWEEN_S))
            if not self._deck:
                self._deck = [*LASTING, *SHORT]
                self._chance.shuffle(self._deck)
            name = self._deck.pop()
            if allows_reloads or name not in RELOADS:
                self._happen(name)

    def _happen(self, name: str) -> None:
        if name in SHORT:
            self._note(name, lambda: SHORT[name](self))
            return
        self._note(name, lambda: self._last(name))

    def _last(self, name: str) -> str:
        seconds = self._chance.uniform(*_LASTING_S)
        with LASTING[name](self) as detail:
            self._say(name)
            time.sleep(seconds / 2)
            if self._chance.random() < _IN_THE_MIDST:
                self._happen("worker killed")
            time.sleep(seconds / 2)
        return detail

    def _note(self, name: str, happen: Callable[[], str]) -> None:
        self._say(name)
        begun = time.monotonic()
        detail = happen()
        since = self._site.ledger.begun
        self.happened.append(Happening(name, begun - since, time.monotonic() - since, detail))

    def _workers(self) -> list[int]:
        return [pid for pid in children(self._site.server.pid) if pid in self._site.log.workers]

    # Those that are over at once.

    def kill_worker(self) -> str:
        """As the kernel does it for want of memory."""
        victims = [pid for pid in self._workers() if pid != self._spared]
        if not victims:
            return "none to kill"
        pid = self._chance.choice(victims)
        with self._site.ledger.kills(pid):
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not Path(f"/proc/{pid}").exists(), _GONE_S, f"the end of {pid}")
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
        client.send(
            f"MAIL FROM:<crowd@example.net>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode()
            + octets[: self._chance.randrange(len(octets))]
        )
        return client

    # Those that last.

    @contextmanager
    def stopped_worker(self) -> Iterator[str]:
        """As if its processor were somebody else's."""
        pid = self._chance.choice(self._workers())
        os.kill(pid, signal.SIGSTOP)
        yield f"worker {self._site.log.workers[pid]}, process {pid}"
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
    "worker stopped": Troubles.stopped_worker,
    "disk full": Troubles.full_disk,
    "no inodes": Troubles.no_inodes,
    "data base dead": Troubles.dead_data_base,
}
RELOADS: frozenset[str] = frozenset()
