"""The network: who has our ports and sockets, and does the server answer on each?"""

from __future__ import annotations

import errno
import os
import shlex
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .. import __version__
from ..client.connection import Connection
from ..client.dialogue import SessionEndedError, opening, say
from ..client.reader import ReplyReader
from ..client.steps import Steps
from ..client.target import Target
from ..client.tls import Tls, TlsMode
from ..config import Config
from ..failures import told
from ..hostname import machine_name
from ..protocol import replies
from ..server import commands, rendezvous
from ..server.listener import endpoint
from ..trust import is_within
from . import holders
from .finding import Finding, Findings, fail, milliseconds, note, ok, warn
from .holders import Holder

_ANSWER_S = 5.0
_START = "systemctl start lmtpd, or: lmtpd serve --config FILE"
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


class Place(NamedTuple):
    """A listener, and how it is reached from here."""

    listener: Config
    target: Target


def places(settings: Config) -> Iterator[Place]:
    """Where the configuration says that lmtpd listens."""
    for one in settings.listeners:
        if one.lmtp_bind_addr:
            address = _ANY_ADDRESS.get(one.lmtp_bind_addr, one.lmtp_bind_addr)
            yield Place(one, Target(address, one.lmtp_port))
        if one.lmtp_socket_path:
            yield Place(one, Target(str(one.lmtp_socket_path)))


def holder(place: Place) -> Holder | None:
    """Who listens there.

    Raises:
        OSError: it cannot be told.
    """
    listener, target = place
    if target.is_path:
        return holders.of_socket(Path(target.host))
    return holders.of_port(listener.lmtp_bind_addr, target.port)


def server(settings: Config) -> Findings:
    """Is there one of this configuration, and does it obey?"""
    begun = time.perf_counter()
    asks = f"{commands.RECALL} postmaster@{settings.lmtp_default_domain}"
    try:
        answers = rendezvous.ask(settings, asks, _ANSWER_S)
    except rendezvous.AbsentError as error:
        yield _absent(settings, str(error))
    except rendezvous.ForeignError as error:
        yield note(str(error), "ask again as root: sudo lmtpd doctor --config FILE")
    except rendezvous.SilentError as error:
        yield fail(str(error), "journalctl -u lmtpd; then: systemctl restart lmtpd")
    else:
        silent = [line for line in answers if line.split(" ")[2:] == [commands.SILENT]]
        for line in silent:
            yield warn(f"{line.rsplit(' ', 1)[0]} does not answer", "journalctl -u lmtpd")
        took = milliseconds(time.perf_counter() - begun)
        yield ok(f"runs, and obeys at {rendezvous.name(settings)} ({took})")
        yield from _version(settings)


def _version(settings: Config) -> Findings:
    """Whether what runs is what is installed."""
    with suppress(rendezvous.ControlError):
        for line in rendezvous.ask(settings, commands.VERSION, _ANSWER_S):
            match line.split(" "):
                case ["lmtpd", version, *_] if version != __version__:
                    yield warn(
                        f"runs version {version}, and {__version__} is installed",
                        "lmtpd upgrade --config FILE",
                    )


def _absent(settings: Config, cause: str) -> Finding:
    for place in places(settings):
        try:
            found = holder(place)
        except OSError:
            continue
        if found and found.is_lmtpd:
            return warn(
                f"{place[1]} is held by {found}, which does not obey this configuration",
                "is it one with other settings? Its command line says which file it has read",
            )
    return fail(cause, _START)


def listener(settings: Config, place: Place) -> Findings:
    """One place: taken by somebody else, free, or answering."""
    one, target = place
    if target.is_path and (fault := _no_socket(Path(target.host))):
        yield fault
        return
    try:
        found = holder(place)
    except OSError as error:
        if error.errno != errno.ENOENT:
            yield fail(f"{target}: {error.strerror}", f"namei -l {shlex.quote(target.host)}")
            return
        found = None
    runs = _runs(settings)
    if found is None:
        yield _free(one, target, is_due=runs)
    elif not runs and not found.is_lmtpd:
        where = (
            f"lsof {shlex.quote(target.host)}"
            if target.is_path
            else f"ss -ltnp sport = :{target.port}"
        )
        key = "lmtp-socket-path" if target.is_path else "lmtp-port"
        yield fail(f"{target} is taken by {found}", f"stop that, or set {key} otherwise; {where}")
    else:
        yield _answer(one, target)


