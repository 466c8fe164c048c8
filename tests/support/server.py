"""The server under test, as a real process on a loopback port.

Promises: inside the `with` block it listens; afterwards it is gone. Tests see what an operator and
an MTA see, which is the port, the Maildirs, the log, and nothing of the inside.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tests.support.processes import accepts, free_port, members, stop
from tests.support.waiting import wait_for

PROJECT = Path(__file__).resolve().parents[2]

_START_S = 20.0
_STOP_S = 20.0


class Server:
    """`lmtpd.py serve` with its files below `folder`; settings as `lmtp_tls_only=True`.

    `prefix` is a command that runs it elsewhere (in another namespace) and becomes it by exec;
    `program` are Python's arguments if something else shall be run instead of `lmtpd.py`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        prefix: Sequence[str] = (),
        program: Sequence[str] = ("lmtpd.py",),
        **settings: object,
    ) -> None:
        self._prefix = prefix
        self._program = program
        self.port = int(str(settings.get("lmtp_port", free_port())))
        self.root = folder / "maildirs"
        self.root.mkdir(parents=True, exist_ok=True)
        self._stdout_path = folder / "server.out"
        self._stderr_path = folder / "server.err"
        self._settings = {
            "lmtp_port": self.port,
            "lmtp_maildir_root": self.root,
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, again on the same port if it ran before, and wait until it listens."""
        if self._process is not None:
            raise RuntimeError("the server runs already")
        with self._stdout_path.open("ab") as out, self._stderr_path.open("ab") as err:
            self._process = subprocess.Popen(
                self._command(),
                cwd=PROJECT,
                # Settings may stand in the environment too; only the test's own are to count.
                env={key: value for key, value in os.environ.items() if key[:5] != "LMTP_"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        try:
            wait_for(self._is_up, _START_S, f"a server on port {self.port}")
        except BaseException:
            self.stop()
            raise

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        assert self._process is not None
        self._process.terminate()

    def kill(self) -> None:
        """SIGKILL to the parent process alone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def kill_all(self) -> None:
        """SIGKILL to the parent process and its workers, all at one moment; wait for their end."""
        process, self._process = self._process, None
        assert process is not None
        # The parent is not reaped yet, so that the id of its group cannot be anyone else's.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        wait_for(lambda: not members(process.pid), _STOP_S, "the end of the workers")

    @property
    def pid(self) -> int:
        """The process id of the parent process, which leads a process group."""
        assert self._process is not None
        return self._process.pid

    def workers(self) -> list[int]:
        """The process ids of its workers, in the order of their start."""
        assert self._process is not None
        pid = self._process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self) -> int | None:
        """SIGTERM and wait; the exit status, None if it did not run; TimeoutError if it hung."""
        process, self._process = self._process, None
        return None if process is None else stop(process, _STOP_S)

    def mailbox(self, address: str) -> Path:
        """Make the mailbox of an address; its directory, in which new/ will hold the mail."""
        path = self._path(address)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def messages(self, address: str) -> list[bytes]:
        """What lies in new/ of the mailbox of an address, sorted."""
        return sorted(file.read_bytes() for file in self.message_files(address))

    def message_files(self, address: str) -> list[Path]:
        """The files in new/ of the mailbox of an address, by name."""
        return sorted((self._path(address) / "new").glob("*"))

    def files(self) -> list[str]:
        """Every file and directory below the root: what "nothing left behind" is said of."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*"))

    @property
    def output(self) -> str:
        """All that it wrote to stdout so far."""
        return self._stdout_path.read_text("utf-8", "replace")

    @property
    def log(self) -> str:
        """All that it wrote to stderr so far."""
        return self._stderr_path.read_text("utf-8", "replace")

    def _path(self, address: str) -> Path:
        local, _, domain = address.rpartition("@")
        return self.root / domain / local

    def _command(self) -> list[str]:
        command = [*self._prefix, sys.executable, *self._program, "serve"]
        for name, value in self._settings.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            command += ["--" + name.replace("_", "-"), text]
        return command

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"the server ended with {self._process.returncode}:\n{self.log}")
        if self._settings.get("lmtp_bind_addr") == "none":
            return "listening on" in self.output
        path = self._settings.get("lmtp_socket_path")
        return accepts(self.port) and (path is None or Path(str(path)).exists())
