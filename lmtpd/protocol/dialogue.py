"""Dialogue: the state machine of one connection, and the only owner of its input buffer.

What may come when, how many replies are owed, where a message ends: all of it is decided here and
nowhere else. The dialogue gives events and takes replies; it refuses to go on while a reply is
owed, so that no reply can be forgotten, doubled or sent to the wrong transaction.
"""

from __future__ import annotations

import enum

from . import replies
from .command import Bdat, CommandParser, UnboundedChunkError
from .conduct import Conduct
from .data import DataReader
from .envelope import BodyType
from .events import (
    Chunk,
    Command,
    Data,
    EndOfChunk,
    EndOfData,
    Event,
    Gone,
    Hello,
    MailFrom,
    Noop,
    Quit,
    RcptTo,
    Refused,
    Reset,
    StartTls,
    XForward,
)
from .extensions import Extensions
from .inbuffer import InputBuffer
from .limits import Limits
from .reply import Reply


class LocalProtocolError(Exception):
    """We, not the peer, broke the order of the dialogue; a bug of the caller."""


class NeedData(enum.Enum):
    """The type of NEED_DATA."""

    NEED_DATA = enum.auto()


NEED_DATA = NeedData.NEED_DATA
"""No event before more bytes come; now is the time to flush replies and wait."""


class _Mode(enum.Enum):
    COMMAND = enum.auto()
    SKIPPING_LINE = enum.auto()
    TEXT = enum.auto()
    CHUNK = enum.auto()
    HANDSHAKE = enum.auto()


class _Transaction:
    """What MAIL opens and the last final reply, RSET, LHLO or STARTTLS ends; or that none is."""

    __slots__ = (
        "accepted",
        "has_lost_chunk",
        "is_binary",
        "is_chunked",
        "is_open",
        "is_too_large",
        "octets",
        "smtputf8",
    )

    def __init__(self, mail: MailFrom | None = None) -> None:
        self.is_open = mail is not None
        self.smtputf8 = mail is not None and mail.smtputf8
        self.is_binary = mail is not None and mail.body is BodyType.BINARY_MIME
        self.accepted = 0
        self.octets = 0
        self.is_chunked = False
        self.is_too_large = False
        self.has_lost_chunk = False

    @property
    def is_void(self) -> bool:
        """No message can come of it any more: the rest is read and thrown away."""
        return self.is_too_large or self.has_lost_chunk

    def take(self, octets: int, limit: int) -> bool:
        """Count octets of content; False if they are beyond the limit and must be thrown away."""
        self.octets += octets
        self.is_too_large = self.is_too_large or self.octets > limit
        return not self.is_too_large


