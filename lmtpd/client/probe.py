"""Probe: whether a server takes mail for an address; asked with RCPT, and nothing is sent.

The reverse-path is empty, as that of a bounce (RFC 5321 4.5.5): no server may refuse it for itself.
"""

from __future__ import annotations

from collections.abc import Set

from ..protocol import replies
from ..protocol.address import Address
from ..protocol.reply import Reply
from .dialogue import COMMAND_S, SessionEndedError, hear, say
from .reader import ReplyReader
from .steps import Steps
from .transaction import Transaction


def probe(reader: ReplyReader, keywords: Set[str], address: Address) -> Steps[Reply]:
    """The reply to RCPT; the session can be asked again.

    Args:
        reader: of the session, between two transactions.
        keywords: what the server offers.
        address: of whom to ask; beyond ASCII only where SMTPUTF8 is offered (RFC 6531 3.2).

    Raises:
        SessionEndedError: MAIL or RSET was refused, or the server does not keep to the protocol.
    """
    recipient = str(Transaction("", [address]).recipients[0])
    is_wide = not recipient.isascii() and "SMTPUTF8" in keywords
    yield from _accepted(reader, "MAIL FROM:<>" + " SMTPUTF8" * is_wide)
    yield from say(reader, f"RCPT TO:<{recipient}>")
    reply = yield from hear(reader, COMMAND_S)
    yield from _accepted(reader, "RSET")
    return reply


def _accepted(reader: ReplyReader, command: str) -> Steps[None]:
    yield from say(reader, command)
    reply = yield from hear(reader, COMMAND_S)
    if not reply.is_success:
        unwilling = replies.SERVER_UNWILLING
        word = command.partition(" ")[0]
        raise SessionEndedError(unwilling.saying(f"{unwilling.lines[0]}: {word}: {reply}"))
