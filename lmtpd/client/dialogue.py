"""The client's side of RFC 2033 as a generator: it yields steps and is sent what was heard.

No socket is touched here. Whoever carries out the steps (lmtpd.client.connection) sends the octets
that a Hear waited for back into the generator, and throws an OSError into it when a step fails.

Promises: one reply for each recipient, in their order. What a server did not say is a transient
reply of our own, never a success; a reply that came before its turn is not believed.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable

from ..protocol import replies
from ..protocol.reply import Reply
from .reader import ReplyError, ReplyReader
from .steps import Hear, Say, Secure, SendMessage, Steps
from .tls import TlsMode
from .transaction import Transaction

# RFC 5321 4.5.3.2, in seconds.
COMMAND_S = 300.0
"""Greeting, LHLO, MAIL and RCPT."""
DATA_S = 120.0
FINAL_S = 600.0
"""Behind the final dot: who gives up earlier makes a second copy of what was delivered."""
QUIT_S = 5.0
"""All is decided by then; we only wait so that the server need not write to a dead connection."""

# Commands in flight at most: while we do not read, the server's replies have to fit into the
# buffers of the kernel, or both sides wait for each other for ever (RFC 2920 3.1).
IN_FLIGHT = 100

_DATA = "DATA"
_END_OF_TEXT = "."


class Hello(enum.Enum):
    """How a server is greeted: that is what tells LMTP from SMTP (RFC 2033 4.1)."""

    LMTP = "LHLO"
    SMTP = "EHLO"


class SessionEndedError(Exception):
    """The session cannot go on; the reply that is the fate of whoever has none yet."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


def session(
    reader: ReplyReader, name: str, mode: TlsMode, transaction: Transaction
) -> Steps[tuple[Reply, ...]]:
    """One message from the greeting to QUIT; gives one reply for each recipient.

    Args:
        reader: a new one.
        name: ours, for LHLO.
        mode: whether to ask for TLS.
        transaction: what to send.
    """
    fates: list[Reply | None] = [None] * len(transaction.recipients)
    rest = replies.CONNECTION_LOST
    try:
        keywords = yield from opening(reader, name, mode)
        yield from _Conversation(reader, keywords, transaction, fates).run()
        yield from say(reader, "QUIT")
        yield Hear(QUIT_S)
    except SessionEndedError as ended:
        rest = ended.reply
    except OSError as error:
        rest = rest.saying(f"{rest.lines[0]}: {error.strerror or error}")
    return tuple(fate or rest for fate in fates)


def opening(
    reader: ReplyReader, name: str, mode: TlsMode, hello: Hello = Hello.LMTP
) -> Steps[frozenset[str]]:
    """Greeting, LHLO, and STARTTLS with a second LHLO; gives the keywords that are offered.

    Args:
        reader: a new one.
        name: ours.
        mode: whether to ask for TLS.
        hello: how the server is greeted.

    Raises:
        SessionEndedError: the server takes no mail, or has no TLS where we insist on it.
    """
    _require_success((yield from hear(reader, COMMAND_S)))
    keywords = yield from _introduce(reader, name, hello)
    if not mode.has_starttls:
        return keywords
    is_willing = "STARTTLS" in keywords
    if is_willing:
        yield from say(reader, "STARTTLS")
        is_willing = (yield from hear(reader, COMMAND_S)).is_success
    if not is_willing:
        if mode is TlsMode.ENCRYPT:
            raise SessionEndedError(replies.TLS_NOT_OFFERED)
        return keywords
    # A reply that was injected in clear must not be taken for one that came under TLS.
    _require_silence(reader)
    yield Secure()
    return (yield from _introduce(reader, name, hello))


