"""A program that the hook `exec` asks, and the file by which it is found.

Run as a program it answers from `TABLE` and goes wrong as `WRONG` says.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(_PROJECT))

from lmtpd.recipients.verdict import Verdict  # noqa: E402
from tests.support.back_ends import in_json  # noqa: E402
from tests.support.backend_contract import ANSWERS, TABLE, WRONG  # noqa: E402


class ProgramFile:
    """Written by `start`; `stop` takes it away and kills those that run."""

    hook = "exec"
    answers: Mapping[str, Verdict] = ANSWERS
    wrong = WRONG

    def __init__(self, folder: Path) -> None:
        self.path = folder / "program"
        self._pids = folder / "pids"

    @property
    def settings(self) -> dict[str, object]:
        return {
            "lmtp_exec_command": f"'{self.path}' 'an argument'",
            "lmtp_sandbox_writable": self._pids.parent,  # it writes down who it is
        }

    def start(self) -> None:
        """It can be run from now on."""
        self._pids.touch()
        new = self.path.with_suffix(".new")
        new.write_text(
            f"#!/bin/sh\necho $$ >>'{self._pids}'\nexec '{sys.executable}' '{__file__}' \"$@\"\n"
        )
        new.chmod(0o755)
        new.replace(self.path)

    def stop(self) -> None:
        """It cannot be run any more, and none runs."""
        self.path.unlink(missing_ok=True)
        for pid in self.running():
            os.kill(pid, signal.SIGKILL)

    def started(self) -> list[int]:
        """The process ids of all that were ever started."""
        return [int(line) for line in self._pids.read_text().split()] if self._pids.exists() else []

    def running(self) -> list[int]:
        """Those that run, and are this program."""
        return [pid for pid in self.started() if __file__.encode() in _command_line(pid)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def main() -> None:
    """Answer until there are no more questions."""
    assert sys.argv[1:] == ["an argument"]
    output = sys.stdout.buffer
    for line in sys.stdin:
        asked = json.loads(line)
        answer = in_json(TABLE.get(asked["address"], TABLE.get(f"@{asked['domain']}"))) + b"\n"
        match asked["local"]:
            case "mute":
                time.sleep(60)
            case "dying":
                output.write(b'{"accept": ')
                output.flush()
                print("these are my last words\x1b", file=sys.stderr)
                sys.exit(3)
            case "nonsense":
                answer = b"yes\n"
            case "octets":
                answer = b'{"accept": "\xff@example.org"}\n'
            case "endless":
                while True:
                    output.write(b"x" * 65536)
            case "talking":
                print(f"asked for {line}" * 10, file=sys.stderr)
            case "descriptors":
                listed = len(list(Path("/proc/self/fd").iterdir())) - 1
                print(f"descriptors: {listed}", file=sys.stderr)
            case "twice":
                answer *= 2
        output.write(answer)
        output.flush()


if __name__ == "__main__":
    main()
