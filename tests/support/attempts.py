"""What a program in the server's place would try, each the way its user could outside of the unit.

    python attempts.py NAME      says how it went: `done`, or the name of the error

Promises: as a recipient hook (`attempts:Attempts`) it tries what the local-part names, in a worker,
and rejects the recipient with the same word. Nothing here needs root.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from lmtpd.protocol.address import Address
from lmtpd.recipients.verdict import RcptContext, Verdict

STORE = Path("/var/lib/lmtpd/maildirs")
# Modes let everybody write there.
OPEN = Path("/srv/open")
OPEN_HOME = Path("/home/open")
TEMPORARY = Path("/tmp/lmtpd-was-here")  # it is to be the machine's own

_CLONE_NEWUSER = 0x10000000
_PTRACE_TRACEME = 0
_PER_LINUX32 = 8


def _call(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)


def _make_privileged_program() -> None:
    program = STORE / "program"
    program.touch()
    program.chmod(0o4755)


ATTEMPTS: dict[str, Callable[[], object]] = {
    "deliver": (STORE / "note").touch,
    "temporary": TEMPORARY.touch,
    "elsewhere": (OPEN / "note").touch,
    "homes": (OPEN_HOME / "note").touch,
    "processes": Path("/proc/1/status").read_text,
    "namespace": lambda: _call("unshare", _CLONE_NEWUSER),
    "trace": lambda: _call("ptrace", _PTRACE_TRACEME),
    "personality": lambda: _call("personality", _PER_LINUX32),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "code": lambda: mmap.mmap(
        -1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    ).close(),
    "privileged": _make_privileged_program,
}


def attempt(name: str) -> str:
    """How it went."""
    try:
        ATTEMPTS[name]()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


class Attempts:
    """A hook that nobody should have."""

    def __init__(self, config: object) -> None:
        """It has no settings."""

    def verify(self, address: Address, _: RcptContext) -> Verdict | None:
        """Tell how it went in the reply; nobody to whom no attempt is named after is known."""
        return Verdict.reject(attempt(address.local)) if address.local in ATTEMPTS else None


if __name__ == "__main__":
    sys.stdout.write(attempt(sys.argv[1]))
