#!/usr/bin/env python3
"""Whether any package of the virtual environment has a vulnerability that is known.

    python tests/audit.py [--requirements FILE] [--ignored FILE] [options of pip-audit]

pip-audit asks the service of PyPI. Where that knows no package it says that nothing was found, for
it passes over what it cannot look up: so what was passed over is counted here, and named.
A finding that does not concern us stands in tests/audit_ignored.txt, with the reason.
Exit status: 0 none is known, or nobody can be asked from here, which it says; 1 there is one;
2 pip-audit does not do what is asked here.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_IGNORED = Path(__file__).parent / "audit_ignored.txt"
_WITHIN_S = 120.0
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
_AUDIT = (sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--format=json")

# How its last line begins, or that of the library beneath it, if there is no way to the service.
_NO_NETWORK = ("requests.exceptions.", "pip_audit._service.interface.", "ERROR:pip_audit")


class NobodyToAskError(Exception):
    """The service cannot be reached."""


def main() -> int:
    """Ask, and say what was heard; the exit status."""
    options, for_pip_audit = _options().parse_known_args()
    try:
        ignored = reasons(options.ignored.read_text("utf-8"))
        pinned = options.requirements.read_bytes() if options.requirements else _installed()
        status, lines = judged(_asked(pinned, for_pip_audit), ignored)
    except NobodyToAskError as error:
        status, lines = 0, [f"NOT AUDITED, nobody can be asked from here: {error}"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        status, lines = 2, [f"the audit failed: {type(error).__name__}: {error}"]
    print("\n".join(lines))
    return status


def reasons(text: str) -> dict[str, str]:
    """The ids that are ignored, each with why.

    Raises:
        ValueError: one has no reason.
    """
    rows = [line.partition(" ") for line in text.splitlines() if line and line[0] != "#"]
    for name, _, why in rows:
        if not why.strip():
            raise ValueError(f"{name} is to be ignored: say why")
    return {name: why.strip() for name, _, why in rows}


def judged(
    packages: Sequence[Mapping[str, Any]], ignored: Mapping[str, str]
) -> tuple[int, list[str]]:
    """The exit status for what pip-audit says of these, and what a person should read."""
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    status, lines, unused = 0, [], dict(ignored)
    for one, found in _findings(packages):
        line = (
            f"{one['name']} {one['version']}: {found['id']},"
            f" mended in {', '.join(found['fix_versions']) or 'no release'}"
        )
        known = next((name for name in (found["id"], *found["aliases"]) if name in ignored), None)
        if known is None:
            status = 1
            lines.append(line)
        else:
            unused.pop(known, None)
            lines.append(f"ignored: {line}: {ignored[known]}")
    lines += [f"{name} is ignored and was not found: strike it out" for name in unused]
    if len(skipped) == len(packages):
        lines.append(f"NOT AUDITED: the service knows none of {len(packages)} packages")
    else:
        lines.append(f"{len(packages) - len(skipped)} of {len(packages)} packages audited")
        lines += [f"not audited: {name}" for name in skipped]
    return status, lines


def _findings(
    packages: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    return ((one, found) for one in packages for found in one.get("vulns", ()))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requirements", type=Path, help="pinned; else what is installed here")
    parser.add_argument("--ignored", type=Path, default=_IGNORED, help="ids, each with its reason")
    return parser


def _installed() -> bytes:
    return subprocess.run(
        (*_PIP, "freeze", "--exclude-editable"),
        check=True,
        capture_output=True,
        timeout=_WITHIN_S,
    ).stdout


def _asked(pinned: bytes, options: Sequence[str]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pinned.txt")
        file.write_bytes(pinned)
        # 1 is a finding as well as a failure: only the first prints JSON.
        done = subprocess.run(
            (*_AUDIT, "--progress-spinner=off", *options, "--requirement", file),
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
