"""What a person sees at start: where lmtpd listens, which mailboxes there are, how to try it."""

from __future__ import annotations

import itertools
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from . import __version__
from .config import Config
from .delivery.layout import Layout
from .server.listener import Listener, endpoint

_SHOWN = 10
"""Mailboxes named at start; a store may hold very many."""


def mailboxes(settings: Config) -> Iterator[str]:
    """The mailboxes whose directories exist.

    Raises:
        OSError: the store cannot be read.
    """
    return Layout(settings.lmtp_maildir_path).walk(str(settings.lmtp_maildir_root))


def welcome(settings: Config, listeners: list[Listener]) -> str:
    """The lines for the terminal.

    Args:
        settings: the configuration.
        listeners: the bound sockets.
    """
    found = _first_mailboxes(settings)
    lines = [f"lmtpd {__version__} listening on {_told(settings, one)}" for one in listeners]
    lines += [f"mail store: {settings.lmtp_maildir_root}", f"mailboxes: {_listed(found)}"]
    if found:
        lines += _commands(settings.listeners[listeners[0].owner], listeners[0], found[0])
    return "\n".join(lines)


def _told(settings: Config, listener: Listener) -> str:
    section = settings.listeners[listener.owner].section
    return endpoint(listener.socket.getsockname()) + (f" [{section}]" if section else "")


def _first_mailboxes(settings: Config) -> list[str]:
    try:
        return list(itertools.islice(mailboxes(settings), _SHOWN + 1))
    except OSError:
        return []


def _listed(found: list[str]) -> str:
    if not found:
        called = "lmtpd" if Path(sys.argv[0]).name == "lmtpd" else "lmtpd.py"
        return f"none yet; make one with: {called} mailbox add alice@example.org"
    return ", ".join(found[:_SHOWN]) + (", and more" if len(found) > _SHOWN else "")


def _commands(settings: Config, listener: Listener, mailbox: str) -> Iterator[str]:
    """Lines that deliver as they are pasted; the second wants nothing but Python."""
    name, to = listener.socket.getsockname(), shlex.quote(mailbox)
    if not isinstance(name, tuple):
        yield f"try it: swaks --protocol LMTP --socket {shlex.quote(endpoint(name))} --to {to}"
        return
    address, port, *_ = name
    host = str({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address))  # noqa: S104 - not bound
    tls = " --tls-on-connect" if settings.lmtp_tls_only else ""
    server = shlex.quote(f"[{host}]" if ":" in host else host)
    yield f"try it: swaks --protocol LMTP --server {server} --port {port}{tls} --to {to}"
    if not settings.lmtp_tls_only:
        message = r'"Subject: It works\r\n\r\nHello from Python.\r\n"'
        call = f'smtplib.LMTP("{host}", {port}).sendmail("you@example.net", "{mailbox}", {message})'
        yield f"or:     python3 -c {shlex.quote(f'import smtplib; {call}')}"
