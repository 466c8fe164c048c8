"""Any bytes in any cut give the same, legal replies, and no octet of a message is ever a command.

All that is asked for is granted, every message is delivered, and each step is compared with a model
of LMTP (tests/support/watched.py). Scripts are made of lines that clients send, of lines that
attackers send, of texts and of chunks, in any order; pure noise is tried too.
"""

from __future__ import annotations

import re
from itertools import repeat

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lmtpd.protocol import events, replies
from lmtpd.protocol.events import Chunk, Data, EndOfChunk, EndOfData, Event, Gone, Refused, StartTls
from lmtpd.protocol.extensions import Extensions
from lmtpd.protocol.limits import Limits
from lmtpd.protocol.reply import Reply
from tests.support.conversation import HANDSHAKE, cut
from tests.support.watched import WatchedConversation, converse

LIMITS = Limits(message_octets=60, recipients=3, line_octets=80)
ROOMY = Limits(message_octets=100_000)
IN_CLEAR = Extensions(starttls=False, dsn=True)
WITH_TLS = Extensions(starttls=True)

REPLY_LINES = re.compile(
    rb"(?:[2-5][0-9]{2}-(?:[245]\.\d+\.\d+ )?[^\r\n]*\r\n)*"
    rb"[2-5][0-9]{2} (?:[245]\.\d+\.\d+ )?[^\r\n]*\r\n"
)


# What clients say.

VALID = st.sampled_from(
    [
        b"LHLO client.example",
        b"MAIL FROM:<>",
        b"MAIL FROM:<alice@example.org> SIZE=10 BODY=8BITMIME",
        b"MAIL FROM:<alice@example.org> BODY=BINARYMIME SMTPUTF8",
        b"RCPT TO:<bob@example.org>",
        b'RCPT TO:<"b> o\\"b"@example.org> NOTIFY=NEVER ORCPT=rfc822;a+40b',
        "RCPT TO:<b\u00fc@b\u00fccher.example>".encode(),
        b"DATA",
        b"RSET",
        b"NOOP",
        b"HELP",
        b"VRFY alice",
        b"EXPN list SMTPUTF8",
        b"XFORWARD NAME=client.example ADDR=192.0.2.1",
        b"STARTTLS",
    ]
)
SECURED = st.just(b"STARTTLS\r\nRSET\r\n" + HANDSHAKE)
HOSTILE = st.one_of(
    st.sampled_from(
        [
            b"",
            b"QUIT now",
            b"EHLO client.example",
            b"BDAT 5 LOST",
            b"MAIL FROM:<a@x> SIZE=1_000",
            b"MAIL FROM:<a b@x> AUTH=<>",
            b"MAIL FROM:alice",
            b"MAIL FROM:<" + b"a" * 60 + b">",
            b"RCPT TO:<>",
            b"RCPT TO:<a@x> ORCPT=a+0D+0AQUIT",
            b"DATA\nQUIT",
            b"NOOP\rQUIT",
            b"a" * 200,
            b"." * 100,
            b".",
        ]
    ),
    st.binary(max_size=20),
    st.text(max_size=20).map(str.encode),
)
LINE = st.builds(lambda line, end: line + end, VALID, st.just(b"\r\n"))
WRONG_LINE = st.builds(lambda line, end: line + end, HOSTILE, st.sampled_from([b"\r\n", b"\n"]))
FRAGMENTS = [b"QUIT\r\n", b"NOOP\r\n", b"BDAT 3\r\n", b"STARTTLS\r\n", b"a", b".", b"\0\xff"]
ENDS = [b"\r\n", b"\r", b"\n", b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r"]
CONTENT = st.lists(
    st.sampled_from(FRAGMENTS) | st.sampled_from(ENDS) | st.binary(max_size=6), max_size=12
).map(b"".join)


def stuffed(content: bytes) -> bytes:
    """Behind DATA, with the end (RFC 5321 4.5.2)."""
    lines = content.split(b"\r\n")
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)


def chunk(content: bytes, is_last: bool, lie: int = 0) -> bytes:
    """A BDAT and its octets; a lie moves the place where the next command is looked for."""
    size = max(len(content) + lie, 0)
    return b"BDAT %d%s\r\n" % (size, b" LAST" if is_last else b"") + content


