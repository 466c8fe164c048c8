"""Wait for a condition, with a bound.

Promises: the one place of the tests that sleeps. A wait ends as soon as its condition holds, and
fails by name once its time is over, so that no test waits for a length of time that somebody
guessed, and none hangs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE_S = 0.02


def wait_for(condition: Callable[[], T], timeout_s: float, what: str) -> T:
    """The first true value of `condition`; TimeoutError naming `what` if there is none in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s in vain for: {what}")
        time.sleep(_PAUSE_S)
