"""The state machine of a connection: what was said, and the reply that must come.

Most tests are scripts: what the client sends, and the replies to it in order. The decisions that
are not the dialogue's (does the mailbox exist, was it delivered) are made in one fixed way.
"""

from __future__ import annotations

import pytest

from lmtpd.protocol import events, replies
from lmtpd.protocol.address import Address
from lmtpd.protocol.dialogue import NEED_DATA, Dialogue, LocalProtocolError
from lmtpd.protocol.envelope import BodyType
from lmtpd.protocol.events import Chunk, EndOfChunk, EndOfData, Gone, MailFrom, Refused
from lmtpd.protocol.extensions import Extensions
from lmtpd.protocol.limits import Limits
from lmtpd.protocol.reply import Reply
from tests.support.conversation import Conversation, answer
from tests.support.usual_replies import USUAL_REPLIES
from tests.support.watched import octets_held

LIMITS = Limits(message_octets=100, recipients=3, line_octets=64)

LHLO, MAIL, RCPT = b"LHLO client\r\n", b"MAIL FROM:<a@x>\r\n", b"RCPT TO:<b@x>\r\n"
BINARY = b"MAIL FROM:<a@x> BODY=BINARYMIME\r\n"
UNKNOWN = b"RCPT TO:<nobody@x>\r\n"
DATA, RSET, NOOP, QUIT = b"DATA\r\n", b"RSET\r\n", b"NOOP\r\n", b"QUIT\r\n"
STARTTLS = b"STARTTLS\r\n"
OPEN = LHLO + MAIL + RCPT

Script = list[tuple[bytes, tuple[Reply, ...]]]


def greeted(octets: bytes, extensions: Extensions | None = None) -> Conversation:
    conversation = Conversation(LIMITS, extensions)
    conversation.hear(octets)
    return conversation


