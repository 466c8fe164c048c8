"""Start a real server as our child, on a port of its own, and end it again.

Promises: what was started is ended, it and its own children, by process ids we were given; nobody
else's process is touched. A child that does not obey SIGTERM is killed and reported, for a server
that cannot be stopped is a defect, not a nuisance.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
from collections import Counter
from pathlib import Path

from tests.support.waiting import wait_for

LOOPBACK = "127.0.0.1"

# Daemons live where an ordinary user's PATH does not look.
PROGRAMS_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

# Below the range from which Linux takes the source ports of outgoing connections (32768 up): a
# port from that range could be in use as somebody's source port when a server starts again on it.
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """A loopback port nobody listens on just now."""
    for port in random.sample(_PORTS, k=200):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    raise RuntimeError(f"no free port among 200 tried in {_PORTS}")


def accepts(port: int) -> bool:
    """Whether somebody accepts connections on this loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=5).close()
    except OSError:
        return False
    return True


def greets(port: int, greeting: bytes) -> bool:
    """Whether the server on this loopback port opens the conversation with `greeting`."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=5) as connection:
            return connection.recv(512).startswith(greeting)
    except OSError:
        return False


def descriptors(pid: int) -> Counter[str]:
    """What a process has open: files by name, all else by its kind, such as `socket`."""
    found: Counter[str] = Counter()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since we have seen it
            found[str(path.readlink()).partition(":")[0]] += 1
    return found


def bound_to_us(command: list[str]) -> list[str]:
    """The same command, ended by the kernel when we die, be it by SIGKILL."""
    return ["setpriv", "--pdeathsig=TERM", "--", *command]


def members(group: int) -> list[int]:
    """The processes of a group that run; one that waits to be reaped does not."""
    pids = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if _group_of(pid) == group]


def runs(pid: int) -> bool:
    """Whether a process holds anything still; one that waits to be reaped does not."""
    return _group_of(pid) is not None


def _group_of(pid: int) -> int | None:
    """None if it does not run."""
    process = Path(f"/proc/{pid}")
    try:
        status = (process / "stat").read_bytes()
        threads = len(list((process / "task").iterdir()))
    except (FileNotFoundError, ProcessLookupError):
        return None
    # Behind the name, which may hold anything, parentheses included.
    state, _, group, *_ = status.rpartition(b") ")[2].split()
    # The first thread may have ended while others still hold the files, the listening port too.
    return int(group) if state not in (b"Z", b"X") or threads > 1 else None


def stop(process: subprocess.Popen[bytes], timeout_s: float) -> int:
    """End a child that leads its own session: SIGTERM, patience, then SIGKILL to all of it.

    The exit status; TimeoutError if it had to be killed.
    """
    if process.poll() is not None:
        return process.returncode
    process.terminate()
    try:
        wait_for(lambda: _has_ended(process.pid), timeout_s, f"the end of {process.args!r}")
    finally:
        # Not reaped yet, so that the id of its process group cannot be anyone else's.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
