"""Real daemons of the machine's log, each in a mount namespace of its own.

Promises: inside the `with` block it listens where programs look for it (/run/systemd/journal,
/dev/log), which nobody outside of the namespace sees; afterwards it is gone, with all it has kept.
"""

from __future__ import annotations

import json
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support import components
from tests.support.namespace import ENVIRONMENT, MountNamespace
from tests.support.program import Program
from tests.support.server import PROJECT

_START_S = 20.0


class LogDaemon(ABC):
    """A daemon that is started in a namespace."""

    component: str
    socket: Path

    def __init__(self, folder: Path) -> None:
        components.require(self.component)
        components.require_root("mounts are made by root only")
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._running = Program(self.component, folder / "daemon.out")
        self._namespace = MountNamespace()

    def __enter__(self) -> LogDaemon:
        try:
            self.prepare()
            self.start()
        except BaseException:
            self._namespace.end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.end()
        finally:
            self._namespace.end()

    def start(self) -> None:
        """Start it, for the first time or again."""
        self._running.start(
            [*self.prefix(), *self.command()],
            self._namespace.outside(self.socket).exists,
            _START_S,
            environment=ENVIRONMENT,
        )

    def end(self) -> None:
        """End it; what listened does so no more."""
        self._running.end()
        self._namespace.outside(self.socket).unlink(missing_ok=True)

    def prefix(self) -> list[str]:
        """What makes a program run where it sees the daemon."""
        return self._namespace.prefix(PROJECT)

    def run(self, *command: str) -> None:
        """A command in the namespace."""
        self._namespace.run(*command)

    @abstractmethod
    def prepare(self) -> None:
        """Make the places that it needs."""

    @abstractmethod
    def command(self) -> list[str]:
        """The daemon."""


class Journald(LogDaemon):
    """systemd-journald, without the systemd that mostly starts it."""

    component = "journald"
    socket = Path("/run/systemd/journal/socket")

    def prepare(self) -> None:
        """A /run that is new, for /run has the journal too."""
        self.run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
        self.run("mkdir", "-p", "/run/systemd/journal", "/run/log/journal")

    def command(self) -> list[str]:
        """The daemon."""
        return ["/lib/systemd/systemd-journald"]

    def output(self) -> list[str]:
        """What makes a program write into the journal, and know it (systemd.exec(5))."""
        named = 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$@"'
        return [*self.prefix(), "systemd-cat", "--identifier=lmtpd", "sh", "-c", named, "sh"]

    def entries(self, *matches: str) -> list[dict[str, Any]]:
        """What `journalctl` finds."""
        told = subprocess.run(
            [*self.prefix(), "journalctl", "--output=json", "--no-pager", *matches],
            capture_output=True,
            check=True,
            text=True,
            env=ENVIRONMENT,
        )
        return [json.loads(line) for line in told.stdout.splitlines()]


class Rsyslog(LogDaemon):
    """rsyslogd, which keeps what comes for the facility mail in a file."""

    component = "rsyslog"
    socket = Path("/dev/log")

    def prepare(self) -> None:
        """Its configuration, and a /dev where a socket can be made that nobody else sees."""
        self.run("mount", "--bind", str(self.folder), "/mnt")
        self.run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/dev")
        for device, number in (("null", 3), ("zero", 5), ("urandom", 9)):
            self.run("mknod", "-m", "666", f"/dev/{device}", "c", "1", str(number))
        (self.folder / "rsyslog.conf").write_text(
            'module(load="imuxsock")\n'
            'template(name="all" type="string" string="%pri% %syslogtag%%msg%\\n")\n'
            f'mail.* action(type="omfile" file="{self._file}" template="all")\n'
        )

    def command(self) -> list[str]:
        """The daemon."""
        pid_file = self.folder / "rsyslog.pid"
        return ["rsyslogd", "-n", "-f", str(self.folder / "rsyslog.conf"), "-i", str(pid_file)]

    def lines(self) -> list[str]:
        """What it has written by now, as `PRI TAG: TEXT`."""
        return self._file.read_text().splitlines() if self._file.exists() else []

    @property
    def _file(self) -> Path:
        return self.folder / "mail.log"
