"""Binds the sockets that lmtpd listens on; no gevent, so that a parent process can do it."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

from ..config import Config

BACKLOG = 1024
"""Connections that the kernel holds for us; capped by net.core.somaxconn."""


class BindError(OSError):
    """A socket cannot be listened on; the text says which and why, for the operator."""


def bind(config: Config) -> list[socket.socket]:
    """Every socket that is configured, bound.

    Raises:
        BindError: one cannot be listened on; none is then.
    """
    bound = [bind_tcp(config.lmtp_bind_addr, config.lmtp_port)]
    if config.lmtp_socket_path:
        try:
            bound.append(bind_unix(config.lmtp_socket_path, config.lmtp_socket_mode))
        except BindError:
            bound[0].close()
            raise
    return bound


def bind_tcp(address: str, port: int) -> socket.socket:
    """Listen on a TCP port; `::` takes IPv4 as well.

    Raises:
        BindError: the address is not this machine's, or the port is taken or not ours to take.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise BindError(
            f"cannot listen on {endpoint((address, port))}: {_reason(error)}"
        ) from error
    return listener


def bind_unix(path: Path, mode: int) -> socket.socket:
    """Listen on a unix socket; a file left by a dead server is replaced, a live one's is not.

    Raises:
        BindError: somebody listens there, or the file cannot be made.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        # Nobody may connect between bind and chmod who may not afterwards.
        mask = os.umask(0o777)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        path.chmod(mode)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise BindError(f"cannot listen on {path}: {_reason(error)}") from error
    return listener


def endpoint(name: object) -> str:
    """What a person calls a bound socket: `127.0.0.1:11200`, `[::1]:11200` or a path."""
    match name:
        case (str(address), int(port), *_):
            return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        case _:
            return str(name)


def _remove_stale(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(errno.ENOTSOCK, "a file that is no socket is in the way")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
        raise OSError(errno.EADDRINUSE, "")


def _reason(error: OSError) -> str:
    hints = {
        errno.EADDRINUSE: "in use by another process",
        errno.EADDRNOTAVAIL: "not an address of this machine",
        errno.EACCES: "permission denied",
    }
    return hints.get(error.errno or 0, error.strerror or str(error))
