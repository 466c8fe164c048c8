"""What the shapes share: the message on standard input, its paths, and its delivery."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence

from ..client.connection import deliver
from ..client.transaction import Transaction
from ..protocol import replies
from ..protocol.address import Address, AddressError
from ..protocol.reply import Reply
from .call import Call

_STDIN = 0
_READ_OCTETS = 256 * 1024
_LOOSE_PATH = re.compile(r"[^\x00-\x20\x7f<>\ud800-\udfff]+")


class _MalformedPathError(Exception):
    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


def send(
    call: Call, sender: str, recipients: Sequence[str], message: Iterable[bytes]
) -> tuple[Reply, ...]:
    """Deliver; one reply for each recipient. What went wrong is said on standard error.

    The caller gets one exit code for all, so all share one fate as far as it can be known: if one
    recipient is refused at RCPT, nobody gets the message. To send it to the others would mean
    either a bounce that is not true of them, or a second copy for them with each new attempt.
    """
    target, tls = call.target, call.tls
    try:
        fates = deliver(target, tls, _transaction(sender, recipients), message)
    except _MalformedPathError as error:
        fates = (error.reply,) * len(recipients)
    for recipient, fate in zip(recipients, fates, strict=True):
        if not fate.is_success:
            print(f"<{ascii(recipient)[1:-1]}>: {fate}", file=sys.stderr)  # noqa: T201
    return fates


def pieces() -> Iterator[bytes]:
    """Standard input, as it comes."""
    while piece := os.read(_STDIN, _READ_OCTETS):
        yield piece


def _transaction(sender: str, recipients: Sequence[str]) -> Transaction:
    try:
        addresses = [Address.parse(recipient) for recipient in recipients]
    except AddressError as error:
        reply = replies.BAD_RECIPIENT
        raise _MalformedPathError(reply.saying(f"{reply.lines[0]}: {error}")) from error
    return Transaction(_reverse_path(sender), addresses, _size(), is_all_or_none=True)


def _reverse_path(sender: str) -> str:
    """A sender that is not well-formed goes as it stands, if it can: the MTA has taken it."""
    try:
        return str(Address.parse(sender)) if sender else ""
    except AddressError:
        if _LOOSE_PATH.fullmatch(sender):
            return sender
        raise _MalformedPathError(replies.BAD_SENDER) from None


def _size() -> int:
    """Octets on standard input, if that is a file; an estimate, as SIZE may be (RFC 1870 5)."""
    status = os.fstat(_STDIN)
    if not stat.S_ISREG(status.st_mode):
        return 0
    return max(status.st_size - os.lseek(_STDIN, 0, os.SEEK_CUR), 0)
