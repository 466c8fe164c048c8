"""What the fuzzer tries: each target takes any octets, and raises if a promise is broken."""

from __future__ import annotations

from lmtpd import proxy
from lmtpd.protocol import events, replies
from lmtpd.protocol.address import Address, AddressError
from lmtpd.protocol.command import CommandParser, UnboundedChunkError
from lmtpd.protocol.data import DataReader
from lmtpd.protocol.dialogue import NEED_DATA, Dialogue
from lmtpd.protocol.events import Chunk, EndOfData, Event, Gone, Quit, RcptTo, Refused, StartTls
from lmtpd.protocol.extensions import Extensions
from lmtpd.protocol.limits import Limits
from lmtpd.protocol.reply import Reply
from tests.support.usual_replies import USUAL_REPLIES

LIMITS = Limits(message_octets=5000, recipients=3, line_octets=200)
EXTENSIONS = Extensions(starttls=True, dsn=True)
OPENING = b"LHLO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nRCPT TO:<c@x>\r\n"


def data(octets: bytes, reader: type[DataReader] = DataReader) -> None:
    """In any cut the text is what a reader line by line finds (RFC 5321 4.5.2)."""
    content, rest = _by_lines(octets)
    for size in (len(octets) or 1, 1, 2, 3, 5):
        read, behind = _read(reader(), octets, size)
        assert behind == rest, f"pieces of {size}: behind the end {behind!r}, not {rest!r}"
        if rest is None:
            assert content.startswith(read), f"pieces of {size}: {read!r}, not {content!r}"
        else:
            assert read == content, f"pieces of {size}: {read!r}, not {content!r}"


def command(octets: bytes) -> None:
    """A line is a command or deserves a reply; that the same line again is read alike."""
    line = octets.partition(b"\n")[0]
    for smtputf8 in (False, True):
        try:
            first = CommandParser(LIMITS, EXTENSIONS).parse(line, smtputf8=smtputf8)
        except UnboundedChunkError:
            assert line[:4].upper() == b"BDAT"
            continue
        assert first == CommandParser(LIMITS, EXTENSIONS).parse(line, smtputf8=smtputf8)
        if isinstance(first, Refused):
            assert first.reply.code >= 400
        elif isinstance(first, RcptTo):
            assert str(first.address).isprintable() or not line.isascii()


def address(octets: bytes) -> None:
    """What was read is spelled in one way, which reads as the same and breaks no line."""
    try:
        read = Address.parse(octets.decode("utf-8", "replace"))
    except AddressError:
        return
    assert not set("\r\n\0") & set(str(read))
    # Quotes and A-labels may be longer than what the client wrote.
    if len(str(read).encode()) + 2 <= 256:
        assert Address.parse(str(read)) == read


def proxy_header(octets: bytes) -> None:
    """A header has a length within the bound and a client, or is refused as one."""
    try:
        size = proxy.length(octets)
        assert size is None or 0 < size <= proxy.MOST_OCTETS
        if size is not None and size <= len(octets):
            assert proxy.length(octets[:size]) == size
            proxy.client(octets[:size])
    except proxy.ProxyError:
        return


def dialogue(octets: bytes) -> None:
    """As commands: the same in any cut. As a message: not one octet is a command."""
    whole = _converse(octets, len(octets) or 1)
    for size in (1, 7):
        assert _converse(octets, size) == whole, f"pieces of {size} octets give other replies"
    if len(octets) > LIMITS.message_octets // 2:
        return
    lines = octets + b"\r\n"
    stuffed = b"\r\n".join(b"." * (line[:1] == b".") + line for line in lines.split(b"\r\n"))
    for sent in (
        b"DATA\r\n" + stuffed + b".\r\n",
        b"BDAT %d LAST\r\n" % len(lines) + lines,
    ):
        heard = _Conversation()
        heard.hear(OPENING + sent + b"QUIT\r\n")
        assert heard.text == lines, (heard.text, lines)
        assert [type(event) for event in heard.heard[-2:]] == [EndOfData, Quit], heard.heard


class _Conversation:
    """A client to which all is granted."""

    def __init__(self) -> None:
        self.dialogue = Dialogue(LIMITS, EXTENSIONS)
        self.dialogue.send(replies.GREETING)
        self.heard: list[Event] = []
        self.said: list[bytes] = []
        self.text = b""

    def hear(self, octets: bytes) -> None:
        if not self.dialogue.is_open:
            return
        self.dialogue.receive(octets)
        while self.dialogue.is_open:
            event = self.dialogue.next_event()
            if event is NEED_DATA:
                return
            if isinstance(event, Chunk):
                assert self.dialogue.owed == 0
                self.text += event.data
                continue
            self.heard.append(event)
            if isinstance(event, Gone):
                return
            assert 0 < self.dialogue.owed <= LIMITS.recipients
            while self.dialogue.owed:
                self.said.append(self.dialogue.send(_answer(event)))
            if isinstance(event, StartTls):
                self.dialogue.tls_started()


def _answer(event: Event) -> Reply:
    match event:
        case Refused(reply):
            return reply
        case EndOfData(is_too_large=True):
            return replies.TOO_LARGE
        case EndOfData(has_lost_chunk=has_lost):
            return replies.CHUNK_LOST if has_lost else replies.DELIVERED
    return USUAL_REPLIES[type(event)]


def _converse(octets: bytes, size: int) -> tuple[list[bytes], list[events.Event]]:
    # What stands behind STARTTLS in clear is dropped, and how much that is depends on the cut.
    octets = octets.upper().partition(b"STARTTLS")[0] if b"STARTTLS" in octets.upper() else octets
    conversation = _Conversation()
    for at in range(0, len(octets), size):
        conversation.hear(octets[at : at + size])
    conversation.hear(b"")
    return conversation.said, conversation.heard


def _read(reader: DataReader, octets: bytes, size: int) -> tuple[bytes, bytes | None]:
    read = b""
    for at in range(0, len(octets), size):
        read += reader.feed(octets[at : at + size])
        if reader.rest is not None:
            return read, reader.rest + octets[at + size :]
    return read, None


def _by_lines(octets: bytes) -> tuple[bytes, bytes | None]:
    """The text, and what is behind its end: slow, and plainly what the RFC says."""
    content = b""
    while True:
        line, end, octets = octets.partition(b"\r\n")
        if end and line == b".":
            return content, octets
        content += line.removeprefix(b".") + end
        if not end:
            return content, None


TARGETS = {
    "data": data,
    "command": command,
    "address": address,
    "dialogue": dialogue,
    "proxy": proxy_header,
}
