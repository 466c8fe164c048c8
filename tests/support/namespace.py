"""A mount namespace of our own: what is mounted there nobody else sees.

Promises: it lives as long as one helper process, which ends with us, be it by SIGKILL; then
everything that was mounted there is gone, and nothing on this machine has changed.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.processes import PROGRAMS_PATH, bound_to_us

ENVIRONMENT = {**os.environ, "PATH": PROGRAMS_PATH, "LC_ALL": "C"}
_PATIENCE_S = 60.0


class MountError(RuntimeError):
    """There can be no such thing here, as in a container that may not mount."""


class MountNamespace:
    """Begun at once; `end` has to be called.

    Raises:
        MountError: the system does not let us have one.
    """

    def __init__(self) -> None:
        # It lives as long as its standard input, which is ours.
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "--", "cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        try:
            self._holder.stdin.write(b"\n")
            self._holder.stdin.flush()
            is_there = self._holder.stdout.read(1) == b"\n"
        except OSError:
            is_there = False
        if not is_there:
            self.end()
            raise MountError("no mount namespace of our own: unshare failed, see above")

    def end(self) -> None:
        """It is no more, unless somebody is in it."""
        self._holder.communicate()

    def outside(self, path: Path) -> Path:
        """A path in it, as processes outside find it."""
        return Path(f"/proc/{self._holder.pid}/root{path}")

    def mounts(self) -> list[tuple[str, str]]:
        """Device and place of what is mounted in it."""
        lines = Path(f"/proc/{self._holder.pid}/mounts").read_text().splitlines()
        return [(line.split(" ")[0], line.split(" ")[1]) for line in lines]

    def prefix(self, directory: Path) -> list[str]:
        """What makes a command run in it, in this directory, and end with us."""
        return bound_to_us([*self._enter(), "env", f"--chdir={directory}"])

    def run(self, *command: str) -> None:
        """A command in it, to its end.

        Raises:
            MountError: it failed.
        """
        done = subprocess.run(
            [*self._enter(), *command],
            capture_output=True,
            check=False,
            env=ENVIRONMENT,
            timeout=_PATIENCE_S,
        )
        if done.returncode:
            raise MountError(f"{' '.join(command)}: {done.stderr.decode()}")

    def _enter(self) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "--"]
