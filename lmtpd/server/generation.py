"""Generation: the workers of one configuration, from their start until the last of them is gone.

When the configuration is read anew another generation takes over the listeners, and this one
finishes what it has: it is replaced as a whole, and no worker ever changes what it goes by.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from ..failures import told
from ..log import Log
from .channel import Channel, announce
from .listener import Listener
from .plan import Plan
from .workforce import Place, Workforce

START_SECONDS = 55.0
"""For a worker to load its hooks, or it is taken for broken. Beside a load of ten times what the
machine can do it takes more than 30; and the unit's watchdog waits for the parent meanwhile."""


class StartError(Exception):
    """A worker cannot start: its exit code, and why, in lines."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text or f"a worker ended with {code} before it could serve")
        self.code = code


class Generation(Workforce):
    """The parent's view of them."""

    def __init__(self, plan: Plan, log: Log, let_go: Callable[[], object]) -> None:
        """A generation that has no worker yet.

        Args:
            plan: what they do.
            log: where lines go.
            let_go: lets go, in a child, of what is the parent's.
        """
        super().__init__(map(Place, range(plan.workers)), log)
        self.plan = plan
        self._let_go = let_go

    @property
    def is_complete(self) -> bool:
        """Whether each worker is there."""
        return all(place.pid for place in self._places)

    @property
    def due(self) -> Iterator[float]:
        """When workers are to be started, by the monotonic clock."""
        return (place.succession.due for place in self._places if not place.pid)

    def prove(self) -> None:
        """Start the first worker, which loads all that any of them will load; it waits then.

        Raises:
            StartError: it cannot start.
        """
        self._start(self._places[0])

    def employ_first(self, listeners: Sequence[Listener]) -> None:
        """Let it serve, if it could be started."""
        self._employ(self._places[0], listeners)

    def fill(self, listeners: Sequence[Listener]) -> Iterator[None]:
        """Put a worker into every place that is empty and due; a step for each."""
        for place in self._places:
            if not place.pid and place.succession.is_due:
                try:
                    self._start(place)
                except StartError as error:
                    self._log.line("worker-failed", worker=place.index, cause=error)
                else:
                    self._employ(place, listeners)
                yield

    def kill_who_hangs(self) -> None:
        """Nobody whose session is in such a worker is served any more: his client comes again."""
        for place in self._places:
            silence_s = self.plan.heartbeats.silence_s(place.index)
            if place.pid and silence_s > self.plan.patience_s:
                self._log.line("worker-hangs", worker=place.index, pid=place.pid, seconds=silence_s)
                os.kill(place.pid, signal.SIGKILL)
                self.plan.heartbeats.end(place.index)

    # One worker.

    def _start(self, place: Place) -> None:
        place.succession.begin()
        try:
            place.channel, theirs = Channel.pair()
            place.pid = os.fork()
        except OSError as error:  # too many descriptors, or processes: later, perhaps
            self._vacate(place, os.EX_OSERR)
            raise StartError(os.EX_OSERR, told(error)) from error
        if not place.pid:
            self._become_worker(place.index, theirs)
        theirs.close()
        fault = place.channel.wait_until_ready(START_SECONDS)
        if fault is None:
            return
        # It takes too long; to one that has ended, or is about to, this does nothing.
        os.kill(place.pid, signal.SIGKILL)
        _, status = os.waitpid(place.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._vacate(place, code)
        raise StartError(code if code > 0 else os.EX_SOFTWARE, fault)

    def _become_worker(self, index: int, channel: Channel) -> NoReturn:
        """The child: nothing of the parent's may run in it, not even on the way out."""
        code = os.EX_SOFTWARE
        try:
            self.close()  # also before it is the one that serves, or no end would ever be seen
            self._let_go()
            code = self.plan.work(index, channel)
        except BaseException as error:  # noqa: BLE001 - a fork must never return into the parent
            channel.say_fault(repr(error))
            self._log.line("worker-failed", worker=index, cause=repr(error))
        finally:
            self._log.settle()  # lines are gathered by now, and nothing comes after this
            os._exit(code)

    def _employ(self, place: Place, listeners: Sequence[Listener]) -> None:
        try:
            if place.channel:
                place.channel.send_listeners(listeners)
                announce(place.channel)
                self._log.line("worker-started", worker=place.index, pid=place.pid)
        except OSError as error:
            # It has just died; SIGCHLD tells, and its place is filled again.
            self._log.line("worker-lost", worker=place.index, cause=repr(error))

    def _vacate(self, place: Place, code: int) -> None:
        super()._vacate(place, code)
        self.plan.heartbeats.end(place.index)
        self.plan.census.leave(place.index)
