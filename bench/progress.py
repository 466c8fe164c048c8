"""What happens just now, on standard error: one line for each step, rewritten on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_BAR = 20


class Step:
    """One step, which may tell how far it is."""

    def __init__(self, head: str, is_terminal: bool) -> None:
        self.outcome = ""
        """Told when the step is over."""
        self._head = head
        self._is_terminal = is_terminal

    def at(self, seconds: float, deliveries: int) -> None:
        """So many deliveries in so many seconds."""
        self.show(f"{deliveries / seconds:,.0f}/s so far" if seconds else "")

    def show(self, text: str) -> None:
        """Rewrite the line, where lines can be rewritten."""
        if self._is_terminal:
            sys.stderr.write(f"\r{self._head}  {text:<24}")
            sys.stderr.flush()


class Progress:
    """Counts steps; knows how long the rest may take."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._done = 0
        self._began = time.monotonic()

    @contextmanager
    def step(self, what: str) -> Iterator[Step]:
        """One step; its outcome is written when it is over."""
        filled = _BAR * self._done // self._steps
        head = f"[{'#' * filled}{'.' * (_BAR - filled)}] {self._left():>7}  {what}"
        step = Step(head, sys.stderr.isatty())
        step.show("...")
        yield step
        self._done += 1
        start = "\r" if sys.stderr.isatty() else ""
        sys.stderr.write(f"{start}{head}  {step.outcome:<24}\n")
        sys.stderr.flush()

    def _left(self) -> str:
        if not self._done:
            return ""
        left = (time.monotonic() - self._began) / self._done * (self._steps - self._done)
        return f"-{left // 60:.0f}:{left % 60:02.0f}"