OK = (replies.HELLO, replies.MAIL_OK, replies.RCPT_OK)
SCRIPTS: list[tuple[str, Script]] = [
    (
        "a message",
        [
            (LHLO, (replies.HELLO,)),
            (MAIL, (replies.MAIL_OK,)),
            (RCPT, (replies.RCPT_OK,)),
            (DATA, (replies.START_MAIL,)),
            (b"hello\r\n.\r\n", (replies.DELIVERED,)),
            (QUIT, (replies.BYE,)),
        ],
    ),
    (
        "all of it at once",
        [
            (OPEN + DATA, (*OK, replies.START_MAIL)),
            (
                b".\r\n" + MAIL + RCPT + NOOP,
                (replies.DELIVERED, replies.MAIL_OK, replies.RCPT_OK, replies.NOTHING_DONE),
            ),
        ],
    ),
    (
        "one reply for each recipient, equal ones included",
        [
            (LHLO + MAIL + RCPT + UNKNOWN + RCPT, (*OK, replies.UNKNOWN_RECIPIENT, OK[-1])),
            (DATA + b".\r\n", (replies.START_MAIL, replies.DELIVERED, replies.DELIVERED)),
        ],
    ),
    (
        "the same over BDAT",
        [
            (LHLO + MAIL + RCPT + UNKNOWN + RCPT, (*OK, replies.UNKNOWN_RECIPIENT, OK[-1])),
            (b"BDAT 2 LAST\r\nhi", (replies.DELIVERED, replies.DELIVERED)),
        ],
    ),
    (
        "questions at any time",
        [
            (NOOP + b"HELP\r\nVRFY a\r\n", (replies.NOTHING_DONE, replies.HELP, replies.VERIFIED)),
            (b"EXPN a\r\n" + RSET, (replies.VERIFIED, replies.RESET)),
            (OPEN + b"EXPN a\r\nHELP\r\n", (*OK, replies.VERIFIED, replies.HELP)),
            (NOOP + DATA + b".\r\n", (replies.NOTHING_DONE, replies.START_MAIL, replies.DELIVERED)),
        ],
    ),
    (
        "lhlo comes first",
        [
            (MAIL + RCPT + DATA, (replies.LHLO_FIRST,) * 3),
            (b"XFORWARD NAME=a\r\n", (replies.LHLO_FIRST,)),
            (b"BDAT 6\r\nNOOP\r\nBDAT 0 LAST\r\n", (replies.LHLO_FIRST,) * 2),
            (b"EHLO a\r\nHELO a\r\n", (replies.HELLO_IS_LHLO,) * 2),
            (MAIL + LHLO + MAIL, (replies.LHLO_FIRST, replies.HELLO, replies.MAIL_OK)),
        ],
    ),
    (
        "mail comes before rcpt, data and bdat",
        [
            (LHLO + RCPT + DATA, (replies.HELLO, replies.MAIL_FIRST, replies.MAIL_FIRST)),
            (b"BDAT 6 LAST\r\nNOOP\r\n", (replies.MAIL_FIRST,)),
        ],
    ),
    ("mail twice", [(LHLO + MAIL + MAIL, (*OK[:2], replies.MAIL_TWICE))]),
    (
        "rcpt before data",
        [(LHLO + MAIL + DATA + NOOP, (*OK[:2], replies.RCPT_FIRST, USUAL_REPLIES[events.Noop]))],
    ),
    (
        "all recipients refused: no text is expected",
        [
            (LHLO + MAIL + UNKNOWN * 2, (*OK[:2], *(replies.UNKNOWN_RECIPIENT,) * 2)),
            (DATA + NOOP, (replies.RCPT_FIRST, replies.NOTHING_DONE)),
            (RCPT + DATA, (replies.RCPT_OK, replies.START_MAIL)),
        ],
    ),
    (
        "all recipients refused: octets of bdat are swallowed",
        [
            (LHLO + MAIL + UNKNOWN, (*OK[:2], replies.UNKNOWN_RECIPIENT)),
            (b"BDAT 6\r\nNOOP\r\nBDAT 6 LAST\r\nQUIT\r\n", (replies.RCPT_FIRST,) * 2),
            (NOOP, (replies.NOTHING_DONE,)),
        ],
    ),
    (
        "the transaction ends with its last reply",
        [
            (OPEN + DATA + b".\r\n", (*OK, replies.START_MAIL, replies.DELIVERED)),
            (RCPT + DATA, (replies.MAIL_FIRST,) * 2),
            (MAIL + RCPT, (replies.MAIL_OK, replies.RCPT_OK)),
            (b"BDAT 0 LAST\r\n" + DATA, (replies.DELIVERED, replies.MAIL_FIRST)),
        ],
    ),
    ("rset ends it", [(OPEN + RSET + RCPT, (*OK, replies.RESET, replies.MAIL_FIRST))]),
    ("lhlo ends it", [(OPEN + LHLO + RCPT, (*OK, replies.HELLO, replies.MAIL_FIRST))]),
    (
        "a refused rset or lhlo ends nothing",
        [
            (
                OPEN + b"RSET x\r\nLHLO\r\n" + DATA,
                (*OK, *(replies.BAD_SYNTAX,) * 2, USUAL_REPLIES[events.Data]),
            )
        ],
    ),
    (
        "a refused mail opens nothing",
        [
            (LHLO + b"MAIL FROM:<> SIZE=101\r\n", (replies.HELLO, replies.TOO_LARGE)),
            (RCPT, (replies.MAIL_FIRST,)),
            (b"MAIL FROM:<> SIZE=100\r\n", (replies.MAIL_OK,)),
        ],
    ),
    (
        "too many recipients",
        [
            (LHLO + MAIL + RCPT * 5, (*OK, *OK[2:] * 2, *(replies.TOO_MANY_RECIPIENTS,) * 2)),
            (DATA + b".\r\n", (replies.START_MAIL, *(replies.DELIVERED,) * 3)),
        ],
    ),
    (
        "refused recipients do not count",
        [
            (LHLO + MAIL + UNKNOWN * 3, (*OK[:2], *(replies.UNKNOWN_RECIPIENT,) * 3)),
            (RCPT * 4, (*(replies.RCPT_OK,) * 3, replies.TOO_MANY_RECIPIENTS)),
        ],
    ),
    (
        "chunks",
        [
            (OPEN + b"BDAT 4\r\n\r\n.\r", (*OK, replies.CHUNK_OK)),
            (b"BDAT 0\r\n", (replies.CHUNK_OK,)),
            (b"BDAT 7 LAST\r\n\nNOOP\r\n" + NOOP, (replies.DELIVERED, replies.NOTHING_DONE)),
        ],
    ),
    (
        "between chunks only bdat and rset go on",
        [
            (OPEN + b"BDAT 1\r\na", (*OK, replies.CHUNK_OK)),
            (RCPT + DATA, (replies.CHUNKS_BEGUN,) * 2),
            (MAIL, (replies.MAIL_TWICE,)),
            (b"XFORWARD NAME=a\r\n", (replies.XFORWARD_LATE,)),
            (NOOP, (replies.NOTHING_DONE,)),
            (b"BDAT 1\r\nb", (replies.CHUNK_OK,)),
            (RSET + DATA, (replies.RESET, replies.MAIL_FIRST)),
            (MAIL + RCPT + DATA, (replies.MAIL_OK, replies.RCPT_OK, replies.START_MAIL)),
        ],
    ),
    (
        "binarymime goes with bdat only",
        [
            (LHLO + BINARY + DATA, (*OK[:2], replies.RCPT_FIRST)),
            (RCPT + DATA, (replies.RCPT_OK, replies.BINARY_NEEDS_BDAT)),
            (b"BDAT 4 LAST\r\n\r\0\n\xff", (replies.DELIVERED,)),
        ],
    ),
    (
        "a chunk that is refused is swallowed",
        [
            (
                OPEN + b"BDAT 12 LOST\r\nNOOP\r\nQUIT\r\n" + NOOP,
                (*OK, replies.BAD_SYNTAX, USUAL_REPLIES[events.Noop]),
            ),
            (RSET, (replies.RESET,)),
        ],
    ),
    (
        "an unreadable number of octets ends the connection",
        [(OPEN + b"BDAT LAST\r\nNOOP\r\n" + NOOP, (*OK, replies.BAD_SYNTAX))],
    ),
    (
        "the same before lhlo",
        [(b"BDAT " + b"9" * 21 + b" LAST\r\nNOOP\r\n", (replies.BAD_SYNTAX,))],
    ),
    (
        "more octets than any machine holds",
        [(OPEN + b"BDAT " + b"9" * 20 + b"\r\n" + NOOP * 100, OK), (NOOP, ())],
    ),
    (
        "too large over data: read to the true end, then 552 for each",
        [
            (OPEN + RCPT + DATA, (*OK, replies.RCPT_OK, replies.START_MAIL)),
            (b"a" * 101 + b"\r\nNOOP\r\n\n.\r\nQUIT\r\n", ()),
            (b".\r\n" + NOOP, (replies.TOO_LARGE, replies.TOO_LARGE, replies.NOTHING_DONE)),
            (MAIL, (replies.MAIL_OK,)),
        ],
    ),
    (
        "too large over bdat, in the last chunk",
        [
            (OPEN + RCPT, (*OK, replies.RCPT_OK)),
            (b"BDAT 99\r\n" + b"a" * 99, (replies.CHUNK_OK,)),
            (
                b"BDAT 2 LAST\r\naa" + NOOP,
                (replies.TOO_LARGE, replies.TOO_LARGE, USUAL_REPLIES[events.Noop]),
            ),
            (MAIL, (replies.MAIL_OK,)),
        ],
    ),
    (
        "too large over bdat, before the last chunk",
        [
            (OPEN + RCPT, (*OK, replies.RCPT_OK)),
            (b"BDAT 102\r\n" + b"NOOP\r\n" * 17, (replies.TOO_LARGE,)),
            (b"BDAT 6\r\nNOOP\r\n", (replies.TOO_LARGE,)),
            (
                b"BDAT 0 LAST\r\n" + NOOP,
                (replies.TOO_LARGE, replies.TOO_LARGE, USUAL_REPLIES[events.Noop]),
            ),
            (MAIL, (replies.MAIL_OK,)),
        ],
    ),
    (
        "as large as may be",
        [
            (OPEN + DATA, (*OK, replies.START_MAIL)),
            (b".." + b"a" * 97 + b"\r\n.\r\n", (replies.DELIVERED,)),
            (MAIL + RCPT + b"BDAT 100 LAST\r\n" + b"a" * 100, (*OK[1:], replies.DELIVERED)),
        ],
    ),
    (
        "utf-8 under smtputf8 only",
        [
            (LHLO + MAIL, OK[:2]),
            ("RCPT TO:<\u00fc@x>\r\n".encode(), (replies.RECIPIENT_NEEDS_SMTPUTF8,)),
            (RSET + b"MAIL FROM:<> SMTPUTF8\r\n", (replies.RESET, replies.MAIL_OK)),
            ("RCPT TO:<\u00fc@x>\r\n".encode(), (replies.RCPT_OK,)),
            (RSET + MAIL, (replies.RESET, replies.MAIL_OK)),
            ("RCPT TO:<\u00fc@x>\r\n".encode(), (replies.RECIPIENT_NEEDS_SMTPUTF8,)),
        ],
    ),
    (
        "xforward goes before mail",
        [
            (LHLO + b"XFORWARD NAME=a\r\n", (replies.HELLO, replies.XFORWARD_OK)),
            (MAIL + b"XFORWARD NAME=a\r\n", (replies.MAIL_OK, replies.XFORWARD_LATE)),
            (RSET + b"XFORWARD NAME=a\r\n", (replies.RESET, replies.XFORWARD_OK)),
        ],
    ),
    (
        "starttls where there is none",
        [(STARTTLS + NOOP, (replies.TLS_UNAVAILABLE, USUAL_REPLIES[events.Noop]))],
    ),
    (
        "lines that end with LF alone",
        [
            (b"NOOP\n" + NOOP, (replies.BARE_LINE_FEED, replies.NOTHING_DONE)),
            (b"\n\r\n", (replies.BARE_LINE_FEED, replies.UNKNOWN_COMMAND)),
            (b"NOOP\r" + NOOP, (replies.BAD_OCTETS,)),
            (b"NO\0OP\r\n\xff\r\n", (replies.BAD_OCTETS,) * 2),
        ],
    ),
    (
        "a line of 64 octets and one of 65",
        [
            (b"NOOP " + b"a" * 57 + b"\r\n", (replies.NOTHING_DONE,)),
            (
                b"NOOP " + b"a" * 58 + b"\r\n" + NOOP,
                (replies.LINE_TOO_LONG, USUAL_REPLIES[events.Noop]),
            ),
            (b"a" * 64 + b"\n", (replies.LINE_TOO_LONG,)),
        ],
    ),
    (
        "an endless line",
        [
            (b"a" * 63, ()),
            (b"a", ()),
            (b"NOOP" * 100, ()),
            (b"\r\n" + NOOP, (replies.LINE_TOO_LONG, replies.NOTHING_DONE)),
        ],
    ),
    ("nothing is heard behind quit", [(QUIT + NOOP, (replies.BYE,))]),
    (
        "quit with a word goes on",
        [(b"QUIT now\r\n" + NOOP, (replies.BAD_SYNTAX, USUAL_REPLIES[events.Noop]))],
    ),
]


