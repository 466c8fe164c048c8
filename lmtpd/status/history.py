"""History: the last hour, in slots of ten seconds, and the last that has happened."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..histogram import SECONDS, percentile

SLOT_SECONDS = 10
SLOTS = 360
MOST_RECENT = 50
MOST_REFUSED = 10
_REFUSED_IN_A_SLOT = 1000
_LATENCIES = ("delivery", "verification", "disk")


@dataclass(slots=True)
class _Slot:
    number: int
    outcomes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    counts: dict[str, list[int]] = field(default_factory=dict)


class History:
    """Whoever uses it sees to it that nobody else does meanwhile."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Nothing has happened yet."""
        self._clock = clock
        self._slots: deque[_Slot] = deque()
        self._recent: deque[Mapping[str, Any]] = deque(maxlen=MOST_RECENT)

    def add(self, before: Mapping[str, Any] | None, sample: Mapping[str, Any]) -> None:
        """What a worker did between two of its samples is of now."""
        slot = self._now()
        outcomes = Counter(sample["outcomes"])
        if before:
            outcomes.subtract(before["outcomes"])
        slot.outcomes.update(outcomes)
        for name in _LATENCIES:
            counts = sample["histograms"][name]["counts"]
            known = before["histograms"][name]["counts"] if before else [0] * len(counts)
            sums = slot.counts.setdefault(name, [0] * len(counts))
            slot.counts[name] = [a + b - c for a, b, c in zip(sums, counts, known, strict=True)]
        for address, count in sample["refused"].items():
            if address in slot.refused or len(slot.refused) < _REFUSED_IN_A_SLOT:
                slot.refused[address] += count
        self._recent.extend(sample["recent"])

    def kept(self) -> dict[str, object]:
        """All of it, for `restore`, in what JSON knows."""
        slots = [(one.number, one.outcomes, one.refused, one.counts) for one in self._slots]
        return {"slots": slots, "recent": [*self._recent]}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """What was kept by another one.

        Raises:
            KeyError, TypeError, ValueError: that was of another kind.
        """
        self._slots = deque(
            _Slot(number, Counter(outcomes), Counter(refused), counts)
            for number, outcomes, refused, counts in kept["slots"]
        )
        self._recent.extend(kept["recent"])

    def slots(self) -> list[dict[str, object]]:
        """What happened in each slot, the oldest first."""
        last = self._now().number
        known = {slot.number: slot.outcomes for slot in self._slots}
        return [
            {
                "time": number * SLOT_SECONDS,
                **{
                    event: known.get(number, Counter())[event]
                    for event in ("delivered", "repeated", "refused", "failed")
                },
            }
            for number in range(last - SLOTS + 1, last + 1)
        ]

    def latencies(self) -> dict[str, dict[str, float | None] | None]:
        """Percentiles of the hour, in seconds; None where there was nothing."""
        self._now()
        found: dict[str, dict[str, float | None] | None] = {}
        for name in _LATENCIES:
            several = [slot.counts[name] for slot in self._slots if name in slot.counts]
            counts = [sum(column) for column in zip(*several, strict=True)]
            found[name] = (
                {f"p{part}": percentile(SECONDS, counts, part / 100) for part in (50, 90, 99)}
                if any(counts)
                else None
            )
        return found

    def recent(self) -> list[Mapping[str, Any]]:
        """The last that has happened, the newest first."""
        return sorted(self._recent, key=lambda one: -float(one["time"]))

    def most_refused(self) -> list[dict[str, object]]:
        """The recipients that were refused most in the hour."""
        self._now()
        total: Counter[str] = Counter()
        for slot in self._slots:
            total.update(slot.refused)
        return [
            {"recipient": address, "count": count}
            for address, count in total.most_common(MOST_REFUSED)
        ]

    def _now(self) -> _Slot:
        number = int(self._clock() // SLOT_SECONDS)
        while self._slots and self._slots[0].number <= number - SLOTS:
            self._slots.popleft()
        # A clock that was set back goes on in the slot where it was.
        if not self._slots or self._slots[-1].number < number:
            self._slots.append(_Slot(number))
        return self._slots[-1]
