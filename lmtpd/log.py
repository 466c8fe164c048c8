"""The log: one line for each thing worth telling, `key=value`, readable by people and by scripts.

Nothing that a peer chose reaches a line unescaped: a line break in an address would forge a line.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import time
from collections.abc import Callable
from typing import TextIO

_PLAIN = re.compile(r'[^\x00-\x20"=\\\x7f-\U0010ffff]*')
_QUOTABLE = re.compile(r'[^\x00-\x1f"\\\x7f-\U0010ffff]*')


class Log:
    """Writes lines to a stream; a stream that is gone never stops the mail."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._clock = clock
        self._later: Callable[[Callable[[], object]], object] | None = None
        self._lines: list[str] = []

    def gather(self, later: Callable[[Callable[[], object]], object]) -> None:
        """From now on write the lines of one moment together; `later` calls at its end."""
        self._later = later

    def line(self, event: str, common: str = "", /, **fields: object) -> None:
        """Write one line.

        Args:
            event: what has happened.
            common: words that several lines have in common, from `words`.
            fields: the others.
        """
        self._lines.append(f"{self._time()} {event}{common}{words(**fields)}\n")
        if self._later is None:
            self.flush()
        elif len(self._lines) == 1:
            self._later(self.flush)

    def flush(self) -> None:
        """Write what was gathered."""
        text = "".join(self._lines)
        self._lines.clear()
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()

    def _time(self) -> str:
        seconds = self._clock()
        return f"{_utc(int(seconds))}.{int(seconds % 1 * 1000):03}Z"


@functools.lru_cache(maxsize=1)
def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def words(**fields: object) -> str:
    """Fields as ` key=value`, less those that are None or empty."""
    found = ""
    for key, value in fields.items():
        word = "" if value is None else escaped(value)
        if word:
            found += f" {key}={word}"
    return found


def escaped(value: object) -> str:
    """A value in one word: as it is where that is safe, else as a JSON string of plain ASCII."""
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    if _PLAIN.fullmatch(text):
        return text
    return f'"{text}"' if _QUOTABLE.fullmatch(text) else json.dumps(text).replace("\x7f", "\\u007f")
