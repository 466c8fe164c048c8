"""A mount of the file system that keeps only what was fsynced (tests.support.lossy_fs).

Promises: inside the `with` block it is mounted; afterwards the mount and its process are gone, also
when the test failed, and also when the test was killed. What is needed is checked by `require`.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support import components
from tests.support.lossy_fs import Call, Repeat
from tests.support.server import PROJECT
from tests.support.waiting import wait_for

_START_S = 20.0
_STOP_S = 10.0


def require() -> None:
    """We can mount, or the test ends here."""
    components.require("fuse")
    components.require_root("mounts are made by root only")


class LossyMount:
    """The file system, empty at first, on a directory of the test's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._output = os.memfd_create("output")
        descriptor = os.memfd_create("calls")
        try:
            os.ftruncate(descriptor, mmap.PAGESIZE)
            self._counter = mmap.mmap(descriptor, mmap.PAGESIZE)
            self._start(descriptor)
        finally:
            os.close(descriptor)

    def __enter__(self) -> LossyMount:
        try:
            wait_for(self._is_mounted, _START_S, f"a mount on {self.path}")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the mount away, whoever uses it, and end the process.

        AssertionError if the file system had a fault of its own: no test means anything then.
        """
        try:
            self.detach()
        finally:
            self._channel.close()
            wait_for(lambda: self._process.poll() is not None, _STOP_S, "the file system's end")
            self._counter.close()
            output = self._words()
            os.close(self._output)
        assert "Traceback" not in output, output

    def detach(self) -> None:
        """Unmount lazily: the names are gone at once, what is open lives on."""
        if os.path.ismount(self.path) or self._is_dead_mount():
            subprocess.run(["fusermount3", "-u", "-z", self.path], check=True, timeout=_STOP_S)

    def kill(self) -> None:
        """SIGKILL to the file system: the mount stays, and every call on it is ENOTCONN."""
        self._process.kill()
        self._process.wait()

    @property
    def count(self) -> int:
        """How many calls were done until now; it costs no call."""
        return int(struct.unpack_from("Q", self._counter)[0])

    def calls(self, since: int = 0) -> list[Call]:
        """The record of all calls that could have changed something, from the n-th on."""
        return list(self._ask("calls", since))

    def break_calls(
        self,
        error: int,
        *operations: str,
        nth: int = 1,
        repeat: Repeat = "onwards",
        below: str = "",
    ) -> None:
        """Let calls fail from now on: of these operations or of all, on paths with this text."""
        self._ask("fault", (error, frozenset(operations), nth, repeat, below))

    def mend(self) -> int:
        """All is well again; how many calls had failed."""
        return int(self._ask("mend"))

    @contextmanager
    def broken(
        self,
        error: int,
        *operations: str,
        nth: int = 1,
        repeat: Repeat = "onwards",
        below: str = "",
    ) -> Iterator[None]:
        """`break_calls` for the length of the block."""
        self.break_calls(error, *operations, nth=nth, repeat=repeat, below=below)
        try:
            yield
        finally:
            self.mend()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """No call is answered; whoever makes one waits for the end of the block."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _ask(self, order: str, details: Any = None) -> Any:
        self._channel.send((order, details))
        if not self._channel.poll(_START_S):
            raise TimeoutError(f"the file system does not answer to {order}")
        return self._channel.recv()

    def _start(self, counter: int) -> None:
        self._channel, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    # Not -m: what it sends us would then be of a module `__main__`.
                    "from tests.support.lossy_fs import main; raise SystemExit(main())",
                    str(self.path),
                    str(theirs.fileno()),
                    str(counter),
                ],
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=(theirs.fileno(), counter),
                start_new_session=True,
            )

    def _is_mounted(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"the file system ended:\n{self._words()}")
        return os.path.ismount(self.path)

    def _words(self) -> str:
        """What the process wrote: nothing, unless something is wrong with it."""
        return os.pread(self._output, 1 << 20, 0).decode()

    def _is_dead_mount(self) -> bool:
        try:
            self.path.stat()
        except OSError:
            return True
        return False
