"""Balance: which worker a connection belongs to, when all of them listen to one socket.

The kernel wakes them all, and the one that is awake already wins: connections that come one by one
would pile up on one worker while its neighbours are idle. So a worker that has more of them than
another looks away for a moment (lmtpd.server.acceptor).
"""

from __future__ import annotations

import mmap

_ABSENT = 0xFFFFFFFF


class Balance:
    """How many connections each worker has, in memory that all of them share.

    It is made before the workers are forked. Each writes only its own number, so that no lock is
    needed and none can be left behind by a worker that dies.
    """

    def __init__(self, workers: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, 4 * workers)).cast("I")
        for index in range(workers):
            self.leave(index)

    def join(self, index: int) -> None:
        """A worker begins to accept."""
        self._counts[index] = 0

    def leave(self, index: int) -> None:
        """A worker accepts no more, or is gone."""
        self._counts[index] = _ABSENT

    def add(self, index: int, connections: int) -> None:
        """A worker has so many more connections, or fewer; one that has left is not counted."""
        if self._counts[index] != _ABSENT:
            self._counts[index] += connections

    def is_anothers_turn(self, index: int) -> bool:
        """Whether some worker has fewer connections than this one."""
        return min(self._counts) < self._counts[index]
