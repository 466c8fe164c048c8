"""Real users of this machine, for as long as a test needs them.

Promises: their names and homes are the test's own, and all of it is gone at the end, also when the
test fails. Nobody can log in as one of them.
"""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.support.components import require, require_root
from tests.support.processes import PROGRAMS_PATH

_PR_SET_PDEATHSIG = 1
_GRACE_S = 30.0
_numbers = itertools.count()
"""Users of one test may be there while another makes its own."""


@dataclass(frozen=True)
class Account:
    """A user, and the home."""

    name: str
    uid: int
    gid: int
    home: Path

    @property
    def address(self) -> str:
        return f"{self.name}@example.org"

    @property
    def maildir(self) -> Path:
        return self.home / "Maildir"

    def messages(self) -> list[Path]:
        """What lies in new/ of the Maildir."""
        return sorted((self.maildir / "new").glob("*"))

    def does(self, act: Callable[[], object]) -> None:
        """Have something done with this user's rights."""
        _, status = os.waitpid(self._forked(act), 0)
        assert status == 0, f"{self.name} could not do it"

    @contextmanager
    def keeps_doing(self, act: Callable[[], object]) -> Iterator[None]:
        """Have it done again and again, by a process that ends with the context, or with us."""

        def again() -> None:
            while True:
                act()

        child = self._forked(again)
        try:
            yield
        finally:
            os.kill(child, signal.SIGKILL)  # it is not reaped yet, so that this is no one else
            _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, f"{self.name} gave up"

    def _forked(self, act: Callable[[], object]) -> int:
        child = os.fork()
        if child:
            return child
        try:
            os.setgroups(os.getgrouplist(self.name, self.gid))
            os.setgid(self.gid)
            os.setuid(self.uid)
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            act()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - a fork never returns into the test
            os.write(2, f"{error!r}\n".encode())
        finally:
            os._exit(1)


class Accounts:
    """Users made by the test, with homes below a folder that all can enter."""

    def __init__(self) -> None:
        require_root("users are made by root only")
        require("accounts")
        self._made: list[str] = []
        self._number = next(_numbers)

    def __enter__(self) -> Accounts:
        self.folder = Path(tempfile.mkdtemp(prefix="lmtpd-homes-", dir="/tmp"))
        self.folder.chmod(0o711)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            while self._made:
                self.remove(self._made[-1])
        finally:
            shutil.rmtree(self.folder)

    def add(self, letter: str, *options: str, home: Path | None = None) -> Account:
        """Make a user; the home is an empty directory of mode 0700 unless it is given."""
        name = f"lmtpd{os.getpid()}{letter}{self._number}"
        place = home or self.folder / letter
        _exclusively("useradd", "-M", "-U", "-d", str(place), "-s", "/bin/false", *options, name)
        self._made.append(name)
        entry = _entry(name)
        account = Account(name, int(entry[2]), int(entry[3]), place)
        if home is None:
            self.furnish(account)
        return account

    def furnish(self, account: Account) -> None:
        """An empty home, whatever was there."""
        _chmod_all(account.home)
        shutil.rmtree(account.home, ignore_errors=True)
        account.home.mkdir(mode=0o700)
        os.chown(account.home, account.uid, account.gid)

    def remove(self, name: str) -> None:
        """The account alone; the home stays."""
        _exclusively("userdel", name)
        self._made.remove(name)


def _chmod_all(home: Path) -> None:
    if home.is_dir():
        home.chmod(0o700)


def _entry(name: str) -> list[str]:
    lines = Path("/etc/passwd").read_text("utf-8").splitlines()
    (entry,) = (line for line in lines if line.startswith(f"{name}:"))
    return entry.split(":")


def _exclusively(*command: str) -> None:
    """Run it; tests of another process wait meanwhile, for useradd(8) itself would give up."""
    place = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            env={**os.environ, "PATH": PROGRAMS_PATH},
            timeout=_GRACE_S,
        )
    finally:
        os.close(place)