OPENING = st.just(b"LHLO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\n")
TEXT = CONTENT.map(lambda content: b"DATA\r\n" + stuffed(content) + b"\r\n.\r\n")
CHUNK = st.builds(chunk, CONTENT, st.booleans(), st.sampled_from([0, 0, 0, -1, 3, 10**15]))
SCRIPT = st.lists(st.one_of(LINE, OPENING, TEXT, CHUNK, WRONG_LINE, SECURED), max_size=12).map(
    b"".join
)
SIZES = st.lists(st.integers(1, 40), max_size=30)
NOISE = st.binary(max_size=300) | st.text("LHOMAIRCPTDBQU \r\n.:<>@", max_size=300).map(str.encode)


@given(SCRIPT | NOISE, SIZES, st.sampled_from([IN_CLEAR, WITH_TLS]), st.booleans())
@settings(max_examples=350)
@example(b"a" * 79 + b"\r\nNOOP\r\n", [79, 1], IN_CLEAR, False)
@example(b"a" * 78 + b"\r\nNOOP\r\n", [79, 1], IN_CLEAR, False)
@example(b"a" * 80 + b"BDAT" * 20 + b"\r\nNOOP\r\n", [80, 80], IN_CLEAR, False)
@example(b"BDAT" * 40 + b"\r\nNOOP\r\n", [80, 80], IN_CLEAR, False)
@example(b"STARTTLS\r\nNOOP\r\n" + HANDSHAKE + b"RSET\r\n", [12], WITH_TLS, True)
def test_any_cut_gives_the_same_events_and_replies(
    octets: bytes, sizes: list[int], extensions: Extensions, needs_tls: bool
) -> None:
    whole = converse(octets, [], LIMITS, extensions, needs_tls=needs_tls)
    pieces = converse(octets, sizes, LIMITS, extensions, needs_tls=needs_tls)
    assert pieces.essence == whole.essence
    assert pieces.said == whole.said
    assert pieces.dialogue.is_open == whole.dialogue.is_open


@given(SCRIPT)
@settings(max_examples=100)
def test_one_octet_after_the_other_gives_the_same(octets: bytes) -> None:
    whole = converse(octets, [], LIMITS, WITH_TLS)
    pieces = converse(octets, repeat(1), LIMITS, WITH_TLS)
    assert pieces.essence == whole.essence
    assert pieces.said == whole.said


@given(SCRIPT | NOISE, SIZES)
@settings(max_examples=250)
def test_any_bytes_get_legal_replies(octets: bytes, sizes: list[int]) -> None:
    """Nothing raises, every debt can be paid, and the end is Gone or a close."""
    conversation = converse(octets, sizes, LIMITS, WITH_TLS)
    dialogue = conversation.dialogue
    assert dialogue.owed == 0
    said = [reply.encode() for reply in conversation.said]
    assert all(REPLY_LINES.fullmatch(reply) for reply in said)
    assert all(len(line) <= 512 for reply in said for line in reply.splitlines(True))
    if dialogue.is_open:
        assert conversation.events[-1] == Gone()
    else:
        assert not isinstance(conversation.events[-1], Gone)


@given(SCRIPT, SIZES)
@settings(max_examples=150)
def test_a_message_is_within_its_limits(octets: bytes, sizes: list[int]) -> None:
    """No more recipients answered, and no more octets given, than the limits allow."""
    conversation = converse(octets, sizes, LIMITS, IN_CLEAR)
    given_octets = 0
    for event in conversation.events:
        match event:
            case Chunk(data):
                assert data
                given_octets += len(data)
                assert given_octets <= LIMITS.message_octets
            case events.Hello() | events.Reset() | EndOfData() | Data():
                given_octets = 0
            case Refused(reply):
                assert not reply.is_success


@given(st.lists(st.binary(min_size=1, max_size=50).filter(lambda one: b"\n" not in one)))
@settings(max_examples=100)
@example([b"a"] * 500)
@example([b"a" * 49] * 50)
def test_an_endless_line_does_not_fill_the_memory(pieces: list[bytes]) -> None:
    conversation = WatchedConversation(LIMITS, IN_CLEAR)
    for piece in pieces:
        conversation.hear(piece)
        assert len(conversation.dialogue._input) <= LIMITS.line_octets
    assert conversation.events == []
    conversation.hear(b"\r\nNOOP\r\n")
    assert isinstance(conversation.events[0], Refused | events.Noop | events.Help | events.Quit)
    # An unreadable BDAT ends the connection; then nobody reads what is left.
    assert not conversation.dialogue.is_open or len(conversation.dialogue._input) == 0


