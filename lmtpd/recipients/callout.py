"""The hook `callout`: another LMTP or SMTP server is asked with RCPT whether it takes mail.

    MAIL FROM:<>                  refused: a fault of the server
    RCPT TO:<alice@example.org>
        250                       accepted, for the mailbox of this address, less its detail
        550 551 553               unknown; refused with the server's text if the status is 5.7.x
        452 4.2.2, 552 5.2.2      full
        4yz 4.1.x, 4yz 4.2.x      deferred: it speaks of this address or mailbox alone (RFC 3463 3)
        any other 5yz             makes no sense here: 554 5.7.1 says that we may not relay
        any other                 a fault: 451 4.3.0 says that the server is down
    RSET

Connections are kept. Nobody who asks so often is welcome for ever: Postfix slows down after 10
refusals and hangs up after 20, and counts each RSET beyond 100 as one. So a connection ends before.
"""

from __future__ import annotations

import contextlib

from ..client.connection import Connection
from ..client.dialogue import Hello, SessionEndedError, opening
from ..client.probe import probe
from ..client.reader import ReplyReader
from ..client.target import Target
from ..client.tls import Tls, TlsMode
from ..protocol.address import Address
from ..protocol.reply import Reply
from .chain import AddressRules
from .pool import Pool
from .verdict import AnswerError, RcptContext, Verdict

MOST_QUESTIONS = 50
"""Over one connection."""
REFUSAL_COSTS = 10
"""A refusal counts as so many of them."""

_NO_SUCH_MAILBOX = ("550", "551", "553")
"""RFC 5321 4.2.3; 554, 501 and the rest speak of other things."""


class CalloutError(Exception):
    """The server's reply to RCPT speaks of the server."""


class CalloutVerifier:
    """Asks over connections that are kept."""

    def __init__(
        self,
        target: Target,
        tls: Tls,
        hello: Hello,
        name: str,
        seconds: float,
        rules: AddressRules,
    ) -> None:
        """Prepare questions; nothing is asked yet.

        Args:
            target: the server.
            tls: whether to encrypt, and whom to believe.
            hello: LHLO for LMTP, EHLO for SMTP.
            name: ours.
            seconds: that anybody waits for a connection; the guard bounds the whole.
            rules: what a detail is. The server may take `alice+anything`, and each must not
                become a mailbox.

        Raises:
            OSError: the certificates cannot be read.
        """
        if tls.mode is not TlsMode.NONE:
            tls.context()
        self._rules = rules
        self._sessions = Pool(lambda: _Session(target, tls, hello, name), seconds)

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:  # noqa: ARG002
        """What the server says; no opinion on an address that it could not even read.

        Raises:
            OSError: it is late or gone, or takes no mail.
            CalloutError: its reply says so.
            AnswerError: its reply says nothing about the address.
        """
        reply = self._sessions.ask(lambda session: session.ask(address))
        return _verdict(reply, self._rules.spellings(address)[-1]) if reply else None


class _Session:
    """A connection, past its greeting."""

    is_spent = False

    def __init__(self, target: Target, tls: Tls, hello: Hello, name: str) -> None:
        self._left = MOST_QUESTIONS
        self._reader = ReplyReader()
        self._connection = Connection(target, tls)
        try:
            self._keywords = self._connection.perform(opening(self._reader, name, tls.mode, hello))
        except BaseException as error:  # the end of our time too
            self.close()
            if isinstance(error, SessionEndedError):
                raise ConnectionRefusedError(str(error)) from error
            raise

    def ask(self, address: Address) -> Reply | None:
        if not address.local.isascii() and "SMTPUTF8" not in self._keywords:
            return None
        # A reply to nothing, or that of another's question, would be taken for the one to ours.
        if self._connection.received() is not None:
            raise ConnectionResetError("the server hung up, or speaks out of turn")
        try:
            reply = self._connection.perform(probe(self._reader, self._keywords, address))
        except SessionEndedError as ended:
            raise ConnectionResetError(str(ended)) from ended
        self._left -= 1 if reply.is_success else REFUSAL_COSTS
        if self._left <= 0:
            self.is_spent = True
            with contextlib.suppress(OSError):
                self._connection.send(b"QUIT\r\n")
        return reply

    def close(self) -> None:
        self._connection.close()


def _verdict(reply: Reply, address: Address) -> Verdict:
    text = reply.lines[0]
    _, _, about = reply.status.partition(".")
    if reply.is_success:
        return Verdict.accept(address.mailbox)
    if about == "2.2":
        return Verdict.full(text)
    if reply.is_transient and about.startswith(("1.", "2.")):
        return Verdict.defer(str(reply), text)
    if str(reply.code) in _NO_SUCH_MAILBOX:
        return Verdict.reject(text) if about.startswith("7.") else Verdict.unknown()
    kind = AnswerError if reply.is_permanent else CalloutError
    raise kind(f"RCPT was answered {reply}")
