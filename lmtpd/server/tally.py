"""Tally: lines of the log that a flood would repeat. The first is written, the others are counted.

Otherwise whoever is refused a thousand times in a second fills the disk with what he is refused
for.
"""

from __future__ import annotations

from collections.abc import Callable

from ..log import Log

MINUTE_S = 60.0
_MOST = 1000
"""Of lines that differ; what comes from more peers is counted together."""


class Tally:
    """Says a thing once, and after a minute how often it has happened since."""

    def __init__(self, log: Log, later: Callable[..., object]) -> None:
        """Nothing has happened.

        Args:
            log: where lines go.
            later: calls a function after so many seconds.
        """
        self._log = log
        self._later = later
        self._more: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}

    def note(self, event: str, **fields: str) -> None:
        """This has happened, maybe again."""
        key = event, tuple(fields.items())
        if key not in self._more and len(self._more) >= _MOST:
            key, fields = (event, ()), {}
        if key in self._more:
            self._more[key] += 1
            return
        self._more[key] = 0
        self._log.line(event, **fields)
        self._later(MINUTE_S, self._tell, key)

    def _tell(self, key: tuple[str, tuple[tuple[str, str], ...]]) -> None:
        more = self._more.pop(key)
        if more:
            event, fields = key
            self._log.line(event, **dict(fields), more=more)
