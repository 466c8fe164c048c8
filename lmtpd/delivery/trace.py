"""Trace header fields: pure functions of envelope, peer and time (RFC 5321 4.4).

Everything that a peer can choose is made harmless here before it goes into a header field.
"""

from __future__ import annotations

import functools
import re
from email.utils import formatdate

from ..failures import MailLoopError
from ..protocol.envelope import BodyType, Envelope, Peer, Recipient

MOST_HOPS = 100
"""Received fields beyond which a message is taken for a loop (RFC 5321 6.3)."""

_BLANK_LINE = re.compile(rb"^\r?\n", re.M)
_RETURN_PATH = re.compile(rb"^Return-Path[ \t]*:.*\n(?:[ \t].*\n)*", re.I | re.M)
_RECEIVED = re.compile(rb"^Received[ \t]*:", re.I | re.M)
# Blanks are stripped afterwards: a pattern for them takes quadratic time over a long run of them.
_DELIVERED_TO = re.compile(rb"^Delivered-To[ \t]*:(.*)$", re.I | re.M)
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9.:_\[\]-]")


def header_section(piece: bytes) -> bytes:
    """The header section at the beginning of a message, its last line's end included."""
    blank = _BLANK_LINE.search(piece)
    # Without a blank line all is header, up to the last whole line.
    return piece[: blank.start() if blank else piece.rfind(b"\n") + 1]


def without_return_path(header: bytes, piece: bytes) -> bytes:
    """A piece that begins with the header, less its Return-Path.

    Only the last hop's counts, and we are it (RFC 5321 4.4).
    """
    cleaned = _RETURN_PATH.sub(b"", header)
    return piece if cleaned == header else cleaned + piece[len(header) :]


def check_hops(header: bytes) -> None:
    """Notice a message that goes round between machines.

    Raises:
        MailLoopError: it was passed on more than 100 times.
    """
    if len(_RECEIVED.findall(header)) > MOST_HOPS:
        raise MailLoopError(f"more than {MOST_HOPS} Received fields")


def check_delivered_to(header: bytes, recipient: Recipient) -> None:
    """Notice a message that was delivered to this recipient before and came back.

    Raises:
        MailLoopError: our Delivered-To for the recipient is there already.
    """
    ours = str(recipient.address).encode("utf-8").lower()
    # What stands above all Received is no hop's but the client's own: OpenSMTPD names the recipient
    # there before it hands the message over.
    received = _RECEIVED.search(header)
    header = header[received.start() :] if received else b""
    if any(field[1].strip().lower() == ours for field in _DELIVERED_TO.finditer(header)):
        raise MailLoopError(f"Delivered-To: {recipient.address} is there already")


class TraceFields:
    """Return-Path, Delivered-To and Received, for the top of the copies of one message."""

    def __init__(self, envelope: Envelope, peer: Peer, host: str, when: float) -> None:
        """What is the same for all its recipients.

        Args:
            envelope: the transaction.
            peer: who handed the message over.
            host: our own name.
            when: seconds since the epoch.
        """
        tls = envelope.tls
        self._return_path = f"Return-Path: <{envelope.reverse_path}>\n"
        self._received = (
            f"Received: from {_safe(envelope.client_name)} ({_tcp_info(peer)})\n"
            + (
                f"\t(using {tls.version} with cipher {tls.cipher} ({tls.bits} bits))\n"
                if tls
                else ""
            )
            + f"\tby {host} (lmtpd) with {_protocol(envelope)} id {envelope.id}"
        )
        self._date = f"; {_date(int(when))}\n"
        self._is_binary = envelope.body is BodyType.BINARY_MIME

    def of(self, recipient: Recipient | None) -> bytes:
        """The fields of one recipient's copy; None for one that serves several."""
        named = whom = ""
        if recipient:
            address = str(recipient.address)
            named = f"Delivered-To: {address}\n"
            if recipient.original:
                named += f"Original-Recipient: {recipient.original}\n"  # RFC 8098 2.3
            whom = f"\n\tfor <{address}>"
        text = f"{self._return_path}{named}{self._received}{whom}{self._date}".encode()
        # Lines end as those of the message do (RFC 3030 3: BINARYMIME is stored as it came).
        return text.replace(b"\n", b"\r\n") if self._is_binary else text


@functools.lru_cache(maxsize=16)
def _date(when: int) -> str:
    return formatdate(when, localtime=True)


def _protocol(envelope: Envelope) -> str:
    """The `with` keyword: RFC 3848, and RFC 6531 4.3 for SMTPUTF8."""
    return f"{'UTF8' if envelope.smtputf8 else ''}LMTP{'S' if envelope.tls else ''}"


def _tcp_info(peer: Peer) -> str:
    """What we know of the client ourselves, beside what it says (RFC 5321 4.4, TCP-info)."""
    if not peer.address:
        return "local socket"
    tag = "IPv6:" if ":" in peer.address else ""
    name = f"{_safe(peer.name)} " if peer.name else ""
    return f"{name}[{tag}{peer.address}]"


def _safe(name: str) -> str:
    """A client may call itself anything; parentheses or `;` would end the field's parts early."""
    return _NOT_IN_NAME.sub("?", name)
