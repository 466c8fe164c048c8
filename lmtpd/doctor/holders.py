"""Holders: who listens on a port or a unix socket, by what the kernel tells in /proc (proc(5))."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import pwd
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..server.credentials import credentials_of
from ..trust import IpAddress, plain_address

_LISTENING = "0A"
_LONGEST_PROGRAM = 60
_OURS = frozenset({"lmtpd", "lmtpd.py"})


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that listens."""

    user: int
    process: int = 0
    """0 if it is not to be seen from here."""
    program: str = ""

    @property
    def is_lmtpd(self) -> bool:
        """By its command line, which is anybody's to choose."""
        return bool(_OURS.intersection(Path(word).name for word in self.program.split(" ")[:4]))

    def __str__(self) -> str:
        """For a person."""
        who = f"user {user_name(self.user)}"
        if not self.process:
            return f"a process of {who} (which one, root can see)"
        return f"{self.program[:_LONGEST_PROGRAM]} (pid {self.process}, {who})"


def of_port(address: str, port: int) -> Holder | None:
    """Who listens on a port so that nobody else could have it at this address."""
    wanted = plain_address(address)
    for found, inode, user in _listening(port):
        any_address = (one.is_unspecified for one in (found, wanted) if one.version == 6)
        is_same = found == wanted or any(any_address)
        if is_same or (found.version == wanted.version and _is_any(found, wanted)):
            return _of_inode(inode, user)
    return None


def of_socket(path: Path) -> Holder | None:
    """Who listens on a unix socket; None if nobody does.

    Raises:
        OSError: it is not there, or closed to us.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(path))
        except ConnectionRefusedError:
            return None
        found = credentials_of(connection)
    return Holder(found.user, found.process, _program(found.process))


def user_name(number: int) -> str:
    """Of a user id, as far as it has one."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _is_any(*addresses: IpAddress) -> bool:
    return any(one.is_unspecified for one in addresses)


def _listening(port: int) -> Iterator[tuple[IpAddress, str, int]]:
    """Address, inode and user id of all that listen on this port."""
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path("/proc/net", table).read_text("ascii").splitlines()[1:]:
                row = line.split()
                words, _, number = row[1].partition(":")
                if row[3] == _LISTENING and int(number, 16) == port:
                    yield _address(words), row[9], int(row[7])


def _address(words: str) -> IpAddress:
    """From words of 32 bits, each in the machine's own order."""
    count = len(words) // 8
    octets = struct.pack(f"={count}I", *struct.unpack(f">{count}I", bytes.fromhex(words)))
    return plain_address(str(ipaddress.ip_address(octets)))


def _of_inode(inode: str, user: int) -> Holder:
    """The first process that has this socket; of one that systemd has handed over, lmtpd."""
    found = [
        Holder(_owner(process, user), process, _program(process))
        for process in sorted(int(one.name) for one in Path("/proc").glob("[0-9]*"))
        if _has(process, inode)
    ]
    ours = (one for one in found if one.is_lmtpd)
    return next(ours, found[0] if found else Holder(user))


def _has(process: int, inode: str) -> bool:
    try:
        links = Path(f"/proc/{process}/fd").iterdir()
        return any(os.readlink(link) == f"socket:[{inode}]" for link in links)  # noqa: PTH115
    except OSError:
        return False


def _owner(process: int, otherwise: int) -> int:
    """Who it is now. What it owns in /proc is root's where it hides its memory."""
    try:
        status = Path(f"/proc/{process}/status").read_text("utf-8", "replace")
    except OSError:
        return otherwise
    (effective,) = (line.split()[2] for line in status.splitlines() if line.startswith("Uid:"))
    return int(effective)


def _program(process: int) -> str:
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode("utf-8", "replace")
        name = Path(f"/proc/{process}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return ""
    return words.replace("\0", " ").strip() or name
