"""The end of a message and what it says, against a state machine that reads octet by octet.

All strings of CR, LF, dot and a letter up to a length are tried, whole and in pieces: the places
where servers differ, and where mail was smuggled, are all among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

import pytest

from lmtpd.protocol.data import DataReader, NewlineConverter

END = b"\r\n.\r\n"


def reference(octets: bytes) -> tuple[bytes, bytes | None]:
    """Content, and the rest once the end was seen (RFC 5321 4.1.1.4 and 4.5.2)."""
    content = bytearray()
    state = "line"  # the CR LF of DATA itself begins the first line
    for index, octet in enumerate(octets):
        letter = bytes([octet])
        if state == "line" and letter == b".":
            state = "dot"  # not content, whatever comes next
            continue
        if state == "dot" and letter == b"\r":
            state = "dot cr"
            continue
        if state == "dot cr":
            if letter == b"\n":
                return bytes(content), octets[index + 1 :]
            content += b"\r"
            state = "cr"
        content += letter
        if letter == b"\r":
            state = "cr"
        elif letter == b"\n" and state == "cr":
            state = "line"
        else:
            state = "text"
    return bytes(content), None


def read(pieces: Iterable[bytes]) -> tuple[bytes, bytes | None]:
    """What the reader makes of pieces; those behind the end are its rest too."""
    reader = DataReader()
    content = bytearray()
    behind: bytes | None = None
    for piece in pieces:
        if behind is None:
            content += reader.feed(piece)
            behind = reader.rest
        else:
            behind += piece
    return bytes(content), behind


def one_by_one(octets: bytes) -> Iterator[bytes]:
    return (octets[index : index + 1] for index in range(len(octets)))


def cuts(octets: bytes) -> Iterator[list[bytes]]:
    """All the ways to cut octets into pieces."""
    for choice in product((False, True), repeat=max(len(octets) - 1, 0)):
        pieces = [octets[:1]]
        for index, is_cut in enumerate(choice, start=1):
            if is_cut:
                pieces.append(b"")
            pieces[-1] += octets[index : index + 1]
        yield pieces


def strings(alphabet: bytes, longest: int) -> Iterator[bytes]:
    for length in range(longest + 1):
        yield from map(bytes, product(alphabet, repeat=length))


TEXTS = [
    pytest.param(b".\r\n", b"", b"", id="empty message"),
    pytest.param(b".\r\nQUIT\r\n", b"", b"QUIT\r\n", id="empty message, pipelined"),
    pytest.param(b"a\r\n.\r\n", b"a\r\n", b"", id="one line"),
    pytest.param(b"\r\n.\r\n", b"\r\n", b"", id="one empty line"),
    pytest.param(b"..\r\n.\r\n", b".\r\n", b"", id="a dot on the first line"),
    pytest.param(b".a\r\n.\r\n", b"a\r\n", b"", id="first line begins with a dot"),
    pytest.param(b"a\r\n..\r\n.\r\n", b"a\r\n.\r\n", b"", id="a line that is a dot"),
    pytest.param(b"a\r\n...\r\n.\r\n", b"a\r\n..\r\n", b"", id="a line of two dots"),
    pytest.param(b"a\r\n.b\r\n.\r\n", b"a\r\nb\r\n", b"", id="a dot too much"),
    pytest.param(b"a.\r\n.\r\n", b"a.\r\n", b"", id="dot at the end of a line"),
    pytest.param(b"a\r\n.\r\n.\r\n", b"a\r\n", b".\r\n", id="the first end ends"),
    pytest.param(b"a\r\n. \r\n.\r\n", b"a\r\n \r\n", b"", id="dot and blank"),
    pytest.param(b"a\r\n.\r\r\n.\r\n", b"a\r\n\r\r\n", b"", id="dot and two CR"),
    pytest.param(b"\0\xff\x1a\x04\r\n.\r\n", b"\0\xff\x1a\x04\r\n", b"", id="any octet"),
    # The octet behind CRLF.CR is content, and so is what seems to be the end.
    pytest.param(b"a\r\n.\rb\r\n.\r\n", b"a\r\n\rb\r\n", b"", id="CRLF.CR and a letter"),
]

NO_END = [
    pytest.param(b"\n.\n", id="LF.LF"),
    pytest.param(b"\n.\r\n", id="LF.CRLF"),
    pytest.param(b"\r\n.\n", id="CRLF.LF"),
    pytest.param(b"\r.\r", id="CR.CR"),
    pytest.param(b"\r\n.\r", id="CRLF.CR"),
    pytest.param(b"\r.\r\n", id="CR.CRLF"),
    pytest.param(b"\r.\n", id="CR.LF"),
    pytest.param(b"\n.\r", id="LF.CR"),
    pytest.param(b"\n\r.\r\n", id="LFCR.CRLF"),
    pytest.param(b"\r\n.\n\r", id="CRLF.LFCR"),
    pytest.param(b"\r\n.\0\r\n", id="CRLF.NUL CRLF"),
    pytest.param(b"\r\0\n.\r\n", id="CR NUL LF.CRLF"),
    pytest.param(b"\r\n..\r\n", id="CRLF..CRLF"),
    pytest.param(b"\xe2\x80\xa8.\xe2\x80\xa8", id="line separators"),
    pytest.param(b"\x85.\x85", id="C1 next line"),
    pytest.param(b"\x0b.\x0b\x0c.\x0c", id="vertical tab and form feed"),
]


@pytest.mark.parametrize(("octets", "content", "rest"), TEXTS)
def test_texts(octets: bytes, content: bytes, rest: bytes) -> None:
    assert reference(octets) == (content, rest)
    for pieces in (octets,), one_by_one(octets):
        assert read(pieces) == (content, rest)


@pytest.mark.parametrize("kin", NO_END)
def test_what_only_looks_like_the_end_is_content(kin: bytes) -> None:
    smuggled = b"a" + kin + b"MAIL FROM:<evil@example.net>\r\n"
    expected = smuggled.replace(b"\r\n.", b"\r\n")
    for pieces in (smuggled + END[2:],), one_by_one(smuggled + END[2:]):
        assert read(pieces) == (expected, b"")


@pytest.mark.parametrize("kin", NO_END)
def test_nor_is_it_the_end_at_the_very_beginning(kin: bytes) -> None:
    smuggled = kin + b"x"
    expected = smuggled.replace(b"\r\n.", b"\r\n") + b"\r\n"
    for pieces in (smuggled + END,), one_by_one(smuggled + END):
        assert read(pieces) == (expected, b"")


def test_all_short_strings_behave_like_the_reference() -> None:
    for octets in strings(b"\r\n.x", 7):
        content, rest = reference(octets)
        if rest is None:  # some octets are held until it is clear what they are
            octets += b"x" + END
            content, rest = reference(octets)
        assert rest is not None
        assert read([octets]) == (content, rest), octets


def test_all_cuts_of_short_strings_behave_like_the_reference() -> None:
    for octets in strings(b"\r\n.x", 4):
        text = octets + b"." + END
        expected = reference(text)
        for pieces in cuts(text[:-2]):
            assert read([*pieces, text[-2:]]) == expected, pieces


def test_content_is_given_as_soon_as_it_is_certain() -> None:
    reader = DataReader()
    assert reader.feed(b"abc") == b"abc"
    assert reader.feed(b"") == b""
    assert reader.feed(b"d\r\n.\r") == b"d"
    assert reader.rest is None
    assert reader.feed(b"e") == b"\r\n\re"


NEWLINES = [
    pytest.param(b"a\r\nb\r\n", b"a\nb\n", id="lines"),
    pytest.param(b"", b"", id="nothing"),
    pytest.param(b"a\rb", b"a\rb", id="lone CR"),
    pytest.param(b"a\nb", b"a\nb", id="lone LF"),
    pytest.param(b"\r\r\n", b"\r\n", id="CR CR LF"),
    pytest.param(b"\n\r", b"\n\r", id="LF CR"),
    pytest.param(b"a\r", b"a\r", id="CR at the end"),
    pytest.param(b"\r\n\r\n", b"\n\n", id="empty lines"),
]


def convert(pieces: Iterable[bytes]) -> bytes:
    converter = NewlineConverter()
    converted = b"".join(map(converter.feed, pieces)) + converter.finish()
    assert converter.finish() == b"", "what was held is given once"
    return converted


@pytest.mark.parametrize(("octets", "converted"), NEWLINES)
def test_newlines(octets: bytes, converted: bytes) -> None:
    for pieces in cuts(octets):
        assert convert(pieces) == converted


def test_newlines_of_all_short_strings_in_all_cuts() -> None:
    for octets in strings(b"\r\nx", 6):
        expected = octets.replace(b"\r\n", b"\n")
        for pieces in cuts(octets):
            assert convert(pieces) == expected, pieces
