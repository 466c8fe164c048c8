"""A real server that a test starts below a folder of its own, on one loopback port.

Promises: nothing of the machine's configuration is read or changed. It ends with its `with` block,
and with us if we are killed. Where it refuses to be root it runs under its package's account.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from tests.support.certificates import Certificate
from tests.support.components import require
from tests.support.processes import PROGRAMS_PATH, accepts, free_port
from tests.support.program import Program

_START_S = 60.0
_SETUP_S = 120.0

_Self = TypeVar("_Self", bound="Daemon")


class Daemon:
    """What the servers of the tests have in common."""

    component = ""
    """Its name in tests/components.py."""
    account = ""
    """Under which it runs if we are root; empty: as we do."""
    end_by = signal.SIGTERM
    """Ends it at once, whoever is connected."""
    kill_by = signal.SIGKILL
    """Ends it in the middle of whatever it does."""

    def __init__(self, certificate: Certificate) -> None:
        self.port = free_port()
        self.folder = Path()
        self._certificate = certificate

    def prepare(self) -> None:
        """Write what it needs into `folder`."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """What runs it in the foreground."""
        raise NotImplementedError

    def __enter__(self: _Self) -> _Self:
        require(self.component)
        # Short, for the paths of unix sockets are bounded.
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.component}-", dir="/tmp"))
        self._running = Program(f"{self.component} on port {self.port}", self.folder / "output")
        try:
            self.own(self.folder)
            for name in ("cert_path", "key_path"):
                copy = self.folder / name
                copy.write_bytes(getattr(self._certificate, name).read_bytes())
                copy.chmod(0o600)
                self.own(copy)
            self.prepare()
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def die(self) -> None:
        """End in the middle of whatever it does."""
        self._running.die(self.kill_by)

    def come_back(self) -> None:
        """Start again, on the same port, with the same data."""
        self._start()

    def run(self, command: list[str], text: str = "") -> None:
        """A program of its package, to its end, under its account."""
        ended = subprocess.run(
            self._as_account(command),
            cwd=self.folder,
            env={"PATH": PROGRAMS_PATH},
            input=text.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SETUP_S,
        )
        if ended.returncode:
            raise RuntimeError(f"{command[0]} ended with {ended.returncode}: {ended.stdout!r}")

    def _as_account(self, command: list[str]) -> list[str]:
        ids = []
        if self.account and os.geteuid() == 0:
            ids = [f"--reuid={self.account}", f"--regid={self.account}", "--clear-groups"]
        return ["setpriv", *ids, "--pdeathsig=TERM", "--", *command]

    def own(self, path: Path) -> None:
        """Make it that account's."""
        if self.account and os.geteuid() == 0:
            shutil.chown(path, self.account, self.account)

    def _start(self) -> None:
        self._running.start(
            self._as_account(self.command()),
            self.is_ready,
            _START_S,
            environment={"PATH": PROGRAMS_PATH},
            folder=self.folder,
        )

    def is_ready(self) -> bool:
        """Whether it serves; to accept connections is enough for most."""
        return accepts(self.port)

    @property
    def output(self) -> str:
        """All that it said so far."""
        return self._running.output

    def _end(self) -> None:
        try:
            self._running.end(self.end_by)
        finally:
            shutil.rmtree(self.folder)
