"""Trace header fields: pure functions of envelope, peer and time (RFC 5321 4.4).

Everything that a peer can choose is made harmless here before it goes into a header field.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from email.utils import formatdate

from ..failures import MailLoopError
from ..protocol.envelope import Envelope, Peer, Recipient

MOST_HOPS = 100
"""Received fields beyond which a message is taken for a loop (RFC 5321 6.3)."""

_BLANK_LINE = re.compile(rb"^\r?\n", re.M)
_RETURN_PATH = re.compile(rb"^Return-Path[ \t]*:.*\n(?:[ \t].*\n)*", re.I | re.M)
_RECEIVED = re.compile(rb"^Received[ \t]*:", re.I | re.M)
# Blanks are stripped afterwards: a pattern for them takes quadratic time over a long run of them.
_DELIVERED_TO = re.compile(rb"^Delivered-To[ \t]*:(.*)$", re.I | re.M)
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9.:_\[\]-]")


def split_header(piece: bytes) -> tuple[bytes, bytes]:
    """The header section, its last line's end included, and what follows in this piece."""
    blank = _BLANK_LINE.search(piece)
    # Without a blank line all is header, up to the last whole line.
    end = blank.start() if blank else piece.rfind(b"\n") + 1
    return piece[:end], piece[end:]


def without_return_path(header: bytes) -> bytes:
    """Only the last hop's Return-Path counts, and we are it (RFC 5321 4.4)."""
    return _RETURN_PATH.sub(b"", header)


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
    if any(field[1].strip().lower() == ours for field in _DELIVERED_TO.finditer(header)):
        raise MailLoopError(f"Delivered-To: {recipient.address} is there already")


def trace_fields(
    envelope: Envelope, recipient: Recipient | None, peer: Peer, host: str, when: float
) -> bytes:
    """Return-Path, Delivered-To and Received, for the top of one recipient's copy.

    Args:
        envelope: the transaction.
        recipient: whose copy this is; None for one that serves several.
        peer: who handed it over.
        host: our own name.
        when: seconds since the epoch.
    """
    lines = _lines(envelope, recipient, peer, host, when)
    return "".join(f"{line}\n" for line in lines).encode("utf-8")


def _lines(
    envelope: Envelope, recipient: Recipient | None, peer: Peer, host: str, when: float
) -> Iterator[str]:
    yield f"Return-Path: <{envelope.reverse_path}>"
    if recipient:
        yield f"Delivered-To: {recipient.address}"
    if recipient and recipient.original:
        yield f"Original-Recipient: {recipient.original}"  # RFC 8098 2.3
    yield f"Received: from {_safe(envelope.client_name)} ({_tcp_info(peer)})"
    if envelope.tls:
        tls = envelope.tls
        yield f"\t(using {tls.version} with cipher {tls.cipher} ({tls.bits} bits))"
    whom = f"\n\tfor <{recipient.address}>" if recipient else ""
    by = f"\tby {host} (lmtpd) with {_protocol(envelope)} id {envelope.id}"
    yield f"{by}{whom}; {_date(int(when))}"


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
