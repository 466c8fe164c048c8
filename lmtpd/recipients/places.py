"""Places: so many at a time, in the order of their coming.

The standard library's semaphore lets whoever comes at the right moment go first, and puts one that
it has woken in vain at the end of the queue again: under load, some would wait until their time is
over while others are served twice.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Places:
    """A number of places for connections; one that gets free is that of who has waited longest."""

    def __init__(self, number: int) -> None:
        self._number = self._free = number
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def taken(self, seconds: float) -> Iterator[None]:
        """Have a place for a while.

        Raises:
            TimeoutError: none got free in so many seconds.
        """
        turn = self._come()
        if turn:
            self._await(turn, seconds)
        try:
            yield
        finally:
            self._leave()

    def _await(self, turn: threading.Event, seconds: float) -> None:
        try:
            has_come = turn.wait(seconds)
        except BaseException:  # the end of our time
            if not self._gives_up(turn):
                self._leave()  # it had just become ours, and nobody would give it back
            raise
        if not has_come and self._gives_up(turn):
            raise TimeoutError(f"{self._number} connections were busy for {seconds:g} s")

    def _come(self) -> threading.Event | None:
        """What to wait for; nothing if a place is free."""
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            turn = threading.Event()
            self._waiting.append(turn)
            return turn

    def _gives_up(self, turn: threading.Event) -> bool:
        """Whether it waits no more; no if its turn has come at this very moment."""
        with self._lock:
            if turn not in self._waiting:
                return False
            self._waiting.remove(turn)
            return True

    def _leave(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1
