"""Census: who is connected, to any worker.

A peer that opens connections without end would take them all. No worker can count a peer's alone,
for the kernel deals them out; so the counts are in memory that all of them share. They are kept by
the hash of the peer, in two rows: the less of a peer's two numbers is its own, unless both of its
places are shared with others, which makes it more and never less. A flood is so never overlooked,
and of a million peers none need suffer for ten that flood.
"""

from __future__ import annotations

import functools
import ipaddress
import mmap
from collections.abc import Sequence

from .balance import Balance

_PLACES = 16384
_ROWS = 2
_ALL = _ROWS * _PLACES
"""The place of all peers together."""
_COLUMN_OCTETS = 4 * (_ALL + 1)
_NETWORK_OCTETS = 8
"""Of an IPv6 address: whoever has one has a network /64 of them (RFC 6177)."""


class Census:
    """How many connections there are, in all and from each peer.

    It is made before the workers are forked, and outlives each of them. A worker writes only in its
    own column, so that no lock is needed, and what one that dies leaves behind is known. Two that
    count at the same moment may each miss the other's one.
    """

    def __init__(self, workers: int, earlier: Sequence[Census] = ()) -> None:
        """Nobody is connected to these workers.

        Args:
            workers: how many there will be.
            earlier: of workers that finish what they have, and accept no more.
        """
        self.balance = Balance(workers)
        """How many each worker has."""
        memory = memoryview(mmap.mmap(-1, workers * _COLUMN_OCTETS))
        self.columns = [
            memory[begin : begin + _COLUMN_OCTETS].cast("I")
            for begin in range(0, len(memory), _COLUMN_OCTETS)
        ]
        """What each worker has counted."""
        self._own = self.columns[0]
        self._all = [*self.columns, *(column for each in earlier for column in each.columns)]
        self._counted: dict[object, tuple[int, ...]] = {}

    # A worker.

    def join(self, index: int) -> None:
        """This process is the worker with this number, and begins to accept."""
        self._own = self.columns[index]
        self.balance.join(index)

    def count(self, connection: object, address: str) -> int:
        """Count a connection of a peer; how many the peer has, with this one."""
        places = _places(address)
        self._add(connection, places)
        return min(map(self._sum, places))

    def count_in_all(self, connection: object) -> int:
        """Count a connection that may speak; how many there are, with this one."""
        self._add(connection, (_ALL,))
        return self._sum(_ALL)

    def forget(self, connection: object) -> None:
        """A connection has ended, whether it was counted or not."""
        for place in self._counted.pop(connection, ()):
            self._own[place] -= 1

    # The supervisor.

    def leave(self, index: int) -> None:
        """The worker with this number is gone."""
        self.balance.leave(index)
        self.columns[index][:] = memoryview(bytes(_COLUMN_OCTETS)).cast("I")

    def _add(self, connection: object, places: tuple[int, ...]) -> None:
        self._counted[connection] = self._counted.get(connection, ()) + places
        for place in places:
            self._own[place] += 1

    def _sum(self, place: int) -> int:
        return sum(column[place] for column in self._all)


@functools.lru_cache(maxsize=1000)
def _places(address: str) -> tuple[int, int]:
    """One in each row: by Python's hash, whose seed no peer knows and all workers have."""
    peer = ipaddress.ip_address(address.partition("%")[0])
    # A listener on `::` sees IPv4 peers as mapped (RFC 4291 2.5.5.2).
    mapped = peer.version == 6 and peer.ipv4_mapped
    number = hash((mapped or peer).packed[:_NETWORK_OCTETS])
    return number % _PLACES, _PLACES + (number // _PLACES) % _PLACES
