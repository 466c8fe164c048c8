"""Pool: connections that are kept from one question to the next, so many and no more.

A connection carries one question at a time. It is kept only when the answer has come whole: one
that was left in the middle, for whatever reason, is closed, or the late answer would be taken for
that to the next question.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from .places import Places

MOST_CONNECTIONS = 8
"""Of one hook in one worker; who comes later waits."""


class Kept(Protocol):
    """What a Pool needs to know of a connection."""

    is_spent: bool
    """It should not be asked again."""

    def close(self) -> None:
        """End it, whatever state it is in; never raises."""


C = TypeVar("C", bound=Kept)
T = TypeVar("T")


class Pool(Generic[C]):
    """Gives each question a connection of its own for a while."""

    def __init__(
        self, connect: Callable[[], C], wait_s: float, most: int = MOST_CONNECTIONS
    ) -> None:
        """No connection yet.

        Args:
            connect: makes one.
            wait_s: nobody waits longer for one that is free.
            most: at a time.
        """
        self._connect = connect
        self._wait_s = wait_s
        self._places = Places(most)
        self._idle: list[C] = []
        weakref.finalize(self, _close_all, self._idle)

    def ask(self, question: Callable[[C], T]) -> T:
        """The result of a question.

        A kept connection may have died while it was idle: then the question is put once more, to a
        new one. It says so with an OSError; to be late is another thing, and final.

        Raises:
            TimeoutError: all connections are busy, and others have waited longer.
            Exception: what connecting or the question raised.
        """
        with self._places.taken(self._wait_s):
            return self._ask(question)

    def _ask(self, question: Callable[[C], T]) -> T:
        if self._idle:
            try:
                return self._put(question, self._idle.pop())
            except TimeoutError:
                raise
            except OSError:
                pass
        return self._put(question, self._connect())

    def _put(self, question: Callable[[C], T], connection: C) -> T:
        try:
            answer = question(connection)
        except BaseException:  # the end of our time too
            connection.close()
            raise
        if connection.is_spent:
            connection.close()
        else:
            self._idle.append(connection)
        return answer


def _close_all(connections: Iterable[Kept]) -> None:
    for connection in connections:
        connection.close()