@pytest.mark.parametrize("script", [script for _, script in SCRIPTS], ids=[n for n, _ in SCRIPTS])
def test_scripts(script: Script) -> None:
    conversation = Conversation(LIMITS)
    for octets, expected in script:
        assert conversation.hear(octets) == expected, octets


@pytest.mark.parametrize("script", [script for _, script in SCRIPTS], ids=[n for n, _ in SCRIPTS])
def test_scripts_byte_by_byte(script: Script) -> None:
    conversation = Conversation(LIMITS)
    for octets, expected in script:
        said: tuple[Reply, ...] = ()
        for octet in octets:
            said += conversation.hear(bytes([octet]))
        assert said == expected, octets


@pytest.mark.parametrize(
    ("octets", "is_open"),
    [
        pytest.param(NOOP, True, id="noop"),
        pytest.param(QUIT, False, id="quit"),
        pytest.param(b"QUIT x\r\n", True, id="quit with a word"),
        pytest.param(b"BDAT x\r\n", False, id="unreadable bdat"),
        pytest.param(b"BDAT 1\n", False, id="bdat with LF alone"),
        pytest.param(b"bdat " + b"1" * 100 + b"\r\n", False, id="bdat of a long line"),
        pytest.param(b"BDAT 1 x\r\na", True, id="malformed bdat"),
        pytest.param(b"a" * 100 + b"\r\n", True, id="long line"),
        pytest.param(OPEN + DATA + b"a" * 200 + b"\r\n.\r\n", True, id="too large"),
    ],
)
def test_what_ends_the_connection(octets: bytes, is_open: bool) -> None:
    conversation = greeted(octets)
    assert conversation.dialogue.is_open is is_open
    if not is_open:
        with pytest.raises(LocalProtocolError):
            conversation.dialogue.next_event()


