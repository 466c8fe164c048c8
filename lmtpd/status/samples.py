"""Samples: the newest one of each worker, and the sums over all workers that there ever were.

Two workers of one number may tell at the same time: behind a reload the old one drains.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from .history import History
from .roster import ALIVE_SECONDS, Sample

_MOST_ENDED = 256
"""Workers that have ended and are remembered one by one."""
_WELL = {"is_up": True, "cause": "", "down_seconds": 0.0, "remembered": 0}
_Key: TypeAlias = tuple[int, int, float]
"""A worker: its number, its process, its start, for ids of processes come again."""


class Samples:
    """What the workers have told; any thread may ask."""

    def __init__(self, clock: Callable[[], float], ticks: Callable[[], float]) -> None:
        """Nothing was told yet.

        Args:
            clock: seconds since 1970.
            ticks: seconds of a clock that nobody sets.
        """
        self._clock = clock
        self._ticks = ticks
        self.started = self._born = clock()
        self._began = ticks()
        self._history = History(clock)
        self._lock = threading.Lock()
        self._newest: dict[_Key, Sample] = {}
        self._seen: dict[_Key, float] = {}
        self._ended: list[Sample] = []

    def take(self, sample: Sample) -> None:
        """One has come."""
        key = _key(sample)
        with self._lock:
            before = self._newest.get(key)
            if before is None and sample["started"] < self._born - ALIVE_SECONDS:
                before = sample  # what it did before we began is nothing of this minute
            self._newest[key] = sample
            self._seen[key] = self._ticks()
            self._history.add(before, sample)
            self._bury()

    def kept(self) -> dict[str, object]:
        """All of it, for `restore`, in what JSON knows."""
        with self._lock:
            return {
                "started": self.started,
                "newest": [[self._seen[key], self._newest[key]] for key in self._newest],
                "ended": self._ended,
                "history": self._history.kept(),
            }

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Go on where another one has ended, before anything is taken.

        Raises:
            KeyError, TypeError, ValueError: that was of another kind.
        """
        self._history.restore(kept["history"])
        for seen, sample in kept["newest"]:
            key = _key(sample)
            self._newest[key], self._seen[key] = sample, seen
        self._ended = [*kept["ended"]]
        self.started = kept["started"]

    def now(self) -> float:
        """By our clock."""
        return self._clock()

    def watched_seconds(self) -> float:
        """How long samples could come."""
        return self._ticks() - self._began

    def told(self) -> dict[str, object]:
        """The last hour."""
        with self._lock:
            return {
                "slots": self._history.slots(),
                "latency": self._history.latencies(),
                "last": self._history.recent(),
                "most_refused": self._history.most_refused(),
            }

    def heard(self) -> list[tuple[float, Sample]]:
        """Each worker that ever told something: how many seconds ago, and its newest sample."""
        now = self._ticks()
        with self._lock:
            return [(now - self._seen[key], self._newest[key]) for key in sorted(self._newest)]

    def alive(self) -> list[Sample]:
        """The newest of each worker that is there, also of those that drain."""
        return [sample for age, sample in self.heard() if age < ALIVE_SECONDS]

    def counted(self, name: str) -> Counter[str]:
        """A table of counts, over all workers that there ever were."""
        total: Counter[str] = Counter()
        for sample in self._all():
            total.update(sample[name])
        return total

    def histogram(self, name: str) -> tuple[list[int], float]:
        """The counts and the total of a histogram, over all workers that there ever were."""
        return added(sample["histograms"][name] for sample in self._all())

    def hook_counts(self) -> list[dict[str, Any]]:
        """Each hook that there ever was, with the counts of all workers that there ever were."""
        return _hooks(self._all())

    def hooks(self) -> list[dict[str, Any]]:
        """Each hook of the workers that are alive, or of all if none is: its counts, and how it is.

        A hook is up where no worker holds it for down.
        """
        alive = self.alive()
        counts = {one["name"]: {**one, **_WELL} for one in self.hook_counts()}
        for sample in alive:
            for told in sample["hooks"]:
                hook = counts[told["name"]]
                hook["remembered"] += told["remembered"]
                if not told["is_up"]:
                    hook.update({key: told[key] for key in ("is_up", "cause", "down_seconds")})
        names = dict.fromkeys(told["name"] for sample in alive for told in sample["hooks"])
        return [counts[name] for name in names or counts]

    def _all(self) -> list[Sample]:
        with self._lock:
            return [*self._ended, *self._newest.values()]

    def _bury(self) -> None:
        """Put the oldest together: a worker that dies again and again shall not fill the memory.

        One that has no successor is left, however long it was silent: if it went on after all, it
        would be counted twice.
        """
        excess = len(self._newest) - _MOST_ENDED
        if excess <= 0:
            return
        last = {key[0]: key for key in sorted(self._newest, key=lambda key: key[2])}
        replaced = self._newest.keys() - last.values()
        for key in sorted(replaced, key=self._seen.__getitem__)[:excess]:
            del self._seen[key]
            self._ended = [_sum([*self._ended, self._newest.pop(key)])]


def _key(sample: Sample) -> _Key:
    return sample["worker"], sample["pid"], sample["started"]


def added(histograms: Iterable[Mapping[str, Any]]) -> tuple[list[int], float]:
    """The sums of histograms that have the same bounds."""
    several = [*histograms]
    counts = [sum(column) for column in zip(*(one["counts"] for one in several), strict=True)]
    return counts, sum(one["total"] for one in several)


def _sum(samples: Iterable[Sample]) -> Sample:
    several = [*samples]
    found: dict[str, Any] = {**several[-1], "hooks": _hooks(several), "recent": [], "refused": {}}
    for key in ("outcomes", "replies"):
        found[key] = sum((Counter(one[key]) for one in several), Counter())
    found["histograms"] = {
        name: dict(
            zip(("counts", "total"), added(one["histograms"][name] for one in several), strict=True)
        )
        for name in found["histograms"]
    }
    return found


def _hooks(samples: Iterable[Sample]) -> list[dict[str, Any]]:
    """Each hook once, with the sums of its counts."""
    hooks: dict[str, dict[str, Any]] = {}
    for sample in samples:
        for told in sample["hooks"]:
            hook = hooks.setdefault(told["name"], {**told, "asked": 0, "faults": 0, "hits": 0})
            for count in ("asked", "faults", "hits"):
                hook[count] += told[count]
    return [*hooks.values()]
