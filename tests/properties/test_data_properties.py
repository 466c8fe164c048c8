"""A message survives its dots: stuffed, cut anywhere and read, it is what it was."""

from __future__ import annotations

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lmtpd.protocol.data import DataReader, NewlineConverter

# Mostly the octets that matter, in the combinations that have fooled servers.
FRAGMENTS = st.sampled_from(
    [b"\r\n", b".", b"\r", b"\n", b"\r\n.", b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r"]
)
PIECES = FRAGMENTS | st.sampled_from([b"..", b"QUIT", b"\0", b"\xff", b"a"]) | st.binary(max_size=8)
CONTENT = st.lists(PIECES, max_size=30).map(b"".join)
REST = st.sampled_from([b"", b"QUIT\r\n", b".\r\n", b"\r\n.\r\n", b"\n"]) | CONTENT
SIZES = st.lists(st.integers(1, 9), max_size=20)


def stuffed(content: bytes) -> bytes:
    """What a client sends behind DATA for a message of whole lines (RFC 5321 4.5.2)."""
    lines = content.split(b"\r\n")
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)


def cut(octets: bytes, sizes: list[int]) -> list[bytes]:
    """Pieces of these sizes, and what is left."""
    pieces = []
    for size in sizes:
        pieces.append(octets[:size])
        octets = octets[size:]
    return [*pieces, octets]


@given(CONTENT, REST, SIZES)
@example(b"", b"", [])
@example(b".", b"", [1, 1, 1, 1, 1, 1])
@example(b"\r\n.\r", b"x", [4])
@settings(max_examples=250)
def test_a_message_comes_out_as_it_went_in(content: bytes, rest: bytes, sizes: list[int]) -> None:
    lines = content + b"\r\n" if content else b""
    reader = DataReader()
    read = bytearray()
    behind = b""
    for piece in cut(stuffed(lines) + b".\r\n" + rest, sizes):
        if reader.rest is None:
            read += reader.feed(piece)
        else:
            behind += piece
    assert read == lines
    assert reader.rest is not None
    assert reader.rest + behind == rest


@given(CONTENT, SIZES)
@settings(max_examples=150)
def test_any_octets_in_any_cut_are_read_alike(octets: bytes, sizes: list[int]) -> None:
    whole = DataReader()
    content = whole.feed(octets)
    reader = DataReader()
    read = bytearray()
    behind = b""
    for piece in cut(octets, sizes):
        if reader.rest is None:
            read += reader.feed(piece)
        else:
            behind += piece
    assert read == content
    assert (reader.rest is None) is (whole.rest is None)
    if reader.rest is not None:
        assert reader.rest + behind == whole.rest


@given(CONTENT)
def test_the_end_is_the_first_dot_between_two_ends_of_line(octets: bytes) -> None:
    reader = DataReader()
    reader.feed(octets)
    end = re.search(rb"(?:^|\r\n)\.\r\n", octets)
    assert reader.rest == (octets[end.end() :] if end else None)


@given(CONTENT)
def test_little_is_held_back(octets: bytes) -> None:
    """Content is given as it comes, but for what may still turn out to be the end."""
    reader = DataReader()
    content = reader.feed(octets)
    dots = octets.count(b".")
    if reader.rest is None:
        assert len(octets) - len(content) <= len(b"\r\n.\r") + dots


@given(CONTENT, SIZES)
@settings(max_examples=150)
def test_newlines_in_any_cut(octets: bytes, sizes: list[int]) -> None:
    converter = NewlineConverter()
    converted = b"".join(converter.feed(piece) for piece in cut(octets, sizes))
    assert converted + converter.finish() == octets.replace(b"\r\n", b"\n")