# The text of a message.


def test_events_of_a_message() -> None:
    conversation = Conversation(LIMITS)
    conversation.hear(b"LHLO client\r\nMAIL FROM:<a@x> SIZE=9 BODY=8BITMIME SMTPUTF8\r\n")
    conversation.hear(RCPT + DATA)
    conversation.hear(b"a\r\n..b\r\n.\r\n" + QUIT)
    assert conversation.events == [
        events.Hello("client"),
        MailFrom("a@x", BodyType.EIGHT_BIT_MIME, smtputf8=True, size=9),
        events.RcptTo(Address("b", "x")),
        events.Data(),
        Chunk(b"a\r\n.b\r\n"),
        EndOfData(),
        events.Quit(),
    ]


def test_events_of_chunks() -> None:
    conversation = greeted(OPEN + b"BDAT 3\r\n\r\n.BDAT 0\r\nBDAT 2 LAST\r\n\r\n")
    assert conversation.events[3:] == [
        Chunk(b"\r\n."),
        EndOfChunk(),
        EndOfChunk(),
        Chunk(b"\r\n"),
        EndOfData(),
    ]


def test_binary_chunks_are_octet_for_octet() -> None:
    octets = bytes(range(256)) * 2 + b"\r\n.\r\n..\r\n\r\r\n\n"
    conversation = Conversation(Limits(message_octets=len(octets)))
    conversation.hear(LHLO + BINARY + RCPT + b"BDAT %d LAST\r\n" % len(octets) + octets)
    assert conversation.content == octets
    assert conversation.events[-1] == EndOfData()


@pytest.mark.parametrize("empty", [DATA + b".\r\n", b"BDAT 0 LAST\r\n"], ids=["data", "bdat"])
def test_an_empty_message_has_no_chunk_and_an_end(empty: bytes) -> None:
    conversation = greeted(OPEN + empty)
    assert conversation.content == b""
    assert conversation.events[-1] == EndOfData()
    assert conversation.said[-1] == replies.DELIVERED


