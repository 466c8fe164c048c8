"""Replies as servers say them, in any cut; and as broken or hostile ones do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtpd.client.reader import LINE_OCTETS, LINES, ReplyError, ReplyReader
from lmtpd.protocol import replies
from lmtpd.protocol.reply import LINE_OCTETS as REPLY_OCTETS
from lmtpd.protocol.reply import Reply

TABLE = sorted(replies.table().items())


def read(*pieces: bytes) -> list[Reply]:
    reader, found = ReplyReader(), []
    for piece in pieces:
        reader.feed(piece)
        while reply := reader.next_reply():
            found.append(reply)
    assert not reader.has_input
    return found


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        (b"250 2.1.5 Ok\r\n", Reply(250, "2.1.5", ("Ok",))),
        (b"250\r\n", Reply(250, "", ("",))),
        (b"250 \r\n", Reply(250, "", ("",))),
        (b"250 2.0.0\r\n", Reply(250, "2.0.0", ("",))),
        (b"250 Ok\n", Reply(250, "", ("Ok",))),
        (b"250-a\r\n250-SIZE 9\r\n250 b\r\n", Reply(250, "", ("a", "SIZE 9", "b"))),
        (b"550-5.1.1 No\r\n550 5.1.1 such\r\n", Reply(550, "5.1.1", ("No", "such"))),
        # The status has to be the same in each line and of the code's class.
        (b"550-5.1.1 No\r\n550 such\r\n", Reply(550, "", ("5.1.1 No", "such"))),
        (b"550 2.1.1 No\r\n", Reply(550, "", ("2.1.1 No",))),
        (b"450 4.10.1000 No\r\n", Reply(450, "", ("4.10.1000 No",))),
        # What would drive a terminal or a header field is made harmless.
        (b"550 \x1b[2J\x00\rb\xfc\r\n", Reply(550, "", ("?[2J??b?",))),
    ],
)
def test_one_reply(octets: bytes, reply: Reply) -> None:
    assert read(octets) == [reply]


@given(st.lists(st.sampled_from(TABLE), max_size=5), st.lists(st.integers(1, 9), max_size=30))
def test_every_reply_of_ours_in_any_cut(said: list[tuple[str, Reply]], sizes: list[int]) -> None:
    octets = b"".join(reply.encode() for _, reply in said)
    pieces = []
    for size in sizes:
        pieces.append(octets[:size])
        octets = octets[size:]
    assert read(*pieces, octets) == [reply for _, reply in said]


@given(st.binary(max_size=200) | st.text("245-. \r\n", max_size=200).map(str.encode))
def test_any_octets_are_replies_or_an_error(octets: bytes) -> None:
    reader = ReplyReader()
    reader.feed(octets)
    try:
        while reply := reader.next_reply():
            assert reply.encode().endswith(b"\r\n")
    except ReplyError:
        pass


@pytest.mark.parametrize(
    "octets",
    [
        b"\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"+OK\r\n",
        b"25\r\n",
        b"2500 Ok\r\n",
        b"150 Ok\r\n",
        b"650 Ok\r\n",
        b"250_Ok\r\n",
        b"250-a\r\n251 b\r\n",
        "\u0662\u0665\u0660 Ok\r\n".encode(),
        b"250-x\r\n" * (LINES + 1),
        b"250 " + b"x" * LINE_OCTETS + b"\r\n",
        b"x" * LINE_OCTETS,
    ],
)
def test_no_reply(octets: bytes) -> None:
    with pytest.raises(ReplyError):
        read(octets)


def test_a_long_line_is_cut_to_what_a_reply_may_hold() -> None:
    (reply,) = read(b"550 5.1.1 " + b"x" * 2000 + b"\r\n")
    assert len(reply.encode()) == REPLY_OCTETS


def test_half_a_reply_is_none() -> None:
    reader = ReplyReader()
    for piece in (b"250-a\r\n", b"250 b"):
        reader.feed(piece)
        assert reader.next_reply() is None
        assert reader.has_input
    reader.feed(b"\r\n")
    assert reader.next_reply() == Reply(250, "", ("a", "b"))
    assert not reader.has_input
