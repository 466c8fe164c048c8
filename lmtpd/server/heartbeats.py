"""Heartbeats: whether the event loops of the workers turn.

A hook that blocks in C and does not say so stops all of its worker's sessions, for as long as it
likes; an event loop cannot notice that of itself.
"""

from __future__ import annotations

import mmap
import time

BEAT_SECONDS = 1.0
_NONE = 0.0


class Heartbeats:
    """When each worker's loop turned last, in memory that the parent sees too.

    It is made before the workers are forked. Each writes only its own moment, so that no lock is
    needed.
    """

    def __init__(self, workers: int) -> None:
        """No heart beats yet."""
        self._moments = memoryview(mmap.mmap(-1, 8 * workers)).cast("d")

    def beat(self, index: int) -> None:
        """A worker: its loop turns."""
        self._moments[index] = time.monotonic()

    def end(self, index: int) -> None:
        """The worker is gone."""
        self._moments[index] = _NONE

    def silence_s(self, index: int) -> float:
        """For how many seconds a worker's loop has not turned; 0 if it never has."""
        last = self._moments[index]
        return 0.0 if last == _NONE else time.monotonic() - last
