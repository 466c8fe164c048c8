"""LMTP as its RFCs tell it, for comparison: octets are read line by line, the whole of them kept.

It knows nothing of the dialogue but its words for events and replies. Whether the parameters of a
command are well-formed it leaves to other tests; all else it foretells: which command a line is,
whether its turn has come, what of the octets is content, how many replies are owed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lmtpd.protocol import events, replies
from lmtpd.protocol.envelope import BodyType
from lmtpd.protocol.events import Chunk, EndOfChunk, EndOfData, Event, Gone, MailFrom, Refused
from lmtpd.protocol.extensions import Extensions
from lmtpd.protocol.limits import Limits
from lmtpd.protocol.reply import Reply

_VERBS: dict[str, type[Event]] = {
    "LHLO": events.Hello,
    "MAIL": events.MailFrom,
    "RCPT": events.RcptTo,
    "DATA": events.Data,
    "RSET": events.Reset,
    "VRFY": events.Verify,
    "EXPN": events.Expand,
    "HELP": events.Help,
    "NOOP": events.Noop,
    "QUIT": events.Quit,
    "STARTTLS": events.StartTls,
    "XFORWARD": events.XForward,
}
_BARE = frozenset({"DATA", "RSET", "QUIT", "STARTTLS"})
_FOR_EVERYBODY = frozenset({"LHLO", "NOOP", "QUIT", "STARTTLS"})
"""RFC 3207 4: also where TLS is required and not there yet."""
_AFTER_LHLO = frozenset({"MAIL", "RCPT", "DATA", "BDAT", "XFORWARD"})
_HTTP = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "HOST:"}
)
_SYNTAX = (
    replies.BAD_SYNTAX,
    replies.BAD_SENDER,
    replies.BAD_RECIPIENT,
    replies.UNKNOWN_PARAMETER,
    replies.SENDER_NEEDS_SMTPUTF8,
    replies.RECIPIENT_NEEDS_SMTPUTF8,
    replies.TOO_LARGE,
)
_CONDUCT = (replies.TOO_MANY_ERRORS, replies.TOO_MANY_NOOPS, replies.TOO_MANY_COMMANDS)
_BDAT = re.compile(rb"(?i:BDAT) +([0-9]{1,20})(| .*)")
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass
class _Transaction:
    """From MAIL on."""

    mail: MailFrom
    recipients: int = 0
    octets: int = 0
    """Of the chunks, those that were not kept included."""
    is_chunked: bool = False
    has_lost: bool = False


@dataclass
class _Bdat:
    """Octets that follow at once, whatever becomes of them (RFC 3030 2)."""

    size: int
    is_last: bool
    refusal: Reply | None
    is_kept: bool


class LmtpModel:
    """What the server may make of the octets so far."""

    def __init__(
        self,
        limits: Limits,
        extensions: Extensions,
        *,
        under_tls: bool = False,
        needs_tls: bool = False,
    ) -> None:
        self._limits = limits
        self._extensions = extensions
        self._needs_tls = needs_tls
        self.under_tls = under_tls
        self.transaction: _Transaction | None = None
        self.is_open = True
        self.is_in_text = False
        self.owed = 0
        self.commands = 0
        self._has_said_lhlo = False
        self._awaits_handshake = False
        self._octets = b""
        self._bdat: _Bdat | None = None
        self._content = b""
        self._event: Event | None = None
        self._closes = False

    def receive(self, octets: bytes) -> None:
        """The client has said so."""
        self._octets += octets

    def tls_started(self) -> None:
        """RFC 3207 4.2: all is forgotten, and what is left of the octets was said in clear."""
        assert self._awaits_handshake
        self._awaits_handshake = self._has_said_lhlo = False
        self._octets, self.transaction, self.under_tls = b"", None, True

    def hears(self, event: Event) -> None:
        """The server makes this of the octets; AssertionError if it may not."""
        assert self.is_open
        assert not self._awaits_handshake
        assert self.owed == 0
        self._event = event
        if isinstance(event, Gone):
            return
        if isinstance(event, Chunk):
            self._hears_content(event.data)
            return
        self.commands += 1
        self.owed = 1
        if self.is_in_text:
            assert isinstance(event, EndOfData)
            self._ends_text(event)
        else:
            self._hears_command(event)

    def says(self, reply: Reply) -> None:
        """The server says this next."""
        assert self.owed > 0
        self.owed -= 1
        event, is_success = self._event, reply.is_success
        if reply.code == replies.SHUTTING_DOWN.code or self._closes or event == events.Quit():
            self.is_open, self.owed = False, 0
        match event:
            case events.Hello() if is_success:
                self._has_said_lhlo, self.transaction = True, None
            case events.Reset() if is_success:
                self.transaction = None
            case MailFrom() if is_success:
                self.transaction = _Transaction(event)
            case events.RcptTo() if is_success:
                self._open.recipients += 1
            case events.Data() if reply == replies.START_MAIL:
                self.is_in_text = True
            case EndOfData() if self.owed == 0:
                self.transaction = None
            case events.StartTls() if is_success:
                self._awaits_handshake = True

    @property
    def _open(self) -> _Transaction:
        assert self.transaction is not None
        return self.transaction

    # Content.

    def _hears_content(self, octets: bytes) -> None:
        assert octets
        if not self.is_in_text and self._bdat is None:
            self._bdat = self._begun_bdat(self._line()[:-2])
        self._content += octets
        assert len(self._content) <= self._limits.message_octets
        if not self.is_in_text:
            assert self._bdat
            assert self._bdat.is_kept
            assert self._octets[: self._bdat.size].startswith(self._content)

    def _ends_text(self, event: EndOfData) -> None:
        """RFC 5321 4.5.2, line by line; one reply for each recipient (RFC 2033 4.2)."""
        content = b""
        while True:
            line, end, self._octets = self._octets.partition(b"\r\n")
            assert end, "the text has no end yet"
            if line == b".":
                break
            content += line.removeprefix(b".") + end
        is_too_large = len(content) > self._limits.message_octets
        assert event == EndOfData(is_too_large)
        assert content.startswith(self._content) if is_too_large else content == self._content
        self._content, self.is_in_text = b"", False
        self.owed = self._open.recipients

    def _begun_bdat(self, line: bytes) -> _Bdat | None:
        """None for a line that is no BDAT, or has no number that says where it ends."""
        found = _BDAT.fullmatch(line)
        if not found or _bad_line(line):
            return None
        size, end = int(found[1]), found[2].rstrip(b" ").upper()
        is_well_formed = end in (b"", b" LAST")
        refusal = self._refusal("BDAT") or (None if is_well_formed else replies.BAD_SYNTAX)
        bdat = _Bdat(size, end == b" LAST", refusal, is_kept=False)
        if self.transaction:
            self.transaction.is_chunked = True
            self.transaction.has_lost |= refusal is not None
            self.transaction.octets += size
            bdat.is_kept = not self.transaction.has_lost and not self._is_too_large
        return bdat

    @property
    def _is_too_large(self) -> bool:
        return self._open.octets > self._limits.message_octets

    def _ends_chunk(self, bdat: _Bdat, event: Event) -> None:
        assert len(self._octets) >= bdat.size, "the chunk is not here yet"
        content, self._octets = self._octets[: bdat.size], self._octets[bdat.size :]
        assert self._content == (content if bdat.is_kept else b"")
        self._content, self._bdat = b"", None
        if bdat.refusal:
            assert event == Refused(bdat.refusal) or self._is_conduct(event)
        elif bdat.is_last:
            assert event == EndOfData(self._is_too_large, self._open.has_lost)
            self.owed = self._open.recipients
        elif bdat.is_kept:
            assert event == EndOfChunk() or self._is_conduct(event)
        else:
            lost = replies.CHUNK_LOST if self._open.has_lost else replies.TOO_LARGE
            assert event == Refused(lost) or self._is_conduct(event)

    # Commands.

    def _line(self) -> bytes:
        line, end, self._octets = self._octets.partition(b"\n")
        assert end, "the line is not whole yet"
        return line + end

    def _hears_command(self, event: Event) -> None:
        if self._bdat:
            self._ends_chunk(self._bdat, event)
            return
        line = self._line()
        bdat = None
        if len(line) <= self._limits.line_octets and line.endswith(b"\r\n"):
            bdat = self._begun_bdat(line[:-2])
        if bdat:
            self._ends_chunk(bdat, event)
            return
        # What follows an unreadable BDAT may be content.
        self._closes = line[:4].upper() == b"BDAT"
        if not self._is_conduct(event):
            self._is_legal(line, event)

    def _is_legal(self, line: bytes, event: Event) -> None:
        if len(line) > self._limits.line_octets:
            assert event == Refused(replies.LINE_TOO_LONG)
        elif not line.endswith(b"\r\n"):
            assert event == Refused(replies.BARE_LINE_FEED)
        elif _bad_line(line[:-2]):
            assert event == Refused(replies.BAD_OCTETS)
        else:
            verb, _, argument = line[:-2].decode().partition(" ")
            self._is_turn(verb.upper() if verb.isascii() else verb, argument.strip(" "), event)

    def _is_turn(self, verb: str, argument: str, event: Event) -> None:
        refusal = self._refusal(verb)
        if verb == "BDAT" or (verb in _BARE and argument):
            assert event == Refused(replies.BAD_SYNTAX)
        elif verb in ("HELO", "EHLO"):
            assert event == Refused(replies.HELLO_IS_LHLO)
        elif verb in _HTTP:
            assert event == Refused(replies.NOT_HTTP)
        elif verb not in _VERBS or (verb == "XFORWARD" and not self._extensions.xforward):
            assert event == Refused(replies.UNKNOWN_COMMAND)
        elif isinstance(event, Refused) and event.reply in _SYNTAX:
            assert verb not in _BARE | {"NOOP", "HELP"}
        else:
            assert event == Refused(refusal) if refusal else type(event) is _VERBS[verb]

    def _refusal(self, verb: str) -> Reply | None:
        """What a command hears that is out of its turn (RFC 5321 4.1.4)."""
        mail, is_chunked = self.transaction, bool(self.transaction and self.transaction.is_chunked)
        recipients = mail.recipients if mail else 0
        needs_recipient = verb in ("DATA", "BDAT")
        rules = (
            (verb == "STARTTLS" and self.under_tls, replies.TLS_ALREADY),
            (verb == "STARTTLS" and not self._extensions.starttls, replies.TLS_UNAVAILABLE),
            (
                self._needs_tls and not self.under_tls and verb not in _FOR_EVERYBODY,
                replies.TLS_FIRST,
            ),
            (verb in _AFTER_LHLO and not self._has_said_lhlo, replies.LHLO_FIRST),
            (verb == "MAIL" and mail, replies.MAIL_TWICE),
            (verb == "XFORWARD" and mail, replies.XFORWARD_LATE),
            (verb in ("RCPT", "DATA") and is_chunked, replies.CHUNKS_BEGUN),
            ((verb == "RCPT" or needs_recipient) and not mail, replies.MAIL_FIRST),
            (verb == "RCPT" and recipients >= self._limits.recipients, replies.TOO_MANY_RECIPIENTS),
            (needs_recipient and not recipients, replies.RCPT_FIRST),
            (
                verb == "DATA" and mail and mail.mail.body is BodyType.BINARY_MIME,
                replies.BINARY_NEEDS_BDAT,
            ),
        )
        return next((reply for is_broken, reply in rules if is_broken), None)

    def _is_conduct(self, event: Event) -> bool:
        """Whether it is the end of a session that was too long without a mail."""
        if not isinstance(event, Refused) or event.reply not in _CONDUCT:
            return False
        limits = self._limits
        assert self.commands > min(limits.errors, limits.noops, limits.commands)
        return True


def _bad_line(line: bytes) -> bool:
    """Octets that no command holds: controls, and what is no UTF-8 (RFC 6531 3.3)."""
    try:
        return _CONTROL.search(line.decode()) is not None
    except UnicodeDecodeError:
        return True
