"""Binds the sockets that lmtpd listens on; no gevent, so that a parent process can do it."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..config import Config

BACKLOG = 1024
"""Connections that the kernel holds for us; capped by net.core.somaxconn."""
MOST_LISTENERS = 64
"""The kernel takes no more than 253 descriptors in one message to a worker."""


class BindError(OSError):
    """A socket cannot be listened on; the text says which and why, for the operator."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound socket, and whose it is."""

    socket: socket.socket
    owner: int
    """Its index in `Config.listeners`."""
    place: str = ""
    """Where we have bound it, by the configuration; empty if systemd has."""
    file: tuple[Path, int, int] | None = None
    """Path, device and inode of a unix socket that we have made."""

    def close(self) -> None:
        """This process listens no more; others that have the socket may."""
        self.socket.close()

    def remove(self) -> None:
        """Nobody else comes: the file goes, unless another server's has taken its place.

        To be called before `close`: nobody replaces the file of one that listens.
        """
        if self.file and self.is_in_place():
            with contextlib.suppress(OSError):
                self.file[0].unlink()

    def is_in_place(self) -> bool:
        """Whether the file of a unix socket that we have made is still there."""
        if self.file is None:
            return False
        path, *ours = self.file
        try:
            info = path.lstat()
        except OSError:
            return False
        return [info.st_dev, info.st_ino] == ours


def bind(
    config: Config,
    handed: Iterable[tuple[str, socket.socket]] = (),
    held: Sequence[Listener] = (),
) -> list[Listener]:
    """Every socket that is configured, bound.

    Args:
        config: the default listener and all others.
        handed: bound sockets from systemd, by name (lmtpd.server.activation). Each belongs to the
            section of that name, or to the default listener; who has got one binds none.
        held: what was bound for another configuration. What has its place in this one is taken
            over, whoever waits in it; the rest is for the caller to close.

    Raises:
        BindError: one cannot be listened on, or a listener has none; nothing is bound then beyond
            what was held.
    """
    sections = {one.section: owner for owner, one in enumerate(config.listeners)}
    bound = [Listener(one, sections.get(name, 0)) for name, one in handed]
    served = {one.owner for one in bound}
    there = {one.place: one for one in held if one.place}
    try:
        for owner, one in enumerate(config.listeners):
            if owner not in served and one.lmtp_bind_addr:
                bound.append(_tcp(one, owner, there))
            if owner not in served and one.lmtp_socket_path:
                bound.append(_unix(one, one.lmtp_socket_path, owner, there))
        _check(config, bound)
    except BindError:
        for each in unused(bound, held):
            each.remove()
            each.close()
        raise
    return bound


def unused(listeners: Iterable[Listener], others: Iterable[Listener]) -> list[Listener]:
    """Those whose socket none of the others has."""
    sockets = {one.socket for one in others}
    return [one for one in listeners if one.socket not in sockets]


def _tcp(config: Config, owner: int, there: Mapping[str, Listener]) -> Listener:
    address = config.lmtp_bind_addr, config.lmtp_port
    place = endpoint(address)
    if place in there:
        return replace(there[place], owner=owner)
    try:
        return Listener(bind_tcp(*address), owner, place)
    except BindError as error:
        ours = [one for one in there if one.endswith(f":{config.lmtp_port}")]
        if not ours:
            raise
        text = f"{error}: this server has {ours[0]}; a restart can move it"
        raise BindError(text) from error


def _unix(config: Config, path: Path, owner: int, there: Mapping[str, Listener]) -> Listener:
    kept = there.get(str(path))
    if kept and kept.is_in_place():
        try:
            _adapt(path, config)
        except OSError as error:
            raise BindError(f"cannot listen on {path}: {_reason(error)}") from error
        return replace(kept, owner=owner)
    return _bind_unix(config, path, owner)


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


def endpoint(name: object) -> str:
    """What a person calls a bound socket: `127.0.0.1:11200`, `[::1]:11200` or a path."""
    match name:
        case (str(address), int(port), *_):
            return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        case bytes(abstract):
            return "@" + abstract[1:].decode(errors="replace")
        case _:
            return str(name)


def _bind_unix(config: Config, path: Path, owner: int) -> Listener:
    """Listen on a unix socket; a file left by a dead server is replaced, a live one's is not.

    Raises:
        BindError: somebody listens there, the file cannot be made, or not be given away.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        # The file has the socket's own mode from the first, and there is nothing to connect to
        # before listen(). chmod would follow a link that somebody puts in its place.
        os.fchmod(listener.fileno(), config.lmtp_socket_mode)
        mask = os.umask(0)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        info = path.lstat()
        bound = Listener(listener, owner, str(path), (path, info.st_dev, info.st_ino))
        try:
            _give(path, config)
            listener.listen(BACKLOG)
        except OSError:
            bound.remove()
            raise
    except OSError as error:
        listener.close()
        raise BindError(f"cannot listen on {path}: {_reason(error)}") from error
    return bound


def _check(config: Config, bound: list[Listener]) -> None:
    served = {one.owner for one in bound}
    for owner, one in enumerate(config.listeners):
        if owner and owner not in served:
            raise BindError(
                f"[{one.section}] listens nowhere: lmtp-bind-addr is none, and systemd has handed"
                f" over no socket with FileDescriptorName={one.section}"
            )
    if not bound:
        raise BindError(
            "nothing to listen on: lmtp-bind-addr is none, lmtp-socket-path is not set, and"
            " systemd has handed over no socket"
        )
    if len(bound) > MOST_LISTENERS:
        raise BindError(f"{len(bound)} sockets to listen on: the most are {MOST_LISTENERS}")


def _give(path: Path, config: Config, *, follow_symlinks: bool = False) -> None:
    """The file to its owner and group, if others than we are named."""
    owner, group = config.lmtp_socket_owner, config.lmtp_socket_group
    if not owner and not group:
        return
    numbers = (account.number if account else -1 for account in (owner, group))
    try:
        os.chown(path, *numbers, follow_symlinks=follow_symlinks)
    except OSError as error:
        what = f"{error.strerror} to set lmtp-socket-owner or lmtp-socket-group"
        raise OSError(error.errno, what) from error


def _adapt(path: Path, config: Config) -> None:
    """Give a file that was there before its mode, owner and group, and no link in its place."""
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = Path(f"/proc/self/fd/{descriptor}")  # of the file itself, not of its name
        found.chmod(config.lmtp_socket_mode)
        _give(found, config, follow_symlinks=True)
    finally:
        os.close(descriptor)


def _remove_stale(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(errno.ENOTSOCK, "a file that is no socket is in the way")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)  # one that is busy is not to be waited for
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
            except BlockingIOError:
                pass
        raise OSError(errno.EADDRINUSE, "")


def _reason(error: OSError) -> str:
    hints = {
        errno.EADDRINUSE: "in use by another process",
        errno.EADDRNOTAVAIL: "not an address of this machine",
        errno.EACCES: "permission denied",
    }
    return hints.get(error.errno or 0, error.strerror or str(error))
