"""Acceptor: gevent's StreamServer, for one listener of one worker among several."""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent import socket
from gevent.pool import Pool
from gevent.server import StreamServer

from ..failures import told
from .balance import Balance
from .tally import Tally

LOOKING_AWAY_SECONDS = 0.002
"""Long enough for an idle neighbour to wake up, too short for a client to notice."""
FAILED_SECONDS = 0.1
"""Without descriptors or memory for one more: the kernel would call again at once."""


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
        tally: Tally,
    ) -> None:
        """Each connection that `handle` is done with is to be told to `balance`."""
        super().__init__(listener, handle, spawn=greenlets)
        self._balance = balance
        self._index = index
        self._tally = tally
        self._has_looked_away = False

    def do_read(self) -> tuple[socket.socket, object] | None:  # type: ignore[override] # None is "later"
        """Accept, unless it is another worker's turn; then look again in a moment, and accept."""
        if self._balance.is_anothers_turn(self._index) and not self._has_looked_away:
            self._has_looked_away = True
            self._look_away(LOOKING_AWAY_SECONDS)
            return None
        self._has_looked_away = False
        try:
            accepted: tuple[socket.socket, object] | None = super().do_read()
        except OSError as error:  # gevent would write a traceback for each
            self._tally.note("accept-failed", cause=told(error))
            self._look_away(FAILED_SECONDS)
            return None
        if accepted:
            self._balance.add(self._index, 1)
        return accepted

    def _look_away(self, seconds: float) -> None:
        self.stop_accepting()
        gevent.spawn_later(seconds, self._look_again)

    def _look_again(self) -> None:
        if not self.closed:
            self.start_accepting()
