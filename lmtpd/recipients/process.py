"""Process: what a process offers to those who ask hooks: time, waiting, dice and the log.

The server has greenlets and threads, a command has threads alone, a test a clock that stands still.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from .verdict import Verdict


class Deadline(Protocol):
    """Calls a function that must answer in time: cooperatively, or on a real thread."""

    def __call__(
        self, seconds: float, blocking: bool, function: Callable[[], Verdict | None], /
    ) -> Verdict | None:
        """The function's result.

        Raises:
            TimeoutError: it took longer.
        """


def in_thread(
    seconds: float,
    blocking: bool,  # noqa: ARG001 - every question has a thread, whatever the hook is
    function: Callable[[], Verdict | None],
    /,
) -> Verdict | None:
    """The Deadline of a process that asks seldom: a hook that hangs is left behind at its end."""
    answer: Future[Verdict | None] = Future()

    def ask() -> None:
        try:
            answer.set_result(function())
        except BaseException as error:  # noqa: BLE001 - handed on to the guard
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    return answer.result(seconds)


class Event(Protocol):
    """Something to wait for, as threads or greenlets wait."""

    def set(self) -> object:
        """It has happened: all who wait go on."""

    def wait(self, seconds: float, /) -> bool:
        """Whether it has happened, within so many seconds."""


class Report(Protocol):
    """A line for the operator, as Log.line writes it."""

    def __call__(self, event: str, /, **fields: object) -> object:
        """Write `event` and the fields."""


@dataclass(frozen=True, slots=True)
class Process:
    """What the process offers to those who ask hooks."""

    within: Deadline
    """How a call is bounded in time."""
    new_event: Callable[[], Event]
    """For those who wait for an answer that is on its way."""
    clock: Callable[[], float]
    """Monotonic seconds."""
    random: Callable[[], float]
    """A number from 0 up to 1."""
    report: Report
