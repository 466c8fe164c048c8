"""Rendezvous: where the commands of `lmtpd.py` meet a running server, and whom each side believes.

It is an abstract unix socket that is called after the place where the server listens (the first
that its configuration names), such as `@lmtpd/127.0.0.1:11200`: whoever reads the same
configuration finds it, and two servers that can run at once have two. An administrator may expect
a socket or a pid file in /run, as of Dovecot and Postfix. That needs root or a RuntimeDirectory,
hence a setting for the server of a user or a try, and it is left behind by one that is killed; a
signal, as for Postfix, cannot say what came of it. This name goes with its process.

The price: such a name has no owner and no mode. Anybody on this machine can connect, or have the
name before us. So each side asks the kernel who the other is (SO_PEERCRED, unix(7)). The server
obeys its own user and root. A caller believes a server of its own user; root believes the user who
listens there for mail as well, which no squatter on the name can be while the server runs. Where
systemd has made that socket (it is root's), root believes the process that has it. A name that is
taken costs the commands and not the mail.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from ..config import Config
from .credentials import Credentials, credentials_of
from .listener import endpoint

PATIENCE_SECONDS = 75.0
"""For an answer: the supervisor may just wait for a worker to start, then for one that hangs."""
LAST_LINE = "end"
"""Without it an answer was cut off."""

_BACKLOG = 16
_LISTENING = "0A"
_LONGEST_NAME = 107
"""Octets: sun_path of unix(7), less the NUL in front."""
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


def ask(
    config: Config, command: str, seconds: float = PATIENCE_SECONDS, pid: int | None = None
) -> list[str]:
    """A command's answer by the server of this configuration, in lines.

    Args:
        config: says where it listens.
        command: a line of lmtpd.server.commands.
        seconds: for each step on the way.
        pid: of the server's parent process, which may still listen elsewhere than this
            configuration says.

    Raises:
        ControlError: there is none.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect(_address_of(pid) if pid else _address(config))
            server = credentials_of(connection)
            if pid != server.process:
                _believe(server, config)
            connection.sendall(f"{command}\n".encode())
            lines = _all_of(connection).decode().splitlines()
        except ConnectionRefusedError:
            what = f"has the process id {pid}" if pid else f"listens on {_where(config)}"
            raise AbsentError(f"no server runs here that {what}") from None
        except OSError as error:
            raise SilentError(f"the server on {_where(config)} gives no answer: {error}") from error
    if lines[-1:] != [LAST_LINE]:
        raise SilentError(f"the server on {_where(config)} ended before it had answered")
    return lines[:-1]


def may_command(user: int) -> bool:
    """Whether the server obeys this user."""
    return user in (0, os.geteuid())


def _believe(server: Credentials, config: Config) -> None:
    ours = os.geteuid()
    if server.user == ours:
        return
    if ours != 0:
        raise ForeignError(
            f"{name(config)} is held by user {server.user}: if that is the server's, be that user"
            " or root"
        )
    if not _takes_mail(server, config):
        raise ForeignError(
            f"{name(config)} is held by user {server.user}, whose server is none of ours"
        )


def _takes_mail(server: Credentials, config: Config) -> bool:
    """Is it the server's user who listens where the configuration says?"""
    for one in config.listeners:
        if one.lmtp_bind_addr:
            listening = dict(_listening(one.lmtp_bind_addr, one.lmtp_port))
            inodes = {inode for inode, user in listening.items() if user == 0}
            if server.user in listening.values() or _has_one(server, inodes):
                return True
        if one.lmtp_socket_path and _listens(server.user, one.lmtp_socket_path):
            return True
    return False


def _listening(address: str, port: int) -> Iterator[tuple[str, int]]:
    """The inodes and user ids of those that listen on a TCP port, by proc_net_tcp (proc(5))."""
    family, table = (socket.AF_INET6, "tcp6") if ":" in address else (socket.AF_INET, "tcp")
    packed = socket.inet_pton(family, address)
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    local = "".join(f"{word:08X}" for word in words) + f":{port:04X}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/net", table).read_text("ascii").splitlines():
            row = line.split()
            if row[1] == local and row[3] == _LISTENING:
                yield row[9], int(row[7])


def _has_one(server: Credentials, inodes: set[str]) -> bool:
    """Has the server's process one of these sockets? Another may have its number by now."""
    process = Path(f"/proc/{server.process}")
    try:
        status = (process / "status").read_text("utf-8", "replace")
        links = {os.readlink(link) for link in (process / "fd").iterdir()}  # noqa: PTH115
    except OSError:
        return False
    (effective,) = (line.split()[2] for line in status.splitlines() if line.startswith("Uid:"))
    has_one = not links.isdisjoint(f"socket:[{inode}]" for inode in inodes)
    return has_one and effective == str(server.user)


def _listens(user: int, path: Path) -> bool:
    """Is it this user who listens on a unix socket?"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(path))
        except OSError:
            return False
        return credentials_of(connection).user == user


def _all_of(connection: socket.socket) -> bytes:
    octets = b""
    while (more := connection.recv(65536)) and len(octets) < _LONGEST_ANSWER:
        octets += more
    return octets


def _address(config: Config) -> bytes:
    return b"\0" + os.fsencode(name(config)[1:])[:_LONGEST_NAME]


def _address_of(pid: int) -> bytes:
    """What the server with this process id is called, by proc_net_unix (proc(5)).

    Raises:
        OSError: there is none.
    """
    for line in Path("/proc/net/unix").read_text("utf-8", "replace").splitlines():
        _, _, name = line.partition(" @lmtpd/")
        if name:
            address = b"\0lmtpd/" + os.fsencode(name)
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.setblocking(False)
                with contextlib.suppress(OSError):
                    probe.connect(address)
                    if credentials_of(probe).process == pid:
                        return address
    raise ConnectionRefusedError


def _where(config: Config) -> str:
    """The first place that is named; of a server that names none, its store."""
    for one in config.listeners:
        if one.lmtp_bind_addr:
            return endpoint((one.lmtp_bind_addr, one.lmtp_port))
        if one.lmtp_socket_path:
            return str(one.lmtp_socket_path)
    return str(config.lmtp_maildir_root)
