"""Conduct: what a client may do in one session that leads to no mail.

A client that talks nonsense for ever, or asks for nothing for ever, is cut off. No MTA may meet
this: what is refused to a client that keeps to the protocol is no error (an unknown recipient, a
message that is too large, what was pipelined behind either), and MAIL makes up for all that went
before it, so that the probes of an MTA may go on as long as they like. QUIT and the end of a
message are never answered with 421: OpenSMTPD would deliver again what was acknowledged.
"""

from __future__ import annotations

from . import replies
from .events import (
    EndOfData,
    Event,
    Expand,
    Hello,
    Help,
    MailFrom,
    Noop,
    Quit,
    Refused,
    Reset,
    StartTls,
    Verify,
    XForward,
)
from .limits import Limits
from .reply import Reply

_NO_MAIL = frozenset({Expand, Hello, Help, Noop, Reset, StartTls, Verify, XForward})
_BROKEN_PROTOCOL = "5.5."
"""RFC 3463 3.6: mail delivery protocol status."""
_CONSEQUENCES = (replies.MAIL_FIRST, replies.RCPT_FIRST, replies.CHUNK_LOST)
"""What a client hears that has pipelined more behind a MAIL or RCPT than was accepted."""


class Conduct:
    """The account of one session."""

    __slots__ = ("_commands", "_errors", "_limits", "_noops")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._commands = 0
        self._errors = 0
        self._noops = 0

    def judge(self, event: Event) -> Reply | None:
        """Count what a client has said; the reply that ends the session, if that is too much."""
        limits, kind = self._limits, type(event)
        if kind is EndOfData or kind is Quit:
            return None
        self._commands += 1
        if isinstance(event, Refused):
            self._errors += _is_error(event.reply)
        elif kind is MailFrom:
            self._noops = 0
        elif kind in _NO_MAIL:
            self._noops += 1
        if self._errors > limits.errors:
            return replies.TOO_MANY_ERRORS
        if self._noops > limits.noops:
            return replies.TOO_MANY_NOOPS
        return replies.TOO_MANY_COMMANDS if self._commands > limits.commands else None


def _is_error(reply: Reply) -> bool:
    return reply.status.startswith(_BROKEN_PROTOCOL) and reply not in _CONSEQUENCES
