"""Rendezvous: where the commands of `lmtpd.py` meet a running server, and whom each side believes.

It is an abstract unix socket that is called after the place where the server listens, such as
`@lmtpd/127.0.0.1:11200`: whoever reads the same configuration finds it, and two servers that can
run at once have two. An administrator may expect a socket or a pid file in /run, as of Dovecot and
Postfix. That needs root or a RuntimeDirectory, hence a setting for the server of a user or a try,
and it is left behind by one that is killed; a signal, as for Postfix, cannot say what came of it.
This name goes with its process.

The price: such a name has no owner and no mode. Anybody on this machine can connect, or have the
name before us. So each side asks the kernel who the other is (SO_PEERCRED, unix(7)). The server
obeys its own user and root. A caller believes a server of its own user; root believes the user who
listens on the LMTP port as well, which no squatter on the name can be while the server runs. A name
that is taken costs the commands and not the mail.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from pathlib import Path

from ..config import Config
from .listener import endpoint

PATIENCE_SECONDS = 45.0
"""For an answer: the supervisor may just wait for a worker to start, then for one that hangs."""
LAST_LINE = "end"
"""Without it an answer was cut off."""

_BACKLOG = 16
_LISTENING = "0A"
_LONGEST_ANSWER = 1 << 22


class ControlError(Exception):
    """A running server did not carry out a command: AbsentError, ForeignError or SilentError."""


class AbsentError(ControlError):
    """There is no server."""


class ForeignError(ControlError):
    """Somebody is there whom we do not believe, or who would not obey us."""


class SilentError(ControlError):
    """There is a server, and no answer, or a part of one."""


def name(config: Config) -> str:
    """What the socket is called, for a person."""
    return f"@lmtpd/{_where(config)}"


def listen(config: Config) -> socket.socket:
    """The server's end.

    Raises:
        OSError: the name is taken.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(_address(config))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def ask(config: Config, command: str, seconds: float = PATIENCE_SECONDS) -> list[str]:
    """A command's answer by the server of this configuration, in lines.

    Args:
        config: says where it listens.
        command: a line of lmtpd.server.commands.
        seconds: for each step on the way.

    Raises:
        ControlError: there is none.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect(_address(config))
            _believe(user_of(connection), config)
            connection.sendall(f"{command}\n".encode())
            lines = _all_of(connection).decode().splitlines()
        except ConnectionRefusedError:
            raise AbsentError(f"no server runs here that listens on {_where(config)}") from None
        except OSError as error:
            raise SilentError(f"the server on {_where(config)} gives no answer: {error}") from error
    if lines[-1:] != [LAST_LINE]:
        raise SilentError(f"the server on {_where(config)} ended before it had answered")
    return lines[:-1]


def user_of(connection: socket.socket) -> int:
    """The user id of the other end: who connected, or who listened."""
    credentials = connection.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII")
    )
    _, user, _ = struct.unpack("iII", credentials)
    return int(user)


def may_command(user: int) -> bool:
    """Whether the server obeys this user."""
    return user in (0, os.geteuid())


def _believe(user: int, config: Config) -> None:
    ours = os.geteuid()
    if user == ours:
        return
    if ours != 0:
        raise ForeignError(
            f"{name(config)} is held by user {user}: if that is the server's, be that user or root"
        )
    if user not in _listening_users(config.lmtp_bind_addr, config.lmtp_port):
        raise ForeignError(f"{name(config)} is held by user {user}, whose server is none of ours")


def _listening_users(address: str, port: int) -> set[int]:
    """The user ids of those who listen on a TCP port, by proc_net_tcp (proc(5))."""
    family, table = (socket.AF_INET6, "tcp6") if ":" in address else (socket.AF_INET, "tcp")
    packed = socket.inet_pton(family, address)
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    local = "".join(f"{word:08X}" for word in words) + f":{port:04X}"
    with contextlib.suppress(OSError):
        rows = [line.split() for line in Path("/proc/net", table).read_text("ascii").splitlines()]
        return {int(row[7]) for row in rows if row[1] == local and row[3] == _LISTENING}
    return set()


def _all_of(connection: socket.socket) -> bytes:
    octets = b""
    while (more := connection.recv(65536)) and len(octets) < _LONGEST_ANSWER:
        octets += more
    return octets


def _address(config: Config) -> str:
    return "\0" + name(config)[1:]


def _where(config: Config) -> str:
    return endpoint((config.lmtp_bind_addr, config.lmtp_port))