def _runs(settings: Config) -> bool:
    """Whether a server of this configuration is there, whether it obeys us or not."""
    try:
        rendezvous.ask(settings, f"{commands.RECALL} postmaster@localhost", _ANSWER_S)
    except rendezvous.AbsentError:
        return False
    except rendezvous.ControlError:
        return True
    return True


def _no_socket(path: Path) -> Finding | None:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return None
    if stat.S_ISSOCK(mode):
        return None
    return fail(f"{path}: a file that is no socket is in the way", f"rm {shlex.quote(str(path))}")


def _free(one: Config, target: Target, *, is_due: bool) -> Finding:
    """Nobody listens: could we?"""
    if is_due:
        return fail(
            f"the server runs, and does not listen on {target}",
            "it has other settings, older ones perhaps: lmtpd reload --config FILE",
        )
    if target.is_path:
        folder = Path(target.host).parent
        if folder.is_dir():
            return note(f"nobody listens on {target}")
        return fail(f"{folder} is not there", "RuntimeDirectory=lmtpd in the unit, or make it")
    return _bindable(one, target)


def _bindable(one: Config, target: Target) -> Finding:
    """Bound for a moment, and never listened on: a server that just starts is not in its way."""
    address, port = one.lmtp_bind_addr, target.port
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
        except OSError as error:
            return _unbindable(error, endpoint((address, port)))
    return note(f"nobody listens on {endpoint((address, port))}, and it is free")


def _unbindable(error: OSError, where: str) -> Finding:
    remedies = {
        errno.EADDRNOTAVAIL: "ip address show; lmtp-bind-addr has to be one of this machine",
        errno.EACCES: "a port below 1024 is root's: start it as root with lmtp-user, or by"
        " lmtpd.socket, or with AmbientCapabilities=CAP_NET_BIND_SERVICE",
        errno.EADDRINUSE: "somebody has bound it and does not listen: ss -tanp",
    }
    return fail(
        f"cannot listen on {where}: {error.strerror}",
        remedies.get(error.errno or 0, os.strerror(error.errno or 0)),
    )


def _answer(one: Config, target: Target) -> Finding:
    """Greeting, LHLO and TLS, as an MTA has them."""
    us = "" if target.is_path else target.host
    if not target.is_path and is_within(us, one.lmtp_proxy_ips):
        return note(f"{target} wants a PROXY header from {us}, which is not sent here")
    mode = mode_of(one, target)
    if mode is not TlsMode.NONE and one.lmtp_client_certificate == "required":
        return note(f"{target} wants a client's certificate, and none is shown here")
    begun = time.perf_counter()
    try:
        with Connection(target, Tls(mode)) as connection:
            connection.perform(_greeted(mode))
            tls = connection.tls_told() or "no TLS"
    except SessionEndedError as ended:
        return _refused(target, str(ended.reply))
    except OSError as error:
        return fail(f"{target} does not answer: {told(error)}", "journalctl -u lmtpd")
    took = milliseconds(time.perf_counter() - begun)
    return ok(f"{target} greets and takes LHLO, {tls} ({took})")


def mode_of(one: Config, target: Target) -> TlsMode:
    """How TLS begins there."""
    if not one.lmtp_cert_path:
        return TlsMode.NONE
    is_implicit = one.lmtp_tls_only and not target.is_path
    return TlsMode.IMPLICIT if is_implicit else TlsMode.ENCRYPT


def _greeted(mode: TlsMode) -> Steps[None]:
    reader = ReplyReader()
    yield from opening(reader, machine_name(), mode)
    yield from say(reader, "QUIT")


def _refused(target: Target, said: str) -> Finding:
    """It may be right to refuse us: what comes from an MTA has another address, or user."""
    for reply, key in (
        (replies.NOT_TRUSTED, "lmtp-trusted-ips"),
        (replies.USER_NOT_TRUSTED, "lmtp-trusted-users"),
    ):
        if reply.lines[0] in said:
            return note(f"{target} refuses us: we are not in {key}; is the MTA?")
    return fail(f"{target} says: {said}", "journalctl -u lmtpd")
