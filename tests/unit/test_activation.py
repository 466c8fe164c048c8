"""Sockets from systemd, as a process finds them that was started with some."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from lmtpd.server.activation import handed_over
from lmtpd.server.listener import BindError
from tests.support.processes import LOOPBACK
from tests.support.server import PROJECT

# It becomes what it is by exec, as systemd does it, so that the descriptors begin at 3.
_STARTED = """
import json, os, sys
from lmtpd.server.activation import handed_over
from lmtpd.server.listener import BindError

try:
    found = [
        [name, one.fileno(), one.getsockname(), os.get_inheritable(one.fileno())]
        for name, one in handed_over(os.environ)
    ]
except BindError as error:
    found = str(error)
print(json.dumps([found, [name for name in os.environ if name.startswith("LISTEN_")]]))
"""


def started(*sockets: socket.socket | None, **variables: str) -> tuple[object, list[str]]:
    """What a process says that gets these sockets; what it has left of the variables."""

    def arrange() -> None:
        copies = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 100) if one else -1 for one in sockets]
        for number, copy in enumerate(copies, 3):
            os.close(number) if copy < 0 else os.dup2(copy, number)
        os.execve(
            sys.executable,
            [sys.executable, "-c", _STARTED],
            {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), **variables},
        )

    told = subprocess.run(
        [sys.executable, "-c", "raise SystemExit('it is not to come here')"],
        cwd=PROJECT,
        preexec_fn=arrange,
        close_fds=False,
        capture_output=True,
        check=True,
        text=True,
        timeout=30,
    )
    found, left = json.loads(told.stdout)
    return found, left


def test_names_numbers_and_the_environment(tmp_path: Path) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(socket.create_server((LOOPBACK, 0)))
        second = stack.enter_context(closing(socket.socket(socket.AF_UNIX)))
        second.bind(str(tmp_path / "s"))
        second.listen()
        third = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
        found, left = started(first, second, third, LISTEN_FDNAMES="filter:lmtpd.socket")
        assert found == [
            ["filter", 3, [*first.getsockname()], False],
            ["lmtpd.socket", 4, str(tmp_path / "s"), False],
            ["", 5, [*third.getsockname()], False],
        ]
        assert left == []


def test_what_is_meant_for_another_process() -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        assert started(listener, LISTEN_PID="1") == ([], [])
    assert handed_over({"PATH": "/bin"}) == []


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (socket.SOCK_DGRAM, "descriptor 3 (x) is no stream socket: the unit needs ListenStream"),
        (socket.SOCK_SEQPACKET, "descriptor 3 (x) is no stream socket"),
        (socket.SOCK_STREAM, "descriptor 3 (x) does not listen: the unit needs Accept=no"),
    ],
)
def test_a_socket_of_another_kind(kind: socket.SocketKind, fault: str) -> None:
    with closing(socket.socket(socket.AF_UNIX, kind)) as other:
        found, left = started(other, LISTEN_FDNAMES="x")
    assert str(found).startswith(fault)
    assert left == []


def test_what_is_no_socket() -> None:
    found, _ = started(None)
    assert str(found).startswith("descriptor 3 () is no socket: ")


@pytest.mark.parametrize("count", ["", "x", "-1", "65", "\u0663x", "9" * 5000])
def test_a_number_that_is_none(count: str) -> None:
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count, "LISTEN_ON": "x"}
    with pytest.raises(BindError, match=r"is not a number of sockets up to 64"):
        handed_over(environment)
    assert environment == {"LISTEN_ON": "x"}, "somebody else's"
