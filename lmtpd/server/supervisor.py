"""Supervisor: the parent process. It binds, forks workers, replaces those that die, and stops them.

It never imports gevent nor anything that gevent has to patch: each worker patches itself after the
fork. Signals are blocked and waited for, so that none can come at the wrong moment; SIGIO is one of
them, by which commands and the workers' answers to them announce themselves.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from ..log import Log
from .balance import Balance
from .channel import Channel, announce
from .companion import Companion
from .control import Control

if TYPE_CHECKING:
    import socket

START_SECONDS = 30.0
"""For a worker to load its hooks, or it is taken for broken."""
LAST_WORDS_SECONDS = 15.0
"""Beyond `lmtp-drain-timeout`, before a worker that hangs is killed."""
SHORT_LIFE_SECONDS = 10.0
"""A worker that dies sooner is replaced more slowly each time."""
LONGEST_PAUSE_SECONDS = 30.0

_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGIO})


@dataclass(slots=True)
class _Place:
    """One worker's place: who is in it, or when the next may come."""

    index: int
    pid: int = 0
    channel: Channel | None = None
    started: float = 0.0
    pause: float = 0.0
    due: float = 0.0


class Supervisor:
    """Keeps `workers` processes alive."""

    def __init__(
        self,
        workers: int,
        work: Callable[[int, Channel], int],
        bind: Callable[[], list[socket.socket]],
        meet: Callable[[], socket.socket | None],
        log: Log,
        balance: Balance,
        drain_seconds: float,
        companions: Sequence[Companion] = (),
    ) -> None:
        """A parent that has not forked yet.

        Args:
            workers: how many.
            work: what a worker does, given its number and its end of the channel; its exit code.
            bind: gives the listening sockets, once a worker has shown that it can start.
            meet: gives the socket for commands then, if it can be had.
            log: where lines go.
            balance: how many connections each worker has.
            drain_seconds: how long workers may go on after the order to stop.
            companions: processes beside the workers.
        """
        self._places = [_Place(index) for index in range(workers)]
        self._work = work
        self._bind = bind
        self._meet = meet
        self._log = log
        self._balance = balance
        self._drain_seconds = drain_seconds
        self._companions = companions
        self._listeners: list[socket.socket] = []
        self._control: Control | None = None
        self._is_stopping = False

    def run(self, ready: Callable[[list[socket.socket]], None]) -> int:
        """Serve until SIGTERM or SIGINT; the exit code.

        Args:
            ready: called with the listeners when connections are accepted.

        Raises:
            BindError: as `bind` does; no worker is left then.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            # One alone at first: it says what is wrong, once, and nothing is bound before.
            code = self._start(self._places[0])
            if code:
                return code
            self._listeners = self._bind()
            commands = self._meet()
            if commands:
                self._control = Control(commands, self._channels, self._log)
            self._employ(self._places[0])
            ready(self._listeners)
            self._supervise()
        finally:
            self._stop()
        return os.EX_OK

    def _supervise(self) -> None:
        while True:
            self._fill()
            for companion in self._companions:
                companion.fill(self._let_go)
            number = _wait_for_signal(self._pause())
            if number in (signal.SIGTERM, signal.SIGINT):
                return
            self._reap()
            if self._control:
                self._control.turn()

    def _pause(self) -> float | None:
        """For how many seconds there is nothing to do, unless a signal comes."""
        due = [place.due for place in self._places if not place.pid]
        due += [one.due for one in self._companions if one.due is not None]
        if self._control and self._control.due:
            due.append(self._control.due)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _channels(self) -> dict[int, Channel]:
        return {place.index: place.channel for place in self._places if place.channel}

    def _fill(self) -> None:
        """Put a worker into every place that is empty and due."""
        waiting = [place for place in self._places if not place.pid]
        for place in waiting:
            if place.due <= time.monotonic() and self._start(place) == 0:
                self._employ(place)

    # One worker.

    def _start(self, place: _Place) -> int:
        """Fork, and wait until the worker is ready; else the exit code of its failure."""
        place.channel, theirs = Channel.pair()
        place.started = time.monotonic()
        place.pid = os.fork()
        if not place.pid:
            self._become_worker(place.index, theirs)
        theirs.close()
        if place.channel.wait_until_ready(START_SECONDS):
            return 0
        os.kill(place.pid, signal.SIGKILL)
        _, status = os.waitpid(place.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._vacate(place, code)
        return code if code > 0 else os.EX_SOFTWARE

    def _become_worker(self, index: int, channel: Channel) -> NoReturn:
        """The child: nothing of the parent's may run in it, not even on the way out."""
        code = os.EX_SOFTWARE
        try:
            self._let_go()
            code = self._work(index, channel)
        except BaseException as error:  # noqa: BLE001 - a fork must never return into the parent
            self._log.line("worker-failed", worker=index, cause=repr(error))
        finally:
            self._log.flush()  # lines are gathered by now, and nothing comes after this
            os._exit(code)

    def _let_go(self) -> None:
        """In a child: what is the parent's alone."""
        for place in self._places:
            if place.channel:
                place.channel.close()
        for listener in self._listeners:
            listener.close()
        if self._control:
            self._control.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's; the parent passes it on

    def _employ(self, place: _Place) -> None:
        try:
            if place.channel:
                place.channel.send_listeners(self._listeners)
                announce(place.channel)
                self._log.line("worker-started", worker=place.index, pid=place.pid)
        except OSError as error:
            # It has just died; SIGCHLD tells, and its place is filled again.
            self._log.line("worker-lost", worker=place.index, cause=repr(error))

    def _reap(self) -> None:
        for place in self._places:
            if place.pid:
                pid, status = os.waitpid(place.pid, os.WNOHANG)
                if pid:
                    self._vacate(place, os.waitstatus_to_exitcode(status))

        for companion in self._companions:
            companion.reap()

    def _vacate(self, place: _Place, code: int) -> None:
        """A worker has ended: its successor comes at once, or later if it lived a short time."""
        now = time.monotonic()
        is_short = now - place.started < SHORT_LIFE_SECONDS
        place.pause = min(LONGEST_PAUSE_SECONDS, place.pause * 2 or 0.5) if is_short else 0.0
        place.due = now + place.pause
        if not self._is_stopping:
            self._log.line("worker-ended", worker=place.index, pid=place.pid, exit=code)
        place.pid = 0
        self._balance.leave(place.index)
        if place.channel:
            place.channel.close()
            place.channel = None

    # The end.

    def _stop(self) -> None:
        """Drain all workers; kill those that hang, or all of them on a second SIGINT."""
        self._is_stopping = True
        if self._control:
            self._control.close()
        for listener in self._listeners:
            listener.close()
        self._signal(signal.SIGTERM)
        end = time.monotonic() + self._drain_seconds + LAST_WORDS_SECONDS
        while any(place.pid for place in self._places):
            number = _wait_for_signal(max(0.0, end - time.monotonic()))
            if number in (0, signal.SIGINT):
                self._signal(signal.SIGKILL)
                end = time.monotonic() + LAST_WORDS_SECONDS
            self._reap()
        for companion in self._companions:
            companion.stop()

    def _signal(self, number: int) -> None:
        for place in self._places:
            if place.pid:
                os.kill(place.pid, number)
                if place.channel:
                    place.channel.close()  # a worker that still waits for its sockets ends too
                    place.channel = None


def _wait_for_signal(seconds: float | None) -> int:
    """The next signal; 0 when the time is over."""
    if seconds is None:
        return signal.sigwaitinfo(_SIGNALS).si_signo
    info = signal.sigtimedwait(_SIGNALS, seconds)
    return info.si_signo if info else 0
