"""What comes from where we are the client: answers of servers and back-ends, paths of an MTA's."""

from __future__ import annotations

import re
from itertools import repeat

from lmtpd.bridge.message import _MalformedPathError, _transaction
from lmtpd.client.dialogue import session
from lmtpd.client.reader import LINE_OCTETS, ReplyError, ReplyReader
from lmtpd.client.tls import TlsMode
from lmtpd.client.transaction import Transaction
from lmtpd.protocol.address import Address
from lmtpd.protocol.command import CommandParser
from lmtpd.protocol.events import MailFrom, RcptTo, Refused
from lmtpd.protocol.extensions import Extensions
from lmtpd.protocol.limits import Limits
from lmtpd.protocol.reply import Reply
from lmtpd.recipients.answer import AnswerReader
from lmtpd.recipients.chain import AddressRules
from lmtpd.recipients.socketmap import netstring
from lmtpd.recipients.verdict import AnswerError, Verdict
from lmtpd.recipients.wire import Frame, line
from tests.support.conversation import cut
from tests.support.scripted import HANDSHAKE, TEXT, talk

_READER = AnswerReader("example.org", AddressRules())
_SENT = Transaction("a@x", [Address("b", "x"), Address("c", "x")])
_PATHS = re.compile(rb"MAIL FROM:<[^\r\n]*>[^\r\n]*\r\n|(?:RCPT TO:<[^\r\n]*>\r\n)+(?:DATA\r\n)?")
_WILLING = [
    b"220 x\r\n",
    b"250-x\r\n250 SMTPUTF8\r\n",
    *(b"250 x\r\n",) * 2,
    b"354 x\r\n",
    b"250 x\r\n",
]


def answers(octets: bytes) -> None:
    """An answer or a fault of its own, never another exception; and no success made of nonsense."""
    for size in (len(octets) or 1, 1, 3):
        assert _replies(octets, size) == _replies(octets, len(octets) or 1), f"pieces of {size}"
    for mode in (TlsMode.NONE, TlsMode.MAY, TlsMode.ENCRYPT):
        _server(octets, mode)
    for frame in (netstring, line):
        _frame(octets, frame)
    _verdicts(octets)


def path_of_a_bridge(octets: bytes) -> None:
    """Whatever it is called with: it says one MAIL and one RCPT that name it, or nothing."""
    text = octets.decode("utf-8", "surrogateescape")
    try:
        transaction = _transaction(text, [text])
    except _MalformedPathError:
        return
    _, said = talk(session(ReplyReader(), "c", TlsMode.NONE, transaction), _WILLING)
    parser = CommandParser(Limits(), Extensions())
    for words, kind in zip(said[1:3], (MailFrom, RcptTo), strict=True):
        assert words.count(b"\n") == 1
        assert words.endswith(b"\r\n")
        # A path that is too long, or no path for us, may be one for another server.
        assert isinstance(parser.parse(words[:-2], smtputf8=True), kind | Refused), words


def _replies(octets: bytes, size: int) -> tuple[list[Reply], bool]:
    reader, found = ReplyReader(), []
    try:
        for piece in cut(octets, repeat(size)):
            reader.feed(piece)
            while reply := reader.next_reply():
                found.append(reply)
            assert len(reader._buffer) < LINE_OCTETS
    except ReplyError:
        return found, False
    return found, True


def _server(octets: bytes, mode: TlsMode) -> None:
    heard = octets.splitlines(keepends=True)
    fates, said = talk(session(ReplyReader(), "c", mode, _SENT), heard)
    assert len(fates) == len(_SENT.recipients)
    for fate in fates:
        assert fate.kind in (2, 4, 5)
        if fate.is_success:
            assert b"%d" % fate.code in octets
            assert said[-3:-1] == [TEXT, b".\r\n"] or said[-2:] == [TEXT, b".\r\n"]
    if HANDSHAKE in said:
        assert said[said.index(HANDSHAKE) + 1 :][:1] in ([], [b"LHLO c\r\n"])
    assert mode is not TlsMode.ENCRYPT or HANDSHAKE in said or TEXT not in said


def _frame(octets: bytes, frame: Frame) -> None:
    """Not whole, then whole, then too much: in this order."""
    try:
        answer = frame(octets)
    except AnswerError:
        return
    for end in range(min(len(octets), 100)):
        assert frame(octets[:end]) is None
    assert answer is None or answer in octets


def _verdicts(octets: bytes) -> None:
    text = octets.decode("utf-8", "replace")
    word, _, rest = text.partition(" ")
    for read in (
        lambda: _READER.of_json(octets),
        lambda: _READER.of_value(text),
        lambda: _READER.of_rows([(rest, word), (word, None)]),
    ):
        try:
            verdict = read()
        except AnswerError:
            continue
        if verdict is not None:
            _is_sane(verdict)


def _is_sane(verdict: Verdict) -> None:
    reply = verdict.reply()
    assert all(line.isascii() and line.isprintable() for line in reply.lines)
    assert reply.is_success is verdict.is_accepted
    assert bool(verdict.mailboxes) is verdict.is_accepted
