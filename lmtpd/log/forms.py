"""The forms of a line: `key=value` words for people and scripts (logfmt), JSON for machines.

Nothing that a peer chose reaches a line unescaped: a line break in an address would forge a line,
an escape sequence would act on a terminal. Both forms are plain ASCII.
"""

from __future__ import annotations

import functools
import json
import math
import re
import time
from collections.abc import Mapping
from typing import Protocol

_PLAIN = re.compile(r'[^\x00-\x20"=\\\x7f-\U0010ffff]*')
_QUOTABLE = re.compile(r'[^\x00-\x1f"\\\x7f-\U0010ffff]*')


class Form(Protocol):
    """How an event and its fields become one line."""

    def words(self, fields: Mapping[str, object]) -> str:
        """The part of a line that says these, less those that are None or empty."""

    def line(self, seconds: float | None, event: str, words: str) -> str:
        """A line, without its end.

        Args:
            seconds: since 1970; None where somebody else notes the time.
            event: what has happened.
            words: of `words`, one part after the other.
        """


class Logfmt:
    """`2026-11-14T22:13:20.000Z delivered id=5f.. size=1024`."""

    def words(self, fields: Mapping[str, object]) -> str:
        """Each as ` key=value`."""
        found = ""
        for key, value in fields.items():
            word = "" if value is None else escaped(value)
            if word:
                found += f" {key}={word}"
        return found

    def line(self, seconds: float | None, event: str, words: str) -> str:
        """The time, the event, the words."""
        return f"{event}{words}" if seconds is None else f"{_moment(seconds)} {event}{words}"


class Json:
    """`{"time":"2026-11-14T22:13:20.000Z","event":"delivered","id":"5f..","size":1024}`."""

    def words(self, fields: Mapping[str, object]) -> str:
        """Each as `,"key":value`; numbers and truth as such, all else as text."""
        found = ""
        for key, value in fields.items():
            if value is None:
                continue
            is_number = isinstance(value, (int, float)) and math.isfinite(value)
            text = json.dumps(value if is_number else str(value)).replace("\x7f", r"\u007f")
            if text != '""':
                found += f',"{key}":{text}'
        return found

    def line(self, seconds: float | None, event: str, words: str) -> str:
        """One object."""
        time_ = "" if seconds is None else f'"time":"{_moment(seconds)}",'
        return f'{{{time_}"event":"{event}"{words}}}'


FORMS: Mapping[str, Form] = {"logfmt": Logfmt(), "json": Json()}
"""By their names in the settings."""


def escaped(value: object) -> str:
    """A value in one word: as it is where that is safe, else as a JSON string of plain ASCII."""
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    if _PLAIN.fullmatch(text):
        return text
    return f'"{text}"' if _QUOTABLE.fullmatch(text) else json.dumps(text).replace("\x7f", r"\u007f")


def _moment(seconds: float) -> str:
    """RFC 3339, in milliseconds."""
    return f"{_utc(int(seconds))}.{int(seconds % 1 * 1000):03}Z"


@functools.lru_cache(maxsize=1)
def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
