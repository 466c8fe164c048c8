"""Trial: asks something that may hang, a disk, on a thread that nobody waits for for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

PATIENCE_SECONDS = 5.0
"""For an answer. Who asks while it hangs longer is told so at once."""
HOLDS_SECONDS = 1.0
"""Who asks more often hears the same."""

_Answer = TypeVar("_Answer")


class HangsError(Exception):
    """There is no answer yet; the text says for how long."""


class Trial(Generic[_Answer]):
    """One question; any thread may ask it. At most one thread hangs with it."""

    def __init__(self, question: Callable[[], _Answer]) -> None:
        """Not asked yet.

        Args:
            question: raises nothing.
        """
        self._question = question
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._begun = 0.0
        self._answers: list[_Answer] = []

    def answer(self) -> _Answer:
        """One that is not older than a second.

        Raises:
            HangsError: it does not come.
        """
        with self._lock:
            now, thread = time.monotonic(), self._thread
            if thread is None or (not thread.is_alive() and now - self._begun > HOLDS_SECONDS):
                thread = self._thread = threading.Thread(target=self._ask, daemon=True)
                self._begun = now
                thread.start()
            begun = self._begun
        thread.join(max(0.0, begun + PATIENCE_SECONDS - now))
        if thread.is_alive():
            raise HangsError(f"does not answer for {time.monotonic() - begun:.0f} s")
        return self._answers[-1]

    def _ask(self) -> None:
        self._answers = [self._question()]
