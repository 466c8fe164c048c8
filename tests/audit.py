#!/usr/bin/env python3
"""Whether any package of the virtual environment has a vulnerability that is known.

    python tests/audit.py

pip-audit asks the service of PyPI. Where that knows no package it says that nothing was found, for
it passes over what it cannot look up: so what was passed over is counted here, and named.
Exit status: 0 none is known, or nobody can be asked from here, which it says; 1 there is one;
2 pip-audit does not do what is asked here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_WITHIN_S = 120.0
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
_AUDIT = (sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--format=json")

# How its last line begins, or that of the library beneath it, if there is no way to the service.
_NO_NETWORK = ("requests.exceptions.", "pip_audit._service.interface.", "ERROR:pip_audit")


class NobodyToAskError(Exception):
    """The service cannot be reached."""


def main() -> int:
    """Ask, and say what was heard; the exit status."""
    try:
        status, lines = judged(_asked())
    except NobodyToAskError as error:
        status, lines = 0, [f"NOT AUDITED, nobody can be asked from here: {error}"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        status, lines = 2, [f"the audit failed: {type(error).__name__}: {error}"]
    print("\n".join(lines))
    return status


def judged(packages: Sequence[Mapping[str, Any]]) -> tuple[int, list[str]]:
    """The exit status for what pip-audit says of these, and what a person should read."""
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    lines = [
        f"{one['name']} {one['version']}: {found['id']},"
        f" mended in {', '.join(found['fix_versions']) or 'no release'}"
        for one in packages
        for found in one.get("vulns", ())
    ]
    status = int(bool(lines))
    if len(skipped) == len(packages):
        lines.append(f"NOT AUDITED: the service knows none of {len(packages)} packages")
    else:
        lines.append(f"{len(packages) - len(skipped)} of {len(packages)} packages audited")
        lines += [f"not audited: {name}" for name in skipped]
    return status, lines


def _asked() -> list[dict[str, Any]]:
    frozen = subprocess.run(
        (*_PIP, "freeze", "--exclude-editable"),
        check=True,
        capture_output=True,
        timeout=_WITHIN_S,
    ).stdout
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder, "pinned.txt")
        pinned.write_bytes(frozen)
        # 1 is a finding as well as a failure: only the first prints JSON.
        done = subprocess.run(
            (*_AUDIT, "--progress-spinner=off", "--requirement", pinned),
            check=False,
            capture_output=True,
            text=True,
            timeout=_WITHIN_S,
        )
    if done.stdout:
        return list(json.loads(done.stdout)["dependencies"])
    cause = (done.stderr.splitlines() or [""])[-1][:300]
    if cause.startswith(_NO_NETWORK):
        raise NobodyToAskError(cause)
    raise ValueError(cause)


if __name__ == "__main__":
    sys.exit(main())
