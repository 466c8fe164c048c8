"""`lmtpd.py send`: one message to a server, by the client that the bridge and callouts have.

The server is the one that is configured, as another machine finds it, or any other. It may be
hostile: what it says is shown as it is written, and all of it has one end (`--timeout`).
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from email.header import Header
from email.utils import formatdate
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from .. import __version__
from ..bridge.pipe import exit_code
from ..client.connection import Connection
from ..client.dialogue import session
from ..client.reader import ReplyReader
from ..client.target import Target, TargetError
from ..client.tls import Tls, TlsMode
from ..client.transaction import Transaction
from ..config import Config
from ..failures import told
from ..hostname import is_host_name, machine_name
from ..protocol import replies
from ..protocol.address import Address
from ..protocol.reply import Reply
from ..terminal import CommandError, printable, tell
from .address import address_of
from .transcript import Transcript

_READ_OCTETS = 256 * 1024
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


def run(
    settings: Config,
    texts: Sequence[str],
    *,
    sender: str,
    server: str | None,
    file: str | None,
    subject: str,
    tls_mode: TlsMode | None,
    ca_path: str,
    tls_name: str,
    lhlo: str | None,
    seconds: float,
    is_quiet: bool,
) -> int:
    """Send, tell it, and sum it up for each recipient; the exit code.

    Raises:
        CommandError: the options name no server, no address or no readable file.
    """
    name = lhlo or machine_name()
    if not is_host_name(name):
        raise CommandError(os.EX_USAGE, f"send: --lhlo {name!r} is no host name")
    target = target_of(settings, server)
    tls = Tls(_mode(settings, server, tls_mode), ca_path, tls_name)
    if (ca_path or tls_name) and tls.mode is TlsMode.NONE:
        raise CommandError(os.EX_USAGE, "send: --ca-path and --tls-name need --tls or --starttls")
    recipients = [address_of(settings, text) for text in texts]
    reverse_path = str(address_of(settings, sender)) if sender.strip("<>") else ""
    with _message(file, reverse_path, recipients, subject) as (size, pieces):
        transaction = Transaction(reverse_path, recipients, size)
        transcript = Transcript((lambda _: None) if is_quiet else tell)
        with _ended_after(seconds):
            fates = _fates(target, tls, name, transaction, pieces, transcript)
    for recipient, fate in zip(recipients, fates, strict=True):
        word = "delivered" if fate.is_success else "try again" if fate.is_transient else "refused"
        tell(f"{word:9} {printable(f'<{recipient}> {fate}')}")
    return exit_code(fates)


def target_of(settings: Config, server: str | None) -> Target:
    """The server that was named, or the configured one.

    Raises:
        CommandError: the text names none.
    """
    if server is None:
        host, path = settings.lmtp_bind_addr, settings.lmtp_socket_path
        if not host and path:
            return Target(str(path))
        return Target(_ANY_ADDRESS.get(host, host), settings.lmtp_port)
    try:
        return Target.parse(server.removeprefix("unix:"))
    except TargetError as error:
        raise CommandError(os.EX_USAGE, f"send: --to: {error}") from error


def _mode(settings: Config, server: str | None, asked: TlsMode | None) -> TlsMode:
    """As asked; else as our own server does it, and STARTTLS if another one offers it."""
    if asked:
        return asked
    is_implicit = server is None and settings.lmtp_tls_only
    return TlsMode.IMPLICIT if is_implicit else TlsMode.MAY


def _fates(
    target: Target,
    tls: Tls,
    name: str,
    transaction: Transaction,
    pieces: Iterable[bytes],
    transcript: Transcript,
) -> tuple[Reply, ...]:
    try:
        transcript.note(f"trying {target} ...")
        with Connection(target, tls) as connection:
            transcript.note(f"connected to {target}")
            if tls.mode is TlsMode.IMPLICIT:
                transcript.secured(connection.tls_told())
            steps = session(ReplyReader(), name, tls.mode, transaction)
            steps = transcript.of(steps, connection.tls_told)
            return connection.perform(steps, transcript.counted(pieces))
    except OSError as error:
        transcript.fault(told(error))
        reply = replies.UNREACHABLE
        reply = reply.saying(f"{reply.lines[0]} at {target}: {error.strerror or error}")
        return (reply,) * len(transaction.recipients)


@contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    """One end for all waits: each of a client's steps has its own, and a server many steps."""

    def end(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"not done within {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _message(
    file: str | None, sender: str, recipients: Sequence[Address], subject: str
) -> Iterator[tuple[int, Iterable[bytes]]]:
    """Its size, 0 if that is not known, and its pieces."""
    if file is None:
        text = test_message(sender, recipients, subject)
        yield len(text), [text]
    elif file == "-":
        yield 0, _pieces(sys.stdin.buffer)
    else:
        try:
            opened = Path(file).open("rb")  # noqa: SIM115 - only its opening is a wrong usage
        except OSError as error:
            raise CommandError(os.EX_NOINPUT, f"send: --file: {error}") from error
        with opened:
            yield os.fstat(opened.fileno()).st_size, _pieces(opened)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_READ_OCTETS):
        yield piece


def test_message(sender: str, recipients: Sequence[Address], subject: str) -> bytes:
    """A message that says what it is, with LF; no other has its Message-ID."""
    lines = (
        f"Date: {formatdate(localtime=True)}",
        f"From: <{sender or 'MAILER-DAEMON'}>",
        f"To: {', '.join(f'<{one}>' for one in recipients)}",
        f"Subject: {Header(printable(subject)).encode()}",
        f"Message-ID: <{secrets.token_hex(12)}@{machine_name()}>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "",
        f"This is a test message of lmtpd {__version__}.",
        "",
    )
    return "\n".join(lines).encode("utf-8")
