"""Acceptor: gevent's StreamServer, for one listener of one worker among several."""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent import socket
from gevent.pool import Pool
from gevent.server import StreamServer

from .balance import Balance

LOOKING_AWAY_SECONDS = 0.002
"""Long enough for an idle neighbour to wake up, too short for a client to notice."""


class Acceptor(StreamServer):
    """Accepts the connections that are this worker's."""

    # One at a time: what this process cannot serve at once is left to its neighbours.
    max_accept = 1

    def __init__(
        self,
        listener: socket.socket,
        handle: Callable[[socket.socket, object], None],
        greenlets: Pool,
        balance: Balance,
        index: int,
    ) -> None:
        """Each connection that `handle` is done with is to be told to `balance`."""
        super().__init__(listener, handle, spawn=greenlets)
        self._balance = balance
        self._index = index
        self._has_looked_away = False

    def do_read(self) -> tuple[socket.socket, object] | None:  # type: ignore[override] # None is "later"
        """Accept, unless it is another worker's turn; then look again in a moment, and accept."""
        if self._balance.is_anothers_turn(self._index) and not self._has_looked_away:
            self._has_looked_away = True
            self.stop_accepting()
            gevent.spawn_later(LOOKING_AWAY_SECONDS, self._look_again)
            return None
        self._has_looked_away = False
        accepted: tuple[socket.socket, object] | None = super().do_read()
        if accepted:
            self._balance.add(self._index, 1)
        return accepted

    def _look_again(self) -> None:
        if not self.closed:
            self.start_accepting()
