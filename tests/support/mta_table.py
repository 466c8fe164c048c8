"""The table of MTA by check in tests/mta/README.md, from the outcomes of a run.

Promises: nothing is written unless asked for (`make mta`), so that a run leaves the checkout alone.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.mtas import MTAS

# By qmail or by programs that run others as qmail does: the test records the property `mta`.
_NAMES = (*(one.name for one in MTAS), "qmail")

_HEAD = """\
# Real MTAs

Each check is written once and made with every MTA that can do what it is about. The MTAs are
configured with the lines of their pages in `docs/mta/`, and run side by side, each
in a throw-away machine (`tests/support/sandbox.py`) or below a folder of its own (Postfix);
`make mta` makes the checks and writes this table.

yes: it was checked. -: the MTA cannot do it, or does something else that is checked below. open: a
fault that is known fails it, or keeps it from being made. not run: something was missing on the
machine.

qmail is run where somebody has installed it; what is checked without it are the lines of its page,
and programs that run others as it does.

"""
# By rank: of several runs of a check the worst one counts.
_WORDS = {
    "passed": "yes",
    "xpassed": "yes",
    "skipped": "not run",
    "xfailed": "open",
    "failed": "no",
}


class MtaTable:
    """A plugin of pytest that gathers outcomes, and writes the table at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._outcomes: dict[str, dict[str, str]] = defaultdict(dict)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Note which MTA a test is for, in its reports too."""
        kind = item.callspec.params.get("kind") if hasattr(item, "callspec") else None
        if kind is not None:
            item.user_properties.append(("mta", kind.name))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test has ended."""
        mta = dict(report.user_properties).get("mta")
        if mta is None or (report.when == "teardown" and report.passed):
            return
        if report.when == "setup" and report.passed:
            return
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "xpassed" if report.passed else "xfailed"
        check = report.nodeid.partition("::test_")[2].partition("[")[0].replace("_", " ")
        ranks = list(_WORDS)
        worst = max(outcome, self._outcomes[check].get(mta, outcome), key=ranks.index)
        self._outcomes[check][mta] = worst

    def pytest_sessionfinish(self) -> None:
        """All tests have ended."""
        lines = [f"| | {' | '.join(_NAMES)} |", "|---" * (len(_NAMES) + 1) + "|"]
        for check, outcomes in self._outcomes.items():
            cells = [_WORDS[outcomes[name]] if name in outcomes else "-" for name in _NAMES]
            lines.append(f"| {check} | {' | '.join(cells)} |")
        self._path.write_text(_HEAD + "\n".join(lines) + "\n", "utf-8")
