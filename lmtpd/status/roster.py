"""Roster: which workers there are, and what has become of those that should be.

A worker is a number and a process. Behind a reload another process has the same number, and the old
one goes on until its last client is done: it drains. One that dies is replaced by another process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .words import duration

Sample = Mapping[str, Any]

ALIVE_SECONDS = 5.0
"""A worker that has not told anything for so long hangs, or is gone."""


class Standing(StrEnum):
    """How a worker is."""

    WORKING = "working"
    DRAINING = "draining"
    """Another has its number, or nobody shall have it any more."""
    SILENT = "silent"
    """Its process is there and tells nothing."""
    MISSING = "missing"
    """There is no process, and nobody has come in its place."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One of them."""

    index: int
    standing: Standing
    age_seconds: float = 0.0
    """Since it told something, or since somebody was due who never did."""
    sample: Sample | None = None
    """The last that it told."""

    def trouble(self) -> str | None:
        """What is wrong with it, in words."""
        since = f"for {duration(self.age_seconds)}"
        match self.standing:
            case Standing.SILENT:
                pid = self.sample["pid"] if self.sample else 0
                return f"worker {self.index} (process {pid}) has told nothing {since}: it hangs"
            case Standing.MISSING:
                return f"worker {self.index} is missing {since}: the log says why it ended"
        return None


def roster(
    wanted: int,
    heard: Iterable[tuple[float, Sample]],
    watched_seconds: float,
    is_there: Callable[[int], bool],
) -> Iterator[Worker]:
    """The workers in the order of their numbers, those that drain behind the others.

    Args:
        wanted: how many there should be.
        heard: the newest sample of each, and how many seconds ago it came.
        watched_seconds: how long samples could come.
        is_there: whether there is a process of this id.
    """
    newest: dict[int, tuple[float, Sample]] = {}
    draining = []
    for age, sample in sorted(heard, key=lambda one: float(one[1]["started"])):
        number = sample["worker"]
        if number in newest or number >= wanted:
            draining.append(newest.get(number, (age, sample)))
        if number < wanted:
            newest[number] = age, sample
    for number in range(wanted):
        # Nobody is missed before he could have told something.
        age, told = newest.get(number, (watched_seconds, None))
        if told and (age < ALIVE_SECONDS or is_there(told["pid"])):
            standing = Standing.WORKING if age < ALIVE_SECONDS else Standing.SILENT
            yield Worker(number, standing, age, told)
        elif age >= ALIVE_SECONDS:
            yield Worker(number, Standing.MISSING, age, told)
    for age, told in draining:
        if age < ALIVE_SECONDS:
            yield Worker(told["worker"], Standing.DRAINING, age, told)