def test_commands_in_a_text_are_text() -> None:
    text = QUIT + RSET + MAIL + RCPT + DATA + b"\n.\n" + STARTTLS
    conversation = greeted(OPEN + DATA + text + b".\r\n")
    assert conversation.content == text
    assert conversation.events[-1] == EndOfData()


def test_beyond_the_limit_nothing_more_is_given() -> None:
    conversation = greeted(OPEN + DATA)
    for _ in range(50):
        conversation.hear(b"a" * 9)
    conversation.hear(b"\r\n.\r\n")
    assert len(conversation.content) <= LIMITS.message_octets
    assert conversation.events[-1] == EndOfData(is_too_large=True)


def test_a_chunk_beyond_the_limit_is_not_given_at_all() -> None:
    conversation = greeted(OPEN + b"BDAT 90\r\n" + b"a" * 90 + b"BDAT 20 LAST\r\n" + b"b" * 20)
    assert conversation.content == b"a" * 90
    assert conversation.events[-1] == EndOfData(is_too_large=True)


def test_size_is_counted_anew_for_each_message() -> None:
    conversation = greeted(OPEN + b"BDAT 100 LAST\r\n" + b"a" * 100)
    assert conversation.hear(MAIL + RCPT + b"BDAT 100\r\n" + b"b" * 100)[-1] == replies.CHUNK_OK


def test_what_came_behind_a_text_is_not_kept() -> None:
    conversation = greeted(OPEN + DATA)
    conversation.hear(b"a\r\n.\r\n" + NOOP * 90)
    assert octets_held(conversation.dialogue, conversation.dialogue._parser) < 100


# Chunks that are refused (RFC 3030 2).


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"BDAT 6\tLAST\r\n", id="tab"),
        pytest.param(b"BDAT 6 LAST\0\r\n", id="NUL"),
        pytest.param(b"BDAT 6 LAST\xff\r\n", id="no UTF-8"),
        pytest.param(b"BDAT 6 LAST\r\r\n", id="CR"),
        pytest.param(b"BDAT\t6 LAST\r\n", id="tab before the number"),
        pytest.param(b"BDAT 6 LAST\n", id="LF alone"),
        pytest.param(b"BDAT 0x6 LAST\r\n", id="a number that some read otherwise"),
        pytest.param(b"BDAT 6 LAST" + b" " * 60 + b"\r\n", id="line too long"),
    ],
)
@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "byte by byte"])
def test_octets_behind_an_unreadable_bdat_are_never_commands(line: bytes, is_cut: bool) -> None:
    conversation = greeted(OPEN)
    octets = line + NOOP
    for piece in [octets[i : i + 1] for i in range(len(octets))] if is_cut else [octets]:
        conversation.hear(piece)
    assert isinstance(conversation.events[3], Refused)
    assert events.Noop() not in conversation.events


@pytest.mark.parametrize("octets", [b"BDAT", b"bdat 6 LAST"])
def test_bdat_in_the_middle_of_an_endless_line_is_no_command(octets: bytes) -> None:
    conversation = greeted(OPEN)
    for piece in b"a" * 64, octets + b"a" * 64, octets, b"\r\n":
        conversation.hear(piece)
    assert conversation.said[-1] == replies.LINE_TOO_LONG
    assert conversation.hear(NOOP) == (replies.NOTHING_DONE,)


@pytest.mark.parametrize(
    ("refused", "last"),
    [
        pytest.param(RCPT * 2 + b"BDAT 5 LOST\r\nhello", replies.CHUNK_LOST, id="malformed"),
        pytest.param(b"BDAT 5\r\nhello" + RCPT, replies.RCPT_FIRST, id="before any recipient"),
        pytest.param(
            RCPT * 2 + b"BDAT 1\r\naBDAT 5 LOST\r\nhello", replies.CHUNK_LOST, id="the second one"
        ),
        pytest.param(
            RCPT * 2 + b"BDAT 0 LOST\r\nBDAT 5\r\nhello", replies.CHUNK_LOST, id="an empty one"
        ),
    ],
)
def test_a_message_that_lost_a_chunk_is_not_delivered(refused: bytes, last: Reply) -> None:
    # RFC 3030 2: the transaction has failed; chunks already in the pipeline are discarded.
    conversation = greeted(LHLO + MAIL + refused)
    given = conversation.content
    said = conversation.hear(b"BDAT 5 LAST\r\nworld")
    assert set(said) == {last}
    assert conversation.content == given
    assert EndOfData() not in conversation.events
    assert conversation.hear(NOOP) == (replies.NOTHING_DONE,)


