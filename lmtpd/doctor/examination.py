"""Examination: a check, made by a child process until its time is over.

A disk that hangs holds whoever touches it, and no thread of such a process can be got rid of. So
each check has a process, which may take the rights of a worker for good, fail or hang, and nobody
waits for its end.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time

from ..failures import told
from .finding import Check, Finding, Level, fail

_LONGEST = 1 << 20
"""Octets of one check."""


class Examination:
    """One check, begun."""

    def __init__(self, check: Check) -> None:
        """Begin it."""
        self.check = check
        self._end_s = time.monotonic() + check.seconds
        self._output, output = os.pipe()
        self._process = os.fork()
        if not self._process:
            os.close(self._output)
            _examine(check, output)
        os.close(output)

    def findings(self) -> list[Finding]:
        """Wait for it; what was found, and perhaps that there was not time enough."""
        heard, is_over = b"", False
        while not is_over and len(heard) < _LONGEST and self._has_more():
            piece = os.read(self._output, 65536)
            heard, is_over = heard + piece, not piece
        found = [_read(line) for line in heard.split(b"\n")[:-1]]
        if not is_over:
            late = f"no answer within {self.check.seconds:g} s"
            found.append(fail(late, self.check.remedy))
        self.close()
        return found

    def close(self) -> None:
        """End it, wherever it is."""
        if not self._process:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process, signal.SIGKILL)
        os.close(self._output)
        # One that hangs in a call to a disk is left to init.
        for _ in range(20):
            if os.waitpid(self._process, os.WNOHANG)[0]:
                break
            time.sleep(0.01)
        self._process = 0

    def _has_more(self) -> bool:
        left_s = max(0.0, self._end_s - time.monotonic())
        return bool(select.select([self._output], [], [], left_s)[0])


def _examine(check: Check, output: int) -> None:
    """The child, from its first step to its end."""
    try:
        # Whoever reads what doctor says shall see its end, even if this one hangs for ever.
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        try:
            for finding in check.look():
                _write(output, finding)
        except Exception as error:  # noqa: BLE001 - it says so, and the others go on
            _write(output, fail(f"could not be looked at: {told(error)}", check.remedy))
    finally:
        os._exit(os.EX_OK)


def _write(output: int, finding: Finding) -> None:
    text = json.dumps([finding.level.value, finding.text, finding.remedy])
    left = f"{text}\n".encode()
    while left:
        left = left[os.write(output, left) :]


def _read(line: bytes) -> Finding:
    level, text, remedy = json.loads(line)
    return Finding(Level(level), text, remedy)
