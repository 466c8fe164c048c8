"""What is made of pip-audit's words: a finding is never a pass, and silence is never called one."""

from __future__ import annotations

import pytest

from tests.audit import judged

SOUND = {"name": "sound", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found on PyPI"}
BROKEN = {
    "name": "broken",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}],
}


@pytest.mark.parametrize(
    ("packages", "status", "lines"),
    [
        ([SOUND], 0, ["1 of 1 packages audited"]),
        ([SOUND, UNKNOWN], 0, ["1 of 2 packages audited", "not audited: unknown"]),
        ([UNKNOWN, UNKNOWN], 0, ["NOT AUDITED: the service knows none of 2 packages"]),
        (
            [BROKEN, UNKNOWN],
            1,
            [
                "broken 1.0: PYSEC-2026-1, mended in 1.1",
                "1 of 2 packages audited",
                "not audited: unknown",
            ],
        ),
    ],
)
def test_judged(packages: list[dict[str, object]], status: int, lines: list[str]) -> None:
    assert judged(packages) == (status, lines)