def test_after_a_lost_chunk_each_recipient_hears_of_it() -> None:
    conversation = greeted(OPEN + RCPT + b"BDAT 5 LOST\r\nhello")
    assert conversation.hear(b"BDAT 5\r\nworld") == (replies.CHUNK_LOST,)
    assert conversation.hear(b"BDAT 0 LAST\r\n" + MAIL) == (
        replies.CHUNK_LOST,
        replies.CHUNK_LOST,
        replies.MAIL_OK,
    )


@pytest.mark.parametrize("way_out", [RSET, LHLO], ids=["rset", "lhlo"])
def test_rset_makes_good_for_a_lost_chunk(way_out: bytes) -> None:
    conversation = greeted(OPEN + b"BDAT 5 LOST\r\nhello" + way_out + MAIL + RCPT)
    assert conversation.hear(b"BDAT 5 LAST\r\nworld") == (replies.DELIVERED,)
    assert conversation.content == b"world"


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        pytest.param(b"BDAT 6\r\n", replies.LHLO_FIRST, id="before lhlo"),
        pytest.param(LHLO + b"BDAT 6\r\n", replies.MAIL_FIRST, id="before mail"),
        pytest.param(LHLO + MAIL + b"BDAT 6\r\n", replies.RCPT_FIRST, id="before rcpt"),
        pytest.param(OPEN + b"BDAT 6 LOST\r\n", replies.BAD_SYNTAX, id="malformed"),
        pytest.param(
            OPEN + b"BDAT 100\r\n" + b"a" * 100 + b"BDAT 6\r\n", replies.TOO_LARGE, id="size"
        ),
    ],
)
def test_a_refused_chunk_waits_for_all_of_its_octets(octets: bytes, reply: Reply) -> None:
    conversation = greeted(octets)
    before = len(conversation.said)
    for octet in b"QUIT\r":
        assert conversation.hear(bytes([octet])) == ()
    assert conversation.hear(b"\n") == (reply,)
    assert len(conversation.said) == before + 1
    assert conversation.hear(NOOP) == (replies.NOTHING_DONE,)


# Replies owed, and replies that are not.


def test_the_greeting_is_owed() -> None:
    dialogue = Dialogue(LIMITS, Extensions())
    was_between = dialogue.is_between_transactions
    assert dialogue.owed == 1
    dialogue.receive(NOOP)
    with pytest.raises(LocalProtocolError):
        dialogue.next_event()
    assert dialogue.send(replies.GREETING) == replies.GREETING.encode()
    assert dialogue.is_open
    assert (was_between, dialogue.is_between_transactions) == (False, True)
    assert dialogue.next_event() == events.Noop()


def test_a_refusal_instead_of_the_greeting_ends_the_connection() -> None:
    dialogue = Dialogue(LIMITS, Extensions())
    dialogue.receive(LHLO)
    dialogue.send(replies.NOT_TRUSTED)
    with pytest.raises(LocalProtocolError):
        dialogue.next_event()


@pytest.mark.parametrize(
    ("before", "said", "owed"),
    [
        pytest.param(b"", LHLO, 1, id="lhlo"),
        pytest.param(b"", b"XYZZY\r\n", 1, id="refused"),
        pytest.param(OPEN, DATA, 1, id="data"),
        pytest.param(OPEN, b"BDAT 0\r\n", 1, id="chunk"),
        pytest.param(OPEN + RCPT, b"BDAT 0 LAST\r\n", 2, id="last chunk"),
        pytest.param(OPEN + UNKNOWN + RCPT + DATA, b".\r\n", 2, id="end of data"),
    ],
)
def test_nothing_goes_on_while_replies_are_owed(before: bytes, said: bytes, owed: int) -> None:
    dialogue = greeted(before).dialogue
    dialogue.receive(said + NOOP)
    event = dialogue.next_event()
    assert event is not NEED_DATA
    for left in range(owed, 0, -1):
        assert dialogue.owed == left
        assert not dialogue.is_between_transactions
        with pytest.raises(LocalProtocolError, match=f"{left} replies"):
            dialogue.next_event()
        dialogue.send(answer(event))
    assert dialogue.owed == 0
    with pytest.raises(LocalProtocolError, match="no reply is owed"):
        dialogue.send(replies.NOTHING_DONE)


def test_no_reply_is_owed_for_a_piece_of_text() -> None:
    dialogue = greeted(OPEN + DATA).dialogue
    dialogue.receive(b"a")
    assert dialogue.next_event() == Chunk(b"a")
    assert dialogue.owed == 0
    with pytest.raises(LocalProtocolError):
        dialogue.send(replies.DELIVERED)
    assert dialogue.next_event() is NEED_DATA


def test_the_recipients_of_one_message_may_fare_differently() -> None:
    dialogue = greeted(OPEN + RCPT * 2 + DATA).dialogue
    dialogue.receive(b".\r\n")
    assert dialogue.next_event() == EndOfData()
    for reply in replies.STORAGE_FULL, replies.DELIVERED, replies.INTERNAL_FAULT:
        assert not dialogue.is_between_transactions
        assert dialogue.send(reply) == reply.encode()
    assert dialogue.is_between_transactions