class _Conversation:
    """MAIL, RCPT, DATA and the final replies; fills in the fates."""

    def __init__(
        self,
        reader: ReplyReader,
        keywords: frozenset[str],
        transaction: Transaction,
        fates: list[Reply | None],
    ) -> None:
        self._reader = reader
        self._keywords = keywords
        self._transaction = transaction
        self._fates = fates
        self._accepted: list[int] = []
        self._data_reply: Reply | None = None

    def run(self) -> Steps[None]:
        asked = self._asked()
        is_shared = self._transaction.is_all_or_none
        if not asked or (is_shared and self._share_refusal(asked)):
            return
        yield from self._envelope(asked)
        if is_shared and self._accepted and self._share_refusal(self._accepted):
            return
        if self._accepted or self._data_reply:
            yield from self._data()

    def _asked(self) -> list[int]:
        """Who can be asked for at all: without SMTPUTF8 nobody beyond ASCII (RFC 6531 3.2)."""
        transaction = self._transaction
        if "SMTPUTF8" not in self._keywords:
            if not transaction.reverse_path.isascii():
                self._settle(replies.SENDER_NEEDS_SMTPUTF8)
            for index, address in enumerate(transaction.recipients):
                if not str(address).isascii():
                    self._fates[index] = replies.RECIPIENT_NEEDS_SMTPUTF8
        return [index for index, fate in enumerate(self._fates) if fate is None]

    def _share_refusal(self, others: list[int]) -> bool:
        """One was refused, so are the others; by a transient reply if there is one."""
        refusals = [fate for fate in self._fates if fate]
        if not refusals:
            return False
        worst = next((reply for reply in refusals if reply.is_transient), refusals[0])
        for index in others:
            self._fates[index] = worst.saying(f"Sent to nobody, for one was refused: {worst}")
        return True

    def _envelope(self, asked: list[int]) -> Steps[None]:
        """MAIL and RCPT, and DATA with them where it can be."""
        is_pipelined = "PIPELINING" in self._keywords
        commands: list[tuple[str, Callable[[Reply], None]]] = [(self._mail(), self._take_mail)]
        for index in asked:
            line = f"RCPT TO:<{self._transaction.recipients[index]}>"
            commands.append((line, functools.partial(self._take_rcpt, index)))
        # Whoever may have to turn back after RCPT must not have said DATA: once somebody is
        # accepted, the dot alone would deliver an empty message.
        if is_pipelined and (len(asked) == 1 or not self._transaction.is_all_or_none):
            commands.append((_DATA, self._take_data))
        size = IN_FLIGHT if is_pipelined else 1
        for start in range(0, len(commands), size):
            group = commands[start : start + size]
            yield from say(self._reader, *(line for line, _ in group))
            for _, take in group:
                take((yield from hear(self._reader, COMMAND_S)))
            if None not in self._fates and not self._accepted:
                return  # MAIL was refused, or everybody

    def _mail(self) -> str:
        """With what the server offers and the message needs."""
        transaction = self._transaction
        paths = (transaction.reverse_path, *map(str, transaction.recipients))
        parameters = (
            ("SIZE", f"SIZE={transaction.size_octets}", transaction.size_octets),
            ("8BITMIME", "BODY=8BITMIME", True),  # nobody has looked into the message
            ("SMTPUTF8", "SMTPUTF8", not all(path.isascii() for path in paths)),
        )
        return f"MAIL FROM:<{transaction.reverse_path}>" + "".join(
            f" {text}"
            for keyword, text, is_due in parameters
            if is_due and keyword in self._keywords
        )

    def _take_mail(self, reply: Reply) -> None:
        if not reply.is_success:
            self._settle(_failure(reply))

    def _take_rcpt(self, index: int, reply: Reply) -> None:
        if not reply.is_success:
            self._fates[index] = self._fates[index] or _failure(reply)
        elif self._fates[index]:
            raise _nonsense("RCPT was accepted without MAIL")
        else:
            self._accepted.append(index)

    def _take_data(self, reply: Reply) -> None:
        self._data_reply = reply

    def _data(self) -> Steps[None]:
        """The text, and a final reply for each recipient that was accepted (RFC 2033 4.2)."""
        if self._data_reply is None:
            yield from say(self._reader, _DATA)
            self._data_reply = yield from hear(self._reader, DATA_S)
        if self._data_reply.code != replies.START_MAIL.code:
            self._settle(_failure(self._data_reply))
            return
        if self._accepted:
            early = yield SendMessage()
            # Said before the message was whole, it speaks of something else.
            self._reader.feed(early)
        yield from say(self._reader, _END_OF_TEXT)
        for index in self._accepted:
            reply = yield from hear(self._reader, FINAL_S)
            self._fates[index] = reply if reply.is_success else _failure(reply)

    def _settle(self, reply: Reply) -> None:
        """The fate of everybody who has none yet."""
        self._fates[:] = [fate or reply for fate in self._fates]


def say(reader: ReplyReader, *lines: str) -> Steps[None]:
    """Commands, without their CR LF.

    Raises:
        SessionEndedError: the server has spoken already.
    """
    _require_silence(reader)
    yield Say("".join(f"{line}\r\n" for line in lines).encode("utf-8"))


def hear(reader: ReplyReader, seconds: float) -> Steps[Reply]:
    """The next reply; 421 is the end whatever it answers (RFC 5321 3.8).

    Raises:
        SessionEndedError: the server is gone, or what it says is no reply.
    """
    try:
        while (reply := reader.next_reply()) is None:
            data = yield Hear(seconds)
            if not data:
                raise SessionEndedError(replies.CONNECTION_LOST)
            reader.feed(data)
    except ReplyError as error:
        raise _nonsense(str(error)) from error
    if reply.code == replies.SHUTTING_DOWN.code:
        raise SessionEndedError(reply)
    return reply


def _introduce(reader: ReplyReader, name: str, hello: Hello) -> Steps[frozenset[str]]:
    """The keywords that are offered, in upper case."""
    yield from say(reader, f"{hello.value} {name}")
    reply = yield from hear(reader, COMMAND_S)
    if hello is Hello.SMTP and reply.is_permanent:  # it is older than EHLO (RFC 5321 3.2)
        yield from say(reader, f"HELO {name}")
        _require_success((yield from hear(reader, COMMAND_S)))
        return frozenset()
    _require_success(reply)
    return frozenset(line.partition(" ")[0].upper() for line in reply.lines[1:])


def _require_success(reply: Reply) -> None:
    """Before MAIL nothing is said about the message: whatever the server says, it can wait."""
    if not reply.is_success:
        unwilling = replies.SERVER_UNWILLING
        raise SessionEndedError(unwilling.saying(f"{unwilling.lines[0]}: {reply}"))


def _require_silence(reader: ReplyReader) -> None:
    if reader.has_input:
        raise _nonsense("a reply came before its turn")


def _failure(reply: Reply) -> Reply:
    """A 4yz or 5yz; anything else was no answer to what we said."""
    if not (reply.is_transient or reply.is_permanent):
        raise _nonsense(f"{reply.code} came out of turn")
    return reply


def _nonsense(what: str) -> SessionEndedError:
    reply = replies.NOT_LMTP
    return SessionEndedError(reply.saying(f"{reply.lines[0]}: {what}"))
