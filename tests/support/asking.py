"""A process for those who ask hooks, with a clock that stands still, known dice and a log."""

from __future__ import annotations

import threading
from collections.abc import Callable

from lmtpd.recipients.process import Process
from lmtpd.recipients.verdict import Verdict


class Clock:
    """Monotonic seconds that go on only when they are told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Asking:
    """Keeps deadlines by its clock; notes what it was asked for and what was reported."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.random = 0.0
        self.asked: list[tuple[float, bool]] = []
        self.lines: list[tuple[str, dict[str, object]]] = []
        self.process = Process(
            self.within, threading.Event, self.clock, lambda: self.random, self.report
        )

    def within(
        self, seconds: float, blocking: bool, function: Callable[[], Verdict | None], /
    ) -> Verdict | None:
        """Call at once, and judge by the clock."""
        self.asked.append((seconds, blocking))
        end = self.clock() + seconds
        verdict = function()
        if self.clock() > end:
            raise TimeoutError
        return verdict

    def report(self, event: str, **fields: object) -> None:
        """Keep a line."""
        self.lines.append((event, fields))

    @property
    def events(self) -> list[str]:
        """What was reported, in a word each."""
        return [event for event, _ in self.lines]
