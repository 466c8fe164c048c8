"""Words: what of an answer may reach the terminal, and in which signs."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..terminal import printable

_LONGEST = 1000
"""Signs of one text: no screen is wider."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What a terminal can show."""

    levels: str
    """From nothing to all: the parts of a column."""
    marks: Mapping[str, str]
    """For a state or an outcome."""
    full: str
    empty: str
    is_unicode: bool

    def shown(self, text: object) -> str:
        """A text that a peer chose, with nothing in it that acts on a terminal."""
        safe = printable(str(text)[:_LONGEST])
        return safe if self.is_unicode else safe.encode("ascii", "backslashreplace").decode()


UNICODE = Signs(
    levels=" ▁▂▃▄▅▆▇█",
    marks={
        "well": "✓",
        "look": "!",
        "bad": "✕",
        "lost": "?",
        "delivered": "✓",
        "repeated": "↺",
        "refused": "–",  # noqa: RUF001 - a dash, longer than a hyphen
        "failed": "✕",
        "working": "✓",
        "draining": "…",
        "silent": "!",
        "missing": "✕",
    },
    full="█",
    empty="░",
    is_unicode=True,
)
ASCII = Signs(
    levels=" .:#",
    marks={
        "well": "+",
        "look": "!",
        "bad": "X",
        "lost": "?",
        "delivered": "+",
        "repeated": "=",
        "refused": "-",
        "failed": "X",
        "working": "+",
        "draining": ".",
        "silent": "!",
        "missing": "X",
    },
    full="#",
    empty=".",
    is_unicode=False,
)


def signs() -> Signs:
    """Those that the locale has (locale(7)): Unicode's where it is of UTF-8."""
    given = _started_with()
    locale = given.get("LC_ALL") or given.get("LC_CTYPE") or given.get("LANG") or ""
    return UNICODE if "utf8" in locale.lower().replace("-", "") else ASCII


def _started_with() -> Mapping[str, str]:
    """The environment as it was: Python itself puts LC_CTYPE=C.UTF-8 there (PEP 538)."""
    with suppress(OSError):
        words = os.fsdecode(Path("/proc/self/environ").read_bytes()).split("\0")
        return dict(word.partition("=")[::2] for word in words)
    return os.environ


def moment(seconds: float, now: float) -> str:
    """The time of day, here; with its date if that is not today's."""
    then, today = time.localtime(seconds), time.localtime(now)
    form = "%H:%M:%S" if then[:3] == today[:3] else "%d %b %H:%M"
    return time.strftime(form, then)
