"""For all that pipe: `-f SENDER RECIPIENT ...`, the message on standard input, sysexits.

getmail, fetchmail, procmail, maildrop, OpenSMTPD's mda, Postfix's pipe and whatever else runs
sendmail to deliver.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ..protocol.address import Address, AddressError
from ..protocol.reply import Reply
from .call import Call, UsageError
from .exits import SOFT
from .message import pieces, send

_FROM = b"From "
_LONGEST_FROM_LINE = 4096

# By the subject of the enhanced status code (RFC 3463 3): addressing, security.
_EXITS = {"1": os.EX_NOUSER, "7": os.EX_NOPERM}


def run(call: Call) -> int:
    """Deliver; EX_OK if all have it, EX_TEMPFAIL if one may still get it, else a permanent code."""
    if not call.arguments:
        raise UsageError("pipe needs a recipient")
    sender = _path(call.options.get("-f", ""))
    recipients = [_path(text) for text in call.arguments]
    message = without_from_line(pieces())
    fates = send(call, sender, recipients, message)
    # A caller whose pipe breaks takes that for the failure, instead of the exit code.
    for _ in message:
        pass
    return exit_code(fates)


def exit_code(fates: Iterable[Reply]) -> int:
    """One code for all fates. A 4yz outweighs a 5yz: a copy too many is better than one lost."""
    failures = [fate for fate in fates if not fate.is_success]
    if not failures:
        return os.EX_OK
    if not all(fate.is_permanent for fate in failures):
        return SOFT
    return _EXITS.get(failures[0].status[2:3], os.EX_UNAVAILABLE)


def without_from_line(message: Iterator[bytes]) -> Iterator[bytes]:
    """The message less the line `From alice@example.org Mon Jan ...` that mbox begins it with.

    procmail and others leave it there; it is no header field, and readers take it for the body.
    """
    head = b""
    for piece in message:
        head += piece
        if head[: len(_FROM)] != _FROM[: len(head)] or len(head) > _LONGEST_FROM_LINE:
            break
        if b"\n" in head:
            break
    if head.startswith(_FROM):
        line, end, rest = head.partition(b"\n")
        head = rest if end and len(line) < _LONGEST_FROM_LINE else head
    yield head
    yield from message


def _path(text: str) -> str:
    """What stands between the angle brackets; quoted, where the shell has eaten the quotes."""
    bare = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    try:
        Address.parse(bare)
    except AddressError:
        return str(Address.of_mailbox(bare)) if bare else bare
    return bare
