"""What the fuzzer tries: each target takes any octets, and raises if a promise is broken."""

from __future__ import annotations

from contextlib import suppress
from itertools import repeat

from lmtpd import proxy
from lmtpd.delivery.trace import (
    check_delivered_to,
    check_hops,
    header_section,
    without_return_path,
)
from lmtpd.failures import MailLoopError
from lmtpd.protocol import replies
from lmtpd.protocol.address import Address, AddressError
from lmtpd.protocol.command import CommandParser, UnboundedChunkError
from lmtpd.protocol.data import DataReader, NewlineConverter
from lmtpd.protocol.envelope import Recipient
from lmtpd.protocol.events import EndOfData, Quit, RcptTo, Refused
from lmtpd.protocol.extensions import Extensions
from lmtpd.protocol.limits import Limits
from tests.fuzz.answers import answers, path_of_a_bridge
from tests.support.conversation import cut
from tests.support.watched import WatchedConversation, converse

LIMITS = Limits(message_octets=1500, recipients=3, line_octets=200)
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
    _store(octets)


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
    path_of_a_bridge(octets)
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
    """As commands: what the model foretells, in any cut. As a message: no octet is a command."""
    whole = converse(octets, [], LIMITS, EXTENSIONS)
    for size in (1, 7):
        pieces = converse(octets, repeat(size), LIMITS, EXTENSIONS)
        assert pieces.said == whole.said, f"pieces of {size} octets give other replies"
        assert pieces.essence == whole.essence, f"pieces of {size} octets give other events"
    if len(octets) > LIMITS.message_octets // 2:
        return
    lines = octets + b"\r\n"
    stuffed = b"\r\n".join(b"." * (line[:1] == b".") + line for line in lines.split(b"\r\n"))
    for sent in (
        b"DATA\r\n" + stuffed + b".\r\n",
        b"BDAT %d LAST\r\n" % len(lines) + lines,
    ):
        heard = WatchedConversation(LIMITS, EXTENSIONS)
        heard.hear(OPENING + sent + b"QUIT\r\n")
        assert heard.content == lines, (heard.content, lines)
        assert heard.events[-2:] == [EndOfData(), Quit()], heard.events
        assert heard.said[-3:] == [replies.DELIVERED] * 2 + [replies.BYE]


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


def _store(octets: bytes) -> None:
    """What becomes of a message on its way to the disk, in any cut and line by line."""
    plain = octets.replace(b"\r\n", b"\n")
    for size in (len(octets) or 1, 1, 3):
        converter = NewlineConverter()
        pieces = [converter.feed(piece) for piece in cut(octets, repeat(size))]
        assert b"".join(pieces) + converter.finish() == plain, f"pieces of {size}"
    for text in (octets, plain):
        header = header_section(text)
        lines = _header_lines(text)
        assert header == b"".join(lines)
        assert without_return_path(header, text) == _less_return_path(lines) + text[len(header) :]
        with suppress(MailLoopError):
            check_hops(header)
            check_delivered_to(header, Recipient(Address("b", "x"), ("b@x",)))


def _header_lines(text: bytes) -> list[bytes]:
    """Up to the blank line, or to the last line that is whole."""
    lines = []
    while True:
        line, end, text = text.partition(b"\n")
        if not end or line in (b"", b"\r"):
            return lines
        lines.append(line + end)


def _less_return_path(lines: list[bytes]) -> bytes:
    kept, is_dropped = [], False
    for line in lines:
        name, colon, _ = line.partition(b":")
        is_folded = line[:1] in (b" ", b"\t")
        is_named = bool(colon) and name.rstrip(b" \t").lower() == b"return-path"
        is_dropped = is_dropped if is_folded else is_named
        if not is_dropped:
            kept.append(line)
    return b"".join(kept)


TARGETS = {
    "data": data,
    "command": command,
    "address": address,
    "dialogue": dialogue,
    "proxy": proxy_header,
    "answers": answers,
}
