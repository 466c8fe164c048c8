"""Connections: a few kept connections, each for one question at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

C = TypeVar("C")
T = TypeVar("T")


class Connections(Generic[C]):
    """Connections that are made when they are needed, and kept after a good answer.

    One on which anything went wrong, be it that nobody waits for the answer any more, is closed:
    the rest of an answer must not be read as the next one.
    """

    def __init__(
        self,
        connect: Callable[[], C],
        close: Callable[[C], object],
        is_loss: Callable[[BaseException], bool],
        most: int,
        wait_s: float,
    ) -> None:
        """No connection yet.

        Args:
            connect: makes one.
            close: ends one, and raises nothing.
            is_loss: whether an exception means that the other side is gone.
            most: so many questions at once; the others wait.
            wait_s: and for no longer than this.
        """
        self._connect = connect
        self._close = close
        self._is_loss = is_loss
        self._most = most
        self._wait_s = wait_s
        self._free = threading.BoundedSemaphore(most)
        self._idle: list[C] = []

    def ask(self, question: Callable[[C], T]) -> T:
        """What the question returns or raises; asked again if an idle connection had died.

        Raises:
            TimeoutError: all connections are busy.
        """
        if not self._free.acquire(timeout=self._wait_s):
            raise TimeoutError(f"{self._most} connections were busy for {self._wait_s:g} s")
        try:
            return self._ask(question)
        finally:
            self._free.release()

    def _ask(self, question: Callable[[C], T]) -> T:
        if self._idle:
            try:
                return self._ask_on(self._idle.pop(), question)
            except Exception as error:
                if not self._is_loss(error):
                    raise
        return self._ask_on(self._connect(), question)

    def _ask_on(self, connection: C, question: Callable[[C], T]) -> T:
        try:
            answer = question(connection)
        except BaseException:
            self._close(connection)
            raise
        self._idle.append(connection)
        return answer