class Dialogue:
    """The server's side of RFC 2033, fed with bytes of any cut."""

    __slots__ = (
        "_chunk",
        "_chunk_left",
        "_chunk_refusal",
        "_conduct",
        "_ends_after_reply",
        "_extensions",
        "_greeted_by_client",
        "_input",
        "_is_gone",
        "_is_open",
        "_limits",
        "_mode",
        "_needs_tls",
        "_owed",
        "_parser",
        "_pending",
        "_reader",
        "_transaction",
        "_under_tls",
        "has_quit",
    )

    def __init__(
        self,
        limits: Limits,
        extensions: Extensions,
        *,
        under_tls: bool = False,
        needs_tls: bool = False,
    ) -> None:
        """A dialogue that owes the greeting.

        Args:
            limits: what one client may ask for.
            extensions: what is offered.
            under_tls: the connection began with a handshake.
            needs_tls: nothing is to be had before STARTTLS.
        """
        self._limits = limits
        self._extensions = extensions
        self._parser = CommandParser.under(limits, extensions)
        self._conduct = Conduct(limits)
        self._input = InputBuffer()
        self._is_gone = False
        self._is_open = True
        self.has_quit = False
        """The client has said QUIT, and was answered: it says no more (RFC 5321 4.1.1.10)."""
        self._under_tls = under_tls
        self._needs_tls = needs_tls
        self._mode = _Mode.COMMAND
        self._pending: Event | None = None
        self._owed = 1  # the greeting
        self._ends_after_reply = False
        self._greeted_by_client = False
        self._transaction = _Transaction()
        self._reader = DataReader()
        self._chunk = Bdat(0, is_last=False)
        self._chunk_left = 0
        self._chunk_refusal: Reply | None = None

    @property
    def is_open(self) -> bool:
        """False once QUIT was answered or a closing reply was sent."""
        return self._is_open

    @property
    def owed(self) -> int:
        """Replies to send before the next event can be had."""
        return self._owed

    @property
    def is_between_transactions(self) -> bool:
        """Nothing would be lost or repeated if the connection ended now."""
        return not self._transaction.is_open and self._owed == 0

    @property
    def has_input(self) -> bool:
        """Whether the client has said more than was dealt with."""
        return len(self._input) > 0

    @property
    def is_in_transaction(self) -> bool:
        """MAIL was accepted, and the message has not ended."""
        return self._transaction.is_open

    @property
    def is_in_text(self) -> bool:
        """Between 354 and the final dot."""
        return self._mode is _Mode.TEXT

    @property
    def is_in_content(self) -> bool:
        """The same, or among the octets of a BDAT."""
        return self._mode is _Mode.TEXT or self._mode is _Mode.CHUNK

    @property
    def keywords(self) -> tuple[str, ...]:
        """What LHLO announces just now."""
        return self._extensions.keywords(self._limits, under_tls=self._under_tls)

    def receive(self, data: bytes) -> None:
        """Take what the transport gave; `b""` means that the peer is gone."""
        self._input.add(data)
        self._is_gone = self._is_gone or not data

    def next_event(self) -> Event | NeedData:
        """What the client said next.

        Raises:
            LocalProtocolError: replies are owed, or the handshake of STARTTLS is.
        """
        if self._owed or self._mode is _Mode.HANDSHAKE or not self._is_open:
            raise LocalProtocolError(f"{self._owed} replies owed to {self._pending}")
        event = self._read()
        if event is NEED_DATA:
            return Gone() if self._is_gone else NEED_DATA
        if not isinstance(event, Chunk):
            end = self._conduct.judge(event)
            if end:
                event = Refused(end)
            self._pending = event
            self._owed = self._transaction.accepted if isinstance(event, EndOfData) else 1
        return event

    def send(self, reply: Reply) -> bytes:
        """Say a reply; our own words pass the same state machine.

        Raises:
            LocalProtocolError: no reply is owed. 421 may be said at any time (RFC 5321 3.8).
        """
        if reply.code == replies.SHUTTING_DOWN.code:
            self._is_open, self._owed = False, 0
            return reply.encode()
        if not self._owed:
            raise LocalProtocolError(f"no reply is owed, so not: {reply}")
        self._owed -= 1
        self._settle(reply)
        return reply.encode()

    def tls_started(self) -> None:
        """Forget everything that was said in clear (RFC 3207 4.2)."""
        if self._mode is not _Mode.HANDSHAKE:
            raise LocalProtocolError("no handshake was agreed on")
        self._mode = _Mode.COMMAND
        self._input.take()
        self._under_tls = True
        self._greeted_by_client = False
        self._transaction = _Transaction()

    # What comes in.

    def _read(self) -> Event | NeedData:
        match self._mode:
            case _Mode.TEXT:
                return self._read_text()
            case _Mode.CHUNK:
                return self._read_chunk()
            case _:
                return self._read_command()

    def _read_command(self) -> Event | NeedData:
        line = self._input.line()
        if line is None:
            if len(self._input) >= self._limits.line_octets:
                begun = self._input.take()  # an endless line must not fill the memory
                if self._mode is _Mode.COMMAND:
                    self._judge_unreadable(begun)
                self._mode = _Mode.SKIPPING_LINE
            return NEED_DATA
        if self._mode is _Mode.SKIPPING_LINE:
            self._mode = _Mode.COMMAND
            return Refused(replies.LINE_TOO_LONG)
        command: Event | NeedData
        if len(line) > self._limits.line_octets:
            command = Refused(replies.LINE_TOO_LONG)
        elif not line.endswith(b"\r\n"):
            command = Refused(replies.BARE_LINE_FEED)  # RFC 5321 2.3.8
        else:
            return self._parse(line[:-2])
        self._judge_unreadable(line)
        return command

    def _judge_unreadable(self, line: bytes) -> None:
        """What follows an unreadable BDAT may be content: to go on would be to run it."""
        if line[:4].upper() == b"BDAT":
            self._ends_after_reply = True

    def _parse(self, line: bytes) -> Event | NeedData:
        try:
            command = self._parser.parse(line, smtputf8=self._transaction.smtputf8)
        except UnboundedChunkError:
            command = Refused(replies.BAD_SYNTAX)
        if isinstance(command, Bdat):
            self._begin_chunk(command)
            return self._read_chunk()
        if isinstance(command, Refused):
            self._judge_unreadable(line)
            return command
        refusal = self._refusal(command)
        return Refused(refusal) if refusal else command

    def _refusal(self, command: Command) -> Reply | None:
        """The reply to a command that is out of its turn (RFC 5321 4.1.4), if it is."""
        transaction = self._transaction
        match command:
            case Hello() | Noop() | Quit():
                return None
            case StartTls():
                return self._tls_refusal()
            case _ if self._lacks_tls:
                return replies.TLS_FIRST
            case MailFrom() | RcptTo() | Data() | XForward() if not self._greeted_by_client:
                return replies.LHLO_FIRST
            case XForward() if transaction.is_open:
                return replies.XFORWARD_LATE
            case MailFrom() if transaction.is_open:
                return replies.MAIL_TWICE
            case RcptTo() | Data() if transaction.is_chunked:
                return replies.CHUNKS_BEGUN
            case RcptTo() if transaction.accepted >= self._limits.recipients:
                return replies.TOO_MANY_RECIPIENTS
            case RcptTo():
                return None if transaction.is_open else replies.MAIL_FIRST
            case Data():
                return self._data_refusal()
            case _:
                return None

    def _data_refusal(self) -> Reply | None:
        if not self._transaction.is_open:
            return replies.MAIL_FIRST
        if not self._transaction.accepted:
            return replies.RCPT_FIRST  # RFC 2033 4.2: 503, and no text follows
        return replies.BINARY_NEEDS_BDAT if self._transaction.is_binary else None  # RFC 3030 3

    @property
    def _lacks_tls(self) -> bool:
        """RFC 3207 4: only NOOP, LHLO, STARTTLS and QUIT are for everybody."""
        return self._needs_tls and not self._under_tls

    def _tls_refusal(self) -> Reply | None:
        if self._under_tls:
            return replies.TLS_ALREADY
        return None if self._extensions.starttls else replies.TLS_UNAVAILABLE

    def _read_text(self) -> Event | NeedData:
        transaction = self._transaction
        while self._reader.rest is None:
            if not self._input:
                return NEED_DATA
            content = self._reader.feed(self._input.take())
            if transaction.take(len(content), self._limits.message_octets) and content:
                return Chunk(content)
        self._input.add(self._reader.rest)
        self._reader = DataReader()  # else what came behind the text is kept until the next one
        self._mode = _Mode.COMMAND
        return EndOfData(transaction.is_too_large)

    def _begin_chunk(self, chunk: Bdat) -> None:
        """RFC 3030 2: the octets follow at once, whatever becomes of them."""
        self._mode = _Mode.CHUNK
        self._chunk, self._chunk_left = chunk, chunk.size
        self._chunk_refusal = self._bdat_refusal(chunk)
        if self._transaction.is_open:
            self._transaction.is_chunked = True
            self._transaction.has_lost_chunk |= self._chunk_refusal is not None
            self._transaction.take(chunk.size, self._limits.message_octets)

    def _bdat_refusal(self, chunk: Bdat) -> Reply | None:
        if self._lacks_tls:
            return replies.TLS_FIRST
        if not self._greeted_by_client:
            return replies.LHLO_FIRST
        if not self._transaction.is_open:
            return replies.MAIL_FIRST
        if not self._transaction.accepted:
            return replies.RCPT_FIRST
        return replies.BAD_SYNTAX if chunk.is_malformed else None

    def _read_chunk(self) -> Event | NeedData:
        if self._chunk_left and not self._input:
            return NEED_DATA
        octets = self._input.take(self._chunk_left)
        self._chunk_left -= len(octets)
        if octets and not self._chunk_refusal and not self._transaction.is_void:
            return Chunk(octets)
        return NEED_DATA if self._chunk_left else self._end_chunk()

    def _end_chunk(self) -> Event:
        self._mode = _Mode.COMMAND
        if self._chunk_refusal:
            return Refused(self._chunk_refusal)
        transaction = self._transaction
        if self._chunk.is_last:
            return EndOfData(transaction.is_too_large, transaction.has_lost_chunk)
        if transaction.has_lost_chunk:
            return Refused(replies.CHUNK_LOST)
        return Refused(replies.TOO_LARGE) if transaction.is_too_large else EndOfChunk()

    # What goes out.

    def _settle(self, reply: Reply) -> None:
        """A reply changes the state: nothing is true before it was said."""
        if self._pending is None and not reply.is_success:
            self._is_open = False  # the greeting was a refusal (RFC 5321 3.1)
        self._is_open = self._is_open and not self._ends_after_reply
        match self._pending:
            case EndOfData() if not self._owed:
                self._transaction = _Transaction()
            case Quit():
                self._is_open, self.has_quit = False, True
            case Data() if reply.code == replies.START_MAIL.code:
                self._mode = _Mode.TEXT
            case event if event is not None and reply.is_success:
                self._succeeded(event)

    def _succeeded(self, event: Event) -> None:
        match event:
            case Hello():
                self._greeted_by_client, self._transaction = True, _Transaction()
            case MailFrom():
                self._transaction = _Transaction(event)
            case RcptTo():
                self._transaction.accepted += 1
            case Reset():
                self._transaction = _Transaction()
            case StartTls():
                # What the client sent in clear behind STARTTLS may be an attacker's: CVE-2011-0411.
                self._input.take()
                self._mode = _Mode.HANDSHAKE
