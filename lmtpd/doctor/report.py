"""Report: what was found, as it is found for a person, or in one piece for a program."""

from __future__ import annotations

import json
import os
from collections import Counter

from ..terminal import printable, tell
from .finding import Finding, Level


class Report:
    """Tells findings, and keeps what the exit code depends on."""

    def __init__(self, *, is_json: bool) -> None:
        self._is_json = is_json
        self._told: list[dict[str, str]] = []
        self._counts: Counter[Level] = Counter()
        self._is_misconfigured = False

    def add(self, about: str, finding: Finding, *, is_configuration: bool) -> None:
        """One more.

        Args:
            about: what was looked at.
            finding: how it is.
            is_configuration: whether a FAIL is for somebody to configure better.
        """
        self._counts[finding.level] += 1
        self._is_misconfigured |= is_configuration and finding.level is Level.FAIL
        text, remedy = printable(finding.text), printable(finding.remedy)
        level = finding.level.value
        if self._is_json:
            line = {"level": level.lower(), "about": about, "text": text, "remedy": remedy}
            self._told.append(line)
            return
        tell(f"{level:5}{about:14}{text}")
        if remedy:
            tell(f"{'':5}-> {remedy}")

    def end(self) -> int:
        """Sum it up; the exit code: 0 if nothing fails, else EX_CONFIG or EX_TEMPFAIL."""
        code = os.EX_OK
        if self._counts[Level.FAIL]:
            code = os.EX_CONFIG if self._is_misconfigured else os.EX_TEMPFAIL
        counts = {level.value: self._counts[level] for level in Level}
        if self._is_json:
            sums = {name.lower(): count for name, count in counts.items()}
            tell(json.dumps({"findings": self._told, **sums, "exit": code}, indent=1))
        else:
            sums_up = ", ".join(f"{count} {name}" for name, count in counts.items())
            tell(f"{sum(counts.values())} looked at: {sums_up}")
        return code