@given(CONTENT, SIZES, st.booleans())
@settings(max_examples=100)
def test_a_text_or_a_chunk_is_not_kept(content: bytes, sizes: list[int], is_accepted: bool) -> None:
    """What was received is given away or thrown away at once, the last few octets aside."""
    conversation = WatchedConversation(LIMITS, IN_CLEAR)
    conversation.hear(b"LHLO c\r\nMAIL FROM:<a@x>\r\n")
    conversation.hear(b"RCPT TO:<b@x>\r\n" if is_accepted else b"RCPT TO:<>\r\n")
    conversation.hear(b"BDAT 99999999999999999999\r\n")
    for piece in cut(content * 3, sizes):
        if piece:
            conversation.hear(piece)
        assert len(conversation.dialogue._input) == 0
    assert conversation.dialogue.owed == 0


@given(CONTENT, SIZES)
@settings(max_examples=150)
@example(b"\r\n.\rNOOP\r\n", [])
def test_content_of_data_is_never_an_event(content: bytes, sizes: list[int]) -> None:
    lines = content + b"\r\n"
    opening = b"LHLO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n"
    octets = opening + stuffed(lines) + b".\r\nHELP\r\n"
    conversation = converse(octets, sizes, ROOMY, WITH_TLS)
    assert conversation.essence[4:] == [
        Data(),
        Chunk(lines),
        EndOfData(),
        events.Help(),
        Gone(),
    ]
    assert conversation.said[5:7] == [replies.DELIVERED] * 2


@given(st.lists(CONTENT, min_size=1, max_size=4), SIZES)
@settings(max_examples=150)
def test_content_of_chunks_is_never_an_event(contents: list[bytes], sizes: list[int]) -> None:
    octets = b"LHLO c\r\nMAIL FROM:<a@x> BODY=BINARYMIME\r\nRCPT TO:<b@x>\r\n"
    expected: list[Event] = []
    for number, content in enumerate(contents, start=1):
        is_last = number == len(contents)
        octets += chunk(content, is_last)
        expected += [Chunk(content)] if content else []
        expected.append(EndOfData() if is_last else EndOfChunk())
    conversation = converse(octets + b"HELP\r\n", sizes, ROOMY, WITH_TLS)
    assert conversation.essence[3:] == [*expected, events.Help(), Gone()]


@given(
    CONTENT,
    st.sampled_from(
        [
            (b"", b"BDAT %d LAST\r\n", replies.LHLO_FIRST),
            (b"LHLO c\r\n", b"BDAT %d\r\n", replies.MAIL_FIRST),
            (b"LHLO c\r\nMAIL FROM:<>\r\n", b"BDAT %d LAST\r\n", replies.RCPT_FIRST),
            (b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a>\r\n", b"BDAT %d x\r\n", replies.BAD_SYNTAX),
        ]
    ),
    SIZES,
)
@settings(max_examples=150)
def test_content_of_refused_chunks_is_never_an_event(
    content: bytes, refused: tuple[bytes, bytes, Reply], sizes: list[int]
) -> None:
    before, bdat, reply = refused
    octets = before + bdat % len(content) + content + b"HELP\r\n"
    conversation = converse(octets, sizes, ROOMY, WITH_TLS)
    assert conversation.events[before.count(b"\r\n") :] == [Refused(reply), events.Help(), Gone()]


@given(CONTENT, SIZES)
@settings(max_examples=100)
def test_content_beyond_the_limit_is_never_an_event(content: bytes, sizes: list[int]) -> None:
    lines = b"x" * LIMITS.message_octets + content + b"\r\n"
    opening = b"LHLO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n"
    octets = opening + stuffed(lines) + b".\r\nHELP\r\n"
    conversation = converse(octets, sizes, LIMITS, WITH_TLS)
    heard = [event for event in conversation.events[4:] if not isinstance(event, Chunk)]
    assert heard == [EndOfData(is_too_large=True), events.Help(), Gone()]


@given(SCRIPT | NOISE)
@settings(max_examples=120)
def test_what_was_said_in_clear_behind_starttls_is_never_an_event(octets: bytes) -> None:
    in_clear = b"STARTTLS\r\n" + octets.replace(HANDSHAKE, b"")
    conversation = converse(in_clear, [], LIMITS, WITH_TLS)
    assert conversation.events == [StartTls(), Gone()]
