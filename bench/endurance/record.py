"""The record of a soak in Markdown: the verdict first, then what it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.endurance.judge import UNITS, Check, comparable, quarters
from bench.endurance.ledger import ACKNOWLEDGED, DEFERRED, LOST, Ledger
from bench.endurance.log_tail import LogTail
from bench.endurance.troubles import Happening
from bench.endurance.vitals import Sample
from bench.report import table

_MOST_FAULTS = 30
_MEDIANS = """\
Medians of a process, without the seconds in which two generations of workers were there. The oldest
worker's quarters are those of its own life; no other is counted in its first seconds."""


@dataclass(frozen=True, slots=True)
class Record:
    """All that a run has left."""

    facts: Mapping[str, str]
    ledger: Ledger
    log: LogTail
    happened: Sequence[Happening]
    samples: Sequence[Sample]
    status_page: Counter[str]
    checks: Sequence[Check]

    @property
    def is_good(self) -> bool:
        """Whether each promise was kept."""
        return all(check.is_kept for check in self.checks)

    def markdown(self) -> str:
        """All of it."""
        parts = [
            "# A soak",
            "\n".join(f"- {name}: {fact}" for name, fact in self.facts.items()),
            self._verdict(),
            self._mail(),
            self._troubles(),
            self._vitals(),
            self._rest(),
            self._when(),
        ]
        return "\n\n".join(parts) + "\n"

    def _verdict(self) -> str:
        rows = [
            [check.promise, check.found, "yes" if check.is_kept else "**no**"]
            for check in self.checks
        ]
        verdict = "every promise was kept" if self.is_good else "**a promise was broken**"
        parts = [f"## Verdict: {verdict}", table(["promised", "found", "kept"], rows, left=2)]
        if self.ledger.faults:
            parts.append("\n".join(f"- {one}" for one in self.ledger.faults[:_MOST_FAULTS]))
        return "\n\n".join(parts)

    def _mail(self) -> str:
        ledger = self.ledger
        doubled = len(ledger.doubled(is_excused=True))
        rows = [
            ["letters", f"{len(ledger.letters):,}"],
            ["copies acknowledged", f"{ledger.promises:,}"],
            ["copies found", f"{ledger.copies:,}"],
            ["sent again, for the reply was not heard", f"{ledger.repeated:,}"],
            ["of these found twice, as RFC 1047 allows", f"{doubled:,}"],
            *(
                [f"acknowledged to: {habit}", f"{count:,}"]
                for habit, count in _sorted(ledger.by_habit)
            ),
        ]
        replies = [[reply, f"{count:,}"] for reply, count in sorted(ledger.replies.items())]
        ended = [[reason, f"{count:,}"] for reason, count in _sorted(ledger.ended)] or [
            ["none", "0"]
        ]
        return "\n\n".join(
            [
                "## Mail",
                table(["what", "number"], rows),
                table(["reply to somebody who exists", "number"], replies),
                table(["connections that the server has ended", "number"], ended),
            ]
        )

    def _troubles(self) -> str:
        rows = []
        for name in sorted({one.name for one in self.happened}):
            those = [one for one in self.happened if one.name == name]
            seconds = sum(one.ended - one.begun for one in those)
            counts = [
                sum(self._count(one, what) for one in those)
                for what in (ACKNOWLEDGED, DEFERRED, LOST)
            ]
            rows.append(
                [name, str(len(those)), f"{seconds:,.0f}", *(f"{count:,}" for count in counts)]
            )
        head = [
            "trouble",
            "times",
            "seconds",
            "acknowledged meanwhile",
            "deferred",
            "lost connections",
        ]
        return f"## What went wrong\n\n{table(head, rows)}"

    def _count(self, happening: Happening, what: str) -> int:
        seconds = range(int(happening.begun), int(happening.ended) + 1)
        return sum(self.ledger.moments[second, what] for second in seconds)

    def _vitals(self) -> str:
        rows = [
            [one.role, UNITS[one.figure], *(f"{value:,.0f}" for value in one.medians)]
            for one in quarters(comparable(self.samples, self.happened))
        ]
        head = ["process", "figure", "first quarter", "second", "third", "last"]
        return f"## Memory and descriptors\n\n{_MEDIANS}\n\n{table(head, rows, left=2)}"

    def _rest(self) -> str:
        events = [[event, f"{count:,}"] for event, count in sorted(self.log.events.items())]
        page = [[answer, f"{count:,}"] for answer, count in sorted(self.status_page.items())]
        return "\n\n".join(
            [
                "## The log and the status page",
                table(["event", "lines"], events),
                table(["asked once a second", "answers"], page),
            ]
        )

    def _when(self) -> str:
        rows = [
            [f"{one.begun:,.0f}", f"{one.ended - one.begun:.1f}", one.name, one.detail]
            for one in sorted(self.happened, key=lambda one: one.begun)
        ]
        return f"## What happened when\n\n{table(['second', 'seconds', 'what', ''], rows)}"


def _sorted(counter: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counter.items())
