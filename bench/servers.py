"""Start a server under a meter, and end it again.

Promises: loopback only, on a port that was free; what was started is ended, by process ids that we
were given; if this program is killed, the kernel ends the server.
"""

# ruff: noqa: S603

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.meter import Meter

PROJECT = Path(__file__).resolve().parents[1]
LOOPBACK = "127.0.0.1"

_START_S = 20.0
_STOP_S = 20.0
_PAUSE_S = 0.02
_SETTLE_S = 1.0
# Below the range from which Linux takes the source ports of outgoing connections.
_PORTS = range(20_000, 32_000)


class ServerError(Exception):
    """A server does not come up, or does not go down; its own words, where it had any."""


@contextmanager
def running(command: list[str], port: int, meter: Meter, log: Path) -> Iterator[None]:
    """The server of this command, up inside the `with` block, its output in `log`.

    The command may be `strace -f ... command`: then the signal to end goes to what is traced.

    Raises:
        ServerError: it does not greet in time, or ends early.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            # When we die the server gets SIGTERM, also as the child of a tracer.
            meter.joining(["setpriv", "--pdeathsig=TERM", "--", *command]),
            cwd=PROJECT,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        meter.attach(process.pid)
        _wait_for_greeting(process, port, log)
        # A server that starts more processes once it listens has them by then: connections that
        # came before would all be kept by the first.
        time.sleep(_SETTLE_S)
        yield
    finally:
        _stop(process, is_traced=command[0] == "strace")


def free_port() -> int:
    """A loopback port nobody listens on just now."""
    for port in random.sample(_PORTS, k=200):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    raise ServerError(f"no free port among 200 tried in {_PORTS}")


def _environment() -> dict[str, str]:
    """Ours, without what would configure lmtpd; daemons live where PATH may not look."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LMTP_")}
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return {**kept, "PATH": path}


def _wait_for_greeting(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not _greets(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServerError(f"the server is not up: {log.read_text('utf-8', 'replace')[-2000:]}")
        time.sleep(_PAUSE_S)


def _greets(port: int) -> bool:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=5) as connection:
        return connection.recv(512).startswith(b"220")
    return False


def _stop(process: subprocess.Popen[bytes], is_traced: bool) -> None:
    if process.poll() is not None:
        return
    target = process.pid
    if is_traced:
        children = Path(f"/proc/{target}/task/{target}/children").read_text().split()
        target = int(children[0]) if children else target
    with suppress(ProcessLookupError):
        os.kill(target, signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        # Not reaped yet, so the id of its process group cannot be anyone else's.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise ServerError("the server did not end in time") from None
