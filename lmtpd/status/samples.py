"""Samples: the newest one of each worker, and the sums over all workers that there ever were."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from .history import History

Sample: TypeAlias = Mapping[str, Any]

ALIVE_SECONDS = 5.0
"""A worker that has not told anything for so long hangs, or is gone."""
_MOST_ENDED = 256
"""Workers that have ended and are remembered one by one."""


class Samples:
    """What the workers have told; any thread may ask."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Nothing was told yet.

        Args:
            clock: seconds since 1970.
        """
        self._clock = clock
        self.started = clock()
        self._history = History(clock)
        self._lock = threading.Lock()
        self._newest: dict[tuple[int, int], Sample] = {}
        self._seen: dict[tuple[int, int], float] = {}
        self._ended: list[Sample] = []

    def take(self, sample: Sample) -> None:
        """One has come."""
        key = sample["worker"], sample["pid"]
        with self._lock:
            before = self._newest.get(key)
            if before is None and sample["started"] < self.started - ALIVE_SECONDS:
                before = sample  # what it did before we began is nothing of this minute
            self._newest[key] = sample
            self._seen[key] = self._clock()
            self._history.add(before, sample)
            self._bury()

    def now(self) -> float:
        """By our clock."""
        return self._clock()

    def told(self) -> dict[str, object]:
        """The last hour."""
        with self._lock:
            return {
                "slots": self._history.slots(),
                "latency": self._history.latencies(),
                "last": self._history.recent(),
                "most_refused": self._history.most_refused(),
            }

    def alive(self) -> list[tuple[float, Sample]]:
        """The workers that are there, in their order: seconds since it told something, and what."""
        now = self._clock()
        with self._lock:
            found = [(now - self._seen[key], self._newest[key]) for key in sorted(self._newest)]
        return [(age, sample) for age, sample in found if age < ALIVE_SECONDS]

    def counted(self, name: str) -> Counter[str]:
        """A table of counts, over all workers that there ever were."""
        total: Counter[str] = Counter()
        for sample in self._all():
            total.update(sample[name])
        return total

    def histogram(self, name: str) -> tuple[list[int], float]:
        """The counts and the total of a histogram, over all workers that there ever were."""
        return added(sample["histograms"][name] for sample in self._all())

    def hooks(self) -> list[dict[str, Any]]:
        """Each hook: counts of all workers that there ever were, the rest of those that are alive.

        A hook is up where no worker holds it for down.
        """
        hooks = {
            one["name"]: {**one, "is_up": True, "cause": "", "down_seconds": 0.0, "remembered": 0}
            for one in _hooks(self._all())
        }
        for _, sample in self.alive():
            for told in sample["hooks"]:
                hook = hooks[told["name"]]
                hook["remembered"] += told["remembered"]
                if not told["is_up"]:
                    hook.update({key: told[key] for key in ("is_up", "cause", "down_seconds")})
        return [*hooks.values()]

    def _all(self) -> list[Sample]:
        with self._lock:
            return [*self._ended, *self._newest.values()]

    def _bury(self) -> None:
        """Put the oldest together: a worker that dies again and again shall not fill the memory."""
        while len(self._newest) > _MOST_ENDED:
            oldest = min(self._seen, key=self._seen.__getitem__)
            del self._seen[oldest]
            self._ended = [_sum([*self._ended, self._newest.pop(oldest)])]


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
