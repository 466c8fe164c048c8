"""Real threads beneath the greenlets, for what would stop the event loop.

They are made beneath gevent's patches, and share with the event loop nothing but two queues and an
asynchronous watcher: a lock, a log handler or a greenlet that they touched could hang the process.
gevent's own thread pool does the same work at three times the cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast

import gevent
from gevent import monkey
from gevent.event import AsyncResult

from ..failures import kept

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

new_queue: Callable[[], Any] = monkey.get_original("queue", "SimpleQueue")
start_thread: Callable[..., int] = monkey.get_original("_thread", "start_new_thread")


class Returns:
    """The way back: what threads post is called on the event loop, many by one wake-up."""

    def __init__(self) -> None:
        self._posted = new_queue()
        self._wake = gevent.get_hub().loop.async_()
        self._wake.start(self._call_all)

    def post(self, functions: Iterable[Callable[[], object]]) -> None:
        """From any thread: have functions called on the event loop; they must not wait."""
        self._posted.put(functions)
        self._wake.send()

    def _call_all(self) -> None:
        while not self._posted.empty():
            for function in self._posted.get():
                function()


_MOST_LOST = 256
"""Threads that hang for good and are replaced; a machine has no end of them."""


class Threads:
    """A few threads for many greenlets; each is started when it is first needed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._started = 0
        self._busy = 0
        self._lost: set[AsyncResult[Any]] = set()
        self._tasks = new_queue()
        self._returns = Returns()

    @property
    def busy(self) -> int:
        """Threads that are at work, or calls that wait for one."""
        return self._busy

    def run(
        self,
        function: Callable[_Arguments, _Result],
        /,
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> _Result:
        """The result of a function, or its exception; the calling greenlet waits.

        A greenlet that is thrown out of its wait leaves the function running, and its thread is
        replaced: otherwise a few calls that hang for good would stop all the others.
        """
        answer: AsyncResult[_Result] = AsyncResult()
        self._busy += 1
        self._staff()
        self._tasks.put((partial(function, *args, **kwargs), answer))
        try:
            return cast("_Result", answer.get())
        finally:
            if not answer.ready():
                self._lost.add(answer)
                self._staff()

    def run_and_tell(self, function: Callable[[], object], ended: Callable[[], object]) -> None:
        """The same without a result; `ended` is called on the event loop, whoever still waits."""

        def running() -> None:
            try:
                function()
            finally:
                self._returns.post([ended])

        self.run(running)

    def _staff(self) -> None:
        """Start a thread if one is needed and may be had."""
        most = self._most + min(len(self._lost), _MOST_LOST)
        if self._started < min(self._busy, most):
            self._started += 1
            start_thread(self._work, ())

    def _work(self) -> None:
        while True:
            function, answer = self._tasks.get()
            try:
                settle = partial(answer.set, function())
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                settle = partial(answer.set_exception, kept(error))
            self._returns.post([partial(self._settle, answer, settle)])

    def _settle(self, answer: AsyncResult[Any], settle: Callable[[], object]) -> None:
        self._busy -= 1
        self._lost.discard(answer)
        settle()