@pytest.mark.parametrize(
    ("octets", "refusal", "after", "expected"),
    [
        pytest.param(LHLO, replies.INTERNAL_FAULT, MAIL, replies.LHLO_FIRST, id="lhlo"),
        pytest.param(LHLO + MAIL, replies.INTERNAL_FAULT, RCPT, replies.MAIL_FIRST, id="mail"),
        pytest.param(OPEN, replies.VERIFICATION_FAILED, DATA, replies.RCPT_FIRST, id="rcpt"),
        pytest.param(OPEN + DATA, replies.INTERNAL_FAULT, NOOP, replies.NOTHING_DONE, id="data"),
        pytest.param(OPEN + RSET, replies.INTERNAL_FAULT, RCPT, replies.RCPT_OK, id="rset"),
        pytest.param(STARTTLS, replies.INTERNAL_FAULT, NOOP, replies.NOTHING_DONE, id="starttls"),
    ],
)
def test_nothing_is_true_before_it_was_said(
    octets: bytes, refusal: Reply, after: bytes, expected: Reply
) -> None:
    """The last event of the octets is refused by us: it is as if it had not been."""
    conversation = Conversation(LIMITS, Extensions(starttls=True))
    lines = octets.splitlines(keepends=True)
    conversation.hear(b"".join(lines[:-1]))
    conversation.dialogue.receive(lines[-1])
    conversation.dialogue.next_event()
    conversation.dialogue.send(refusal)
    assert conversation.hear(after) == (expected,)


@pytest.mark.parametrize(
    ("octets", "is_between"),
    [
        pytest.param(b"", True, id="greeted"),
        pytest.param(LHLO, True, id="lhlo"),
        pytest.param(LHLO + MAIL, False, id="mail"),
        pytest.param(OPEN + DATA + b"a", False, id="text"),
        pytest.param(OPEN + DATA + b".\r\n", True, id="delivered"),
        pytest.param(OPEN + RSET, True, id="rset"),
        pytest.param(OPEN + b"BDAT 0\r\n", False, id="between chunks"),
    ],
)
def test_between_transactions(octets: bytes, is_between: bool) -> None:
    assert greeted(octets).dialogue.is_between_transactions is is_between


# 421 may be said at any time (RFC 5321 3.8).


@pytest.mark.parametrize("reply", [replies.SHUTTING_DOWN, replies.IDLE, replies.SESSION_FAILED])
@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="greeted"),
        pytest.param(OPEN + DATA + b"a", id="text"),
        pytest.param(OPEN + b"BDAT 9\r\na", id="chunk"),
        pytest.param(b"NOO", id="half a line"),
        pytest.param(STARTTLS, id="handshake"),
    ],
)
def test_421_without_debt(octets: bytes, reply: Reply) -> None:
    dialogue = greeted(octets, Extensions(starttls=True)).dialogue
    assert dialogue.send(reply) == reply.encode()
    with pytest.raises(LocalProtocolError):
        dialogue.next_event()
    with pytest.raises(LocalProtocolError):
        dialogue.send(replies.BYE)


def test_421_pays_every_debt() -> None:
    dialogue = greeted(OPEN + RCPT).dialogue
    dialogue.receive(b"BDAT 0 LAST\r\n" + NOOP)
    assert dialogue.next_event() == EndOfData()
    dialogue.send(replies.DELIVERED)
    dialogue.send(replies.SHUTTING_DOWN)
    assert not dialogue.is_open
    assert dialogue.owed == 0


def test_421_instead_of_the_greeting() -> None:
    dialogue = Dialogue(LIMITS, Extensions())
    assert dialogue.send(replies.SHUTTING_DOWN) == replies.SHUTTING_DOWN.encode()
    assert not dialogue.is_open


# STARTTLS (RFC 3207).


def test_what_was_said_in_clear_behind_starttls_is_dropped() -> None:
    conversation = Conversation(LIMITS, Extensions(starttls=True))
    assert conversation.hear(STARTTLS + OPEN + b"LHLO half") == (replies.TLS_READY,)
    conversation.shake_hands()
    assert conversation.hear(NOOP) == (replies.NOTHING_DONE,)
    assert conversation.events == [events.StartTls(), events.Noop()]


def test_what_arrived_in_clear_before_the_handshake_was_done_is_dropped() -> None:
    conversation = Conversation(LIMITS, Extensions(starttls=True))
    conversation.hear(STARTTLS)
    conversation.dialogue.receive(OPEN)
    conversation.shake_hands()
    assert conversation.dialogue.next_event() is NEED_DATA


