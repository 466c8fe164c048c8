"""Workforce: workers that there are, seen from their parent: told to go, ended, and reaped."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..log import Log
from .channel import RETIRE, Channel
from .succession import Succession

LONGEST_PAUSE_SECONDS = 30.0
"""Before a worker that dies at once, again and again, is replaced."""


@dataclass(slots=True)
class Place:
    """One worker's place: who is in it, or when the next may come."""

    index: int
    pid: int = 0
    channel: Channel | None = None
    succession: Succession = field(default_factory=lambda: Succession(LONGEST_PAUSE_SECONDS))


class Workforce:
    """Some of them; of lmtpd.server.generation, or of the program that was here before."""

    def __init__(self, places: Iterable[Place], log: Log) -> None:
        """Those in these places.

        Args:
            places: with a worker, or without.
            log: where lines go.
        """
        self._places = [*places]
        self._log = log
        self._has_to_go = False

    @property
    def is_gone(self) -> bool:
        """Whether no worker is there."""
        return not any(place.pid for place in self._places)

    def channels(self) -> dict[int, Channel]:
        """To those who are there, by their numbers."""
        return {place.index: place.channel for place in self._places if place.channel}

    def workers(self) -> list[tuple[int, Channel]]:
        """The process ids of those who are there, and the channels to them."""
        return [(place.pid, place.channel) for place in self._places if place.channel]

    def retire(self) -> None:
        """Have them accept no more, and go when they have done what they have.

        To be said again and again: one that did not listen for long has missed it.
        """
        self._has_to_go = True
        for channel in self.channels().values():
            channel.say(RETIRE)

    def signal(self, number: signal.Signals) -> None:
        """Send all of them a signal that ends them, soon or at once."""
        self._has_to_go = True
        for place in self._places:
            if place.pid:
                os.kill(place.pid, number)
                self._part(place)  # a worker that still waits for its sockets ends too

    def reap(self) -> None:
        """See who has ended."""
        for place in self._places:
            if place.pid:
                pid, status = os.waitpid(place.pid, os.WNOHANG)
                if pid:
                    self._vacate(place, os.waitstatus_to_exitcode(status))

    def close(self) -> None:
        """In a child: the channels are the parent's."""
        for channel in self.channels().values():
            channel.close()

    def _vacate(self, place: Place, code: int) -> None:
        """A worker has ended."""
        place.succession.end()
        if place.pid and (code or not self._has_to_go):
            self._log.line("worker-ended", worker=place.index, pid=place.pid, exit=code)
        place.pid = 0
        self._part(place)

    def _part(self, place: Place) -> None:
        if place.channel:
            place.channel.close()
            place.channel = None
