"""The command line of the server under test, run to its end or left running."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.server import PROJECT

Result = subprocess.CompletedProcess[str]

_PATIENCE_S = 60


def lmtpd(*arguments: object, **environment: str) -> Result:
    """Run a command to its end."""
    with begin(*arguments, **environment) as process:
        return ended(process)


def begin(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Start a command."""
    return subprocess.Popen(
        [sys.executable, "lmtpd.py", *map(str, arguments)],
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> Result:
    """What it said by its end."""
    try:
        out, err = process.communicate(timeout=_PATIENCE_S)
    except BaseException:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
