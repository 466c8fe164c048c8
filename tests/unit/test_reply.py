"""A reply that would confuse a client cannot be made, and what is made has the right octets."""

from __future__ import annotations

import pytest

from lmtpd.protocol import replies
from lmtpd.protocol.address import Address
from lmtpd.protocol.reply import LINE_OCTETS, Reply

ALICE = Address("alice", "example.org")


@pytest.mark.parametrize(
    ("code", "status", "lines"),
    [
        pytest.param(199, "", ("x",), id="code below the classes"),
        pytest.param(600, "", ("x",), id="code above the classes"),
        pytest.param(250, "5.1.1", ("x",), id="success with a permanent status"),
        pytest.param(452, "5.3.1", ("x",), id="transient with a permanent status"),
        pytest.param(550, "4.1.1", ("x",), id="permanent with a transient status"),
        pytest.param(354, "3.0.0", ("x",), id="no status class goes with 3yz"),
        pytest.param(354, "2.0.0", ("x",), id="3yz with a success status"),
        pytest.param(550, "5.1", ("x",), id="status of two numbers"),
        pytest.param(550, "5.1.1 ", ("x",), id="status with a space"),
        pytest.param(550, "5.1.1\n", ("x",), id="status with a line break"),
        pytest.param(550, "5.1234.1", ("x",), id="status with four digits"),
        pytest.param(550, "5.\u0661.1", ("x",), id="status with digits of another script"),
        pytest.param(550, "5.1.1", (), id="no line"),
        pytest.param(550, "5.1.1", ("x\r\n250 ok",), id="CR LF in the text"),
        pytest.param(550, "5.1.1", ("x", "y\n"), id="LF in the last line"),
        pytest.param(550, "5.1.1", ("x\ry",), id="CR"),
        pytest.param(550, "5.1.1", ("x\0",), id="NUL"),
        pytest.param(550, "5.1.1", ("x\ty",), id="tab"),
        pytest.param(550, "5.1.1", ("x\x7f",), id="DEL"),
        pytest.param(550, "5.1.1", ("x\x85",), id="C1 control"),
        pytest.param(550, "5.1.1", ("x\u2028",), id="line separator"),
        pytest.param(550, "5.1.1", ("x\u2029",), id="paragraph separator"),
        pytest.param(550, "5.1.1", ("x\udc80",), id="lone surrogate"),
    ],
)
def test_what_cannot_be_made(code: int, status: str, lines: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Reply(code, status, lines)


@pytest.mark.parametrize(
    ("status", "letter"),
    [
        pytest.param("5.1.1", "x", id="status"),
        pytest.param("", "x", id="no status"),
        pytest.param("5.1.1", "\N{SNOWMAN}", id="octets count, not letters"),
        pytest.param("5.123.123", "\U0001f600", id="the longest status and letters"),
    ],
)
def test_a_line_ends_at_512_octets(status: str, letter: str) -> None:
    room = LINE_OCTETS - len(f"550 {status} \r\n" if status else "550 \r\n")
    count, left = divmod(room, len(letter.encode()))
    text = letter * count + "." * left
    longest = Reply(550, status, ("first", text))
    assert len(longest.encode().splitlines(keepends=True)[1]) == LINE_OCTETS
    with pytest.raises(ValueError, match="512"):
        Reply(550, status, ("first", text + "."))


@pytest.mark.parametrize(
    ("reply", "octets"),
    [
        pytest.param(
            Reply(550, "5.1.1", ("No such mailbox",)), b"550 5.1.1 No such mailbox\r\n", id="one"
        ),
        pytest.param(Reply(354, "", ("Go on",)), b"354 Go on\r\n", id="no status"),
        pytest.param(
            Reply(214, "2.0.0", ("a", "b", "c")),
            b"214-2.0.0 a\r\n214-2.0.0 b\r\n214 2.0.0 c\r\n",
            id="status on each line",
        ),
        pytest.param(
            Reply(250, "", ("host", "SIZE 9")), b"250-host\r\n250 SIZE 9\r\n", id="keywords"
        ),
        pytest.param(
            Reply(250, "2.1.5", ("<b\u00fc@x>",)), b"250 2.1.5 <b\xc3\xbc@x>\r\n", id="utf-8"
        ),
        pytest.param(Reply(250, "2.0.0", ("",)), b"250 2.0.0 \r\n", id="empty text"),
    ],
)
def test_octets_on_the_wire(reply: Reply, octets: bytes) -> None:
    assert reply.encode() == octets


@pytest.mark.parametrize(
    ("code", "kind", "flags"),
    [
        (220, 2, (True, False, False)),
        (354, 3, (False, False, False)),
        (451, 4, (False, True, False)),
        (599, 5, (False, False, True)),
        (200, 2, (True, False, False)),
    ],
)
def test_classes(code: int, kind: int, flags: tuple[bool, bool, bool]) -> None:
    reply = Reply(code, "", ("x",))
    assert reply.kind == kind
    assert (reply.is_success, reply.is_transient, reply.is_permanent) == flags


def test_a_reply_names_its_recipient() -> None:
    reply = Reply(550, "5.1.1", ("first", "second"))
    assert reply.about(ALICE) == Reply(550, "5.1.1", ("<alice@example.org> first", "second"))


def test_a_reply_quotes_its_recipient() -> None:
    about = replies.UNKNOWN_RECIPIENT.about(Address('a> "b', "example.org"))
    assert about.encode().startswith(rb'550 5.1.1 <"a> \"b"@example.org> ')


@pytest.mark.parametrize(
    "address",
    [
        pytest.param(Address("a" * LINE_OCTETS, "example.org"), id="too long"),
        pytest.param(Address("a\r\n250 ok", "example.org"), id="line break"),
        pytest.param(Address("a\udc80", "example.org"), id="surrogate"),
    ],
)
def test_an_address_that_breaks_the_line_is_left_out(address: Address) -> None:
    assert replies.UNKNOWN_RECIPIENT.about(address) is replies.UNKNOWN_RECIPIENT


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("over quota", "over quota", id="as it is"),
        pytest.param("  over quota \n", "over quota", id="blanks around"),
        pytest.param("a\r\n250 ok", "a??250 ok", id="injection"),
        pytest.param("\N{ESCAPE}[2J\0\x9b", "?[2J??", id="terminal codes"),
        pytest.param("a\u2028b\udc80c", "a?b?c", id="separators and surrogates"),
        # The client may not have asked for SMTPUTF8 (RFC 6531 3.7.4).
        pytest.param("gr\u00fcn \U0001f600", "gr?n ?", id="beyond ASCII"),
    ],
)
def test_words_from_elsewhere_are_made_safe(text: str, words: str) -> None:
    reply = Reply(550, "5.7.1", ("first", "second"))
    assert reply.saying(text) == Reply(550, "5.7.1", (words,))


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_no_words_change_nothing(text: str) -> None:
    assert replies.REJECTED.saying(text) is replies.REJECTED


@pytest.mark.parametrize(("letter", "shown"), [("x", "x"), ("\u00fc", "?"), ("\0", "?")])
@pytest.mark.parametrize("reply", [replies.REJECTED, replies.START_MAIL], ids=["5.7.1", "none"])
def test_long_words_are_cut(reply: Reply, letter: str, shown: str) -> None:
    said = reply.saying(letter * 1000)
    assert LINE_OCTETS - 1 <= len(said.encode()) <= LINE_OCTETS
    assert set(said.lines[0]) == {shown}


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply(550, "5.1.1", ("No such mailbox",)), "550 5.1.1 No such mailbox"),
        (Reply(354, "", ("Go on",)), "354 Go on"),
        (Reply(214, "2.0.0", ("a", "b")), "214 2.0.0 a / b"),
    ],
)
def test_one_line_for_the_log(reply: Reply, text: str) -> None:
    assert str(reply) == text
