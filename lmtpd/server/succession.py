"""Succession: when a process that has ended is followed by the next of its kind."""

from __future__ import annotations

import time

SHORT_LIFE_SECONDS = 10.0
"""One that ends sooner is replaced more slowly each time."""


class Succession:
    """At once, or behind a pause if its life was short."""

    def __init__(self, longest_pause_s: float) -> None:
        """The first may come at once."""
        self._longest_pause_s = longest_pause_s
        self._begun = 0.0
        self._pause = 0.0
        self.due = 0.0
        """When the next may come, by the monotonic clock."""

    @property
    def is_due(self) -> bool:
        """Whether the next may come now."""
        return self.due <= time.monotonic()

    def begin(self) -> None:
        """One lives from now on."""
        self._begun = time.monotonic()

    def end(self) -> None:
        """It has ended."""
        now = time.monotonic()
        is_short = now - self._begun < SHORT_LIFE_SECONDS
        self._pause = min(self._longest_pause_s, self._pause * 2 or 0.5) if is_short else 0.0
        self.due = now + self._pause
