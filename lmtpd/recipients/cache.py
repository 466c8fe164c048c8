"""Cache: answers that are kept for a time, so many and no more.

It reads no clock and rolls no dice of its own: both come in, so that its tests need neither luck
nor patience. Every operation takes the same time, however full it is: what was used longest ago
makes room, and nobody goes looking for what has expired.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(NamedTuple, Generic[V]):
    """A value, which may be None, and its times on the caller's clock."""

    value: V
    since: float
    until: float


class Cache(Generic[K, V]):
    """A bounded map whose values expire."""

    def __init__(self, size: int, ttl_s: float, jitter: float, random: Callable[[], float]) -> None:
        """An empty cache.

        Args:
            size: values at most; 0 keeps none.
            ttl_s: seconds that a value holds; 0 keeps none.
            jitter: up to this part of its time is taken off each value, between 0 and 1: what was
                asked for together, after a restart or by one message to a list, is not asked for
                together again.
            random: a number from 0 up to 1.
        """
        self._size = size
        self._ttl_s = ttl_s
        self._jitter = jitter
        self._random = random
        self._values: OrderedDict[K, Kept[V]] = OrderedDict()

    def put(self, key: K, value: V, now: float) -> None:
        """Keep a value, in place of the one before."""
        if not self._size or not self._ttl_s:
            return
        until = now + self._ttl_s * (1 - self._jitter * self._random())
        self._values[key] = Kept(value, now, until)
        self._values.move_to_end(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)

    def fresh(self, key: K, now: float) -> Kept[V] | None:
        """What is kept, if it holds still."""
        kept = self._values.get(key)
        if kept is None or now >= kept.until:
            return None
        self._values.move_to_end(key)
        return kept

    def stale(self, key: K, now: float, most_s: float) -> Kept[V] | None:
        """What is kept, if it expired less than so many seconds ago."""
        kept = self._values.get(key)
        return kept if kept and now < kept.until + most_s else None

    def discard(self, key: K) -> None:
        """Forget the value, if there is one."""
        self._values.pop(key, None)

    def __len__(self) -> int:
        """Values in memory, the expired among them."""
        return len(self._values)
