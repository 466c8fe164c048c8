"""Finding: one thing that was looked at, how it is, and what mends it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass


class Level(enum.Enum):
    """How it is."""

    OK = "ok"
    NOTE = "note"
    """Not wrong, and good to know."""
    WARN = "WARN"
    """Mail comes in; something is not as it should be."""
    FAIL = "FAIL"
    """Mail does not come in, or will not for long."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A line for a person, and perhaps one below it."""

    level: Level
    text: str
    remedy: str = ""
    """What mends it: a sentence, or a command to paste."""


Findings = Iterator[Finding]


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at, by a process of its own that may hang."""

    about: str
    """In a word or two."""
    look: Callable[[], Findings]
    seconds: float
    """It may take so long."""
    remedy: str
    """What to do if it takes longer."""
    is_configuration: bool = False
    """Whether a FAIL is for somebody to configure better, here or in the MTA."""


def ok(text: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, text)


def note(text: str, remedy: str = "") -> Finding:
    """Good to know."""
    return Finding(Level.NOTE, text, remedy)


def warn(text: str, remedy: str) -> Finding:
    """Not as it should be."""
    return Finding(Level.WARN, text, remedy)


def fail(text: str, remedy: str) -> Finding:
    """Mail does not come in."""
    return Finding(Level.FAIL, text, remedy)


def milliseconds(seconds: float) -> str:
    """For a person."""
    return f"{seconds * 1000:.1f} ms"
