"""Activation: the sockets that systemd has bound for us, by the protocol of sd_listen_fds(3).

Their modes, owners and files are systemd's business: nothing here is ever removed or changed.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import MutableMapping

from .listener import MOST_LISTENERS, BindError

_FIRST = 3
"""SD_LISTEN_FDS_START."""
_VARIABLES = ("LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES")
_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


def handed_over(environment: MutableMapping[str, str]) -> list[tuple[str, socket.socket]]:
    """The sockets, each with its FileDescriptorName.

    Args:
        environment: the process's; what speaks of the sockets is taken out, for it is not meant
            for programs that we start.

    Raises:
        BindError: systemd has handed over something else than listening stream sockets.
    """
    given = {name: environment.pop(name, "") for name in _VARIABLES}
    if given["LISTEN_PID"] != str(os.getpid()):
        return []  # meant for another process, from which we have the variables
    count = given["LISTEN_FDS"]
    if not re.fullmatch("[0-9]{1,2}", count) or int(count) > MOST_LISTENERS:
        raise BindError(f"LISTEN_FDS: {count!r} is not a number of sockets up to {MOST_LISTENERS}")
    names = given["LISTEN_FDNAMES"].split(":")
    names += [""] * (int(count) - len(names))
    return [
        (name, _taken(_FIRST + number, name)) for number, name in enumerate(names[: int(count)])
    ]


def _taken(descriptor: int, name: str) -> socket.socket:
    try:
        # A program that a hook starts shall not keep our port.
        os.set_inheritable(descriptor, False)
        listener = socket.socket(fileno=descriptor)
    except OSError as error:
        raise BindError(f"descriptor {descriptor} ({name}) is no socket: {error}") from error
    fault = _fault(listener)
    if fault:
        listener.close()
        raise BindError(f"descriptor {descriptor} ({name}) {fault}")
    return listener


def _fault(listener: socket.socket) -> str:
    if listener.family not in _FAMILIES or listener.type != socket.SOCK_STREAM:
        return "is no stream socket: the unit needs ListenStream"
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "does not listen: the unit needs Accept=no"
    return ""
