"""The judge: what was promised, beside what was found."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.endurance.ledger import Ledger
from bench.endurance.log_tail import LogTail
from bench.endurance.troubles import RELOADS, UPGRADE, Happening
from bench.endurance.vitals import OTHER, PARENT, WORKER, Sample

OLDEST = "oldest worker"
_SETTLED_S = 10.0
"""A worker that is younger still fills its memory; it is in no quarter."""
_GROWTH = 1.1
"""From the second quarter to the last, and beyond that a few."""
FIGURES = {"pss_kib": 2048, "descriptors": 8, "threads": 2}
"""What is compared, and those few: all of them vary with what is done at the moment."""
_HOUR_KIB = 6144
"""The status process remembers the last hour, whose slots are filled as it passes."""
UNITS = {"pss_kib": "KiB of PSS", "descriptors": "descriptors", "threads": "threads"}
_FAILED = ("session-failed", "worker-failed", "worker-hangs", "companion-failed", "log-lost")
_PROCESS = re.compile(r"P(\d+)Q")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One promise."""

    promise: str
    found: str
    is_kept: bool


@dataclass(frozen=True, slots=True)
class Quarters:
    """One figure of one role, a median for each quarter of the time."""

    role: str
    figure: str
    medians: tuple[float, ...]

    @property
    def is_flat(self) -> bool:
        """Whether the last is what the second was."""
        _, second, _, last = self.medians
        remembered = _HOUR_KIB if (self.role, self.figure) == (OTHER, "pss_kib") else 0
        return last <= second * _GROWTH + FIGURES[self.figure] + remembered


def judge_mail(ledger: Ledger, root: Path, log: LogTail) -> list[Check]:
    """What became of the mail.

    Args:
        ledger: all that was said and found.
        root: of the store, when the server has ended.
        log: its log.
    """
    leftovers = [
        file.name for file in root.glob("*/*/tmp/*") if _process(file.name) not in ledger.killed
    ]
    return [
        _none("acknowledged and lost", ledger.lost()),
        _none("found twice, and no lost reply excuses it", ledger.doubled(is_excused=False)),
        _none("not delivered in the end", ledger.never_answered()),
        _none("5xx to a recipient that exists", [one for one in ledger.replies if one[0] == "5"]),
        _none("other faults, in words below", ledger.faults, ledger.fault_count),
        _none("in tmp/, and not of a killed worker", leftovers),
        _none("events of the log that tell a fault of ours", _failed(log)),
        _none("lines that are none of the log's", log.strange),
    ]


def judge_vitals(samples: Sequence[Sample]) -> list[Check]:
    """Whether memory, descriptors and threads are flat, by samples that can be compared."""
    return [
        Check(
            f"{UNITS[one.figure]} of {one.role}, second and last quarter",
            f"{one.medians[1]:,.0f}, {one.medians[3]:,.0f}",
            one.is_flat,
        )
        for one in quarters(samples)
    ]


def comparable(samples: Sequence[Sample], happened: Iterable[Happening]) -> list[Sample]:
    """Less those taken while two generations of workers were there."""
    doubled = [one for one in happened if one.name in RELOADS or one.name == UPGRADE]
    return [
        sample
        for sample in samples
        if not any(one.begun <= sample.at <= one.ended + _SETTLED_S for one in doubled)
    ]


def quarters(samples: Sequence[Sample]) -> list[Quarters]:
    """By role, of all that are settled; and of the worker that lived longest, by its own life."""
    roles: dict[str, list[Sample]] = defaultdict(list)
    born: dict[int, float] = {}
    for sample in samples:
        if sample.at - born.setdefault(sample.pid, sample.at) >= _SETTLED_S:
            roles[sample.role].append(sample)
    by_worker: dict[int, list[Sample]] = defaultdict(list)
    for sample in roles[WORKER]:
        by_worker[sample.pid].append(sample)
    if by_worker:
        roles[OLDEST] = max(by_worker.values(), key=len)
    order = (PARENT, OLDEST, *sorted(roles.keys() - {PARENT, OLDEST}))
    return [
        Quarters(role, figure, medians)
        for role in order
        for figure in FIGURES
        if (medians := _medians(roles[role], figure))
    ]


def _medians(samples: Sequence[Sample], figure: str) -> tuple[float, ...]:
    """None where a quarter has no sample."""
    if not samples:
        return ()
    first, last = samples[0].at, samples[-1].at
    length = (last - first) / 4 or 1.0
    parts: list[list[int]] = [[], [], [], []]
    for sample in samples:
        parts[min(3, int((sample.at - first) / length))].append(getattr(sample, figure))
    return tuple(map(median, parts)) if all(parts) else ()


def _none(what: str, found: Iterable[object], count: int | None = None) -> Check:
    """There should be none of these."""
    all_ = list(found)
    told = "; ".join(map(str, all_[:_SHOWN])) if count is None else ""
    number = len(all_) if count is None else count
    return Check(what, f"{number:,}{f' ({told})' if told else ''}", number == 0)


def _failed(log: LogTail) -> list[str]:
    return [f"{event}: {log.events[event]}" for event in _FAILED if log.events[event]]


def _process(name: str) -> int:
    found = _PROCESS.search(name)
    return int(found[1]) if found else 0