def test_all_is_forgotten_after_the_handshake() -> None:
    conversation = greeted(OPEN + STARTTLS, Extensions(starttls=True))
    conversation.shake_hands()
    assert conversation.dialogue.is_between_transactions
    assert conversation.hear(RCPT + DATA + MAIL) == (replies.LHLO_FIRST,) * 3
    assert conversation.hear(LHLO + RCPT) == (replies.HELLO, replies.MAIL_FIRST)
    assert conversation.hear(STARTTLS) == (replies.TLS_ALREADY,)


def test_nothing_is_read_before_the_handshake() -> None:
    conversation = greeted(STARTTLS, Extensions(starttls=True))
    assert conversation.dialogue.is_open
    with pytest.raises(LocalProtocolError):
        conversation.dialogue.next_event()
    with pytest.raises(LocalProtocolError):
        conversation.dialogue.send(replies.TLS_READY)


@pytest.mark.parametrize("octets", [b"", LHLO, OPEN + DATA, b"STARTTLS x\r\n"])
def test_a_handshake_that_nobody_agreed_on(octets: bytes) -> None:
    dialogue = greeted(octets, Extensions(starttls=True)).dialogue
    with pytest.raises(LocalProtocolError, match="no handshake"):
        dialogue.tls_started()


def test_keywords_tell_of_tls() -> None:
    extensions = Extensions(starttls=True)
    conversation = Conversation(LIMITS, extensions)
    assert conversation.dialogue.keywords == extensions.keywords(LIMITS, under_tls=False)
    assert "STARTTLS" in conversation.dialogue.keywords
    conversation.hear(STARTTLS)
    conversation.shake_hands()
    assert conversation.dialogue.keywords == extensions.keywords(LIMITS, under_tls=True)
    assert "STARTTLS" not in conversation.dialogue.keywords


def test_tls_from_the_first_octet() -> None:
    conversation = Conversation(LIMITS, Extensions(starttls=True), under_tls=True)
    assert "STARTTLS" not in conversation.dialogue.keywords
    assert conversation.hear(STARTTLS + LHLO) == (replies.TLS_ALREADY, replies.HELLO)


# The peer is gone.


@pytest.mark.parametrize(
    ("octets", "owing"),
    [
        pytest.param(b"", 0, id="at once"),
        pytest.param(b"NOO", 0, id="half a line"),
        pytest.param(b"NOOP\r", 0, id="half an end of line"),
        pytest.param(b"a" * 500, 0, id="an endless line"),
        pytest.param(OPEN + DATA + b"text\r\n.\r", 4, id="a text without its end"),
        pytest.param(OPEN + b"BDAT 9 LAST\r\ntext", 3, id="a chunk cut short"),
        pytest.param(b"BDAT 9 LAST\r\ntext", 0, id="a refused chunk cut short"),
        pytest.param(OPEN + NOOP, 4, id="between commands"),
    ],
)
def test_gone(octets: bytes, owing: int) -> None:
    """All that was complete is answered, then it is over; it stays so."""
    conversation = greeted(octets)
    assert len(conversation.said) == owing
    assert conversation.hear(b"") == ()
    assert conversation.events[-1] == Gone()
    assert not any(isinstance(event, EndOfData) for event in conversation.events)
    assert conversation.dialogue.next_event() == Gone()
    assert conversation.dialogue.owed == 0


def test_commands_before_the_end_are_answered_first() -> None:
    conversation = Conversation(LIMITS)
    conversation.dialogue.receive(NOOP + OPEN + DATA + b"a\r\n.\r\nNOO")
    said = conversation.hear(b"")
    assert said == (replies.NOTHING_DONE, *OK, replies.START_MAIL, replies.DELIVERED)
    assert conversation.events[-1] == Gone()


@pytest.mark.parametrize(
    "command",
    [MAIL, b"RSET\r\n", b"HELP\r\n", b"VRFY alice@example.org\r\n", b"BDAT 3 LAST\r\nabc"],
)
def test_where_tls_is_needed_nothing_is_to_be_had_before(command: bytes) -> None:
    """RFC 3207 4: but NOOP, LHLO, STARTTLS and QUIT."""
    dialogue = Dialogue(LIMITS, Extensions(starttls=True), needs_tls=True)
    dialogue.send(replies.GREETING)
    dialogue.receive(LHLO + NOOP + command + STARTTLS)
    for event in (events.Hello, events.Noop):
        heard = dialogue.next_event()
        assert isinstance(heard, event)
        dialogue.send(answer(heard))
    assert dialogue.next_event() == events.Refused(replies.TLS_FIRST)
    dialogue.send(replies.TLS_FIRST)
    assert dialogue.next_event() == events.StartTls()
    dialogue.send(replies.TLS_READY)
    dialogue.tls_started()
    dialogue.receive(LHLO)
    assert isinstance(dialogue.next_event(), events.Hello)
