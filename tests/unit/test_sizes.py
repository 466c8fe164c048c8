"""The sizes in a file's name: octets as they lie there, and as a reader will send them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtpd.delivery.sizes import Sizes

LINE_ENDS = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"\n\n", b"a", b"\0", b""]), max_size=8
).map(b"".join)


def on_the_wire(stored: bytes) -> bytes:
    return re.sub(rb"(?<!\r)\n", b"\r\n", stored)


def counted(*pieces: bytes) -> Sizes:
    sizes = Sizes()
    for piece in pieces:
        sizes.add(piece)
    return sizes


@pytest.mark.parametrize(
    ("pieces", "stored", "wire"),
    [
        ((), 0, 0),
        ((b"",), 0, 0),
        ((b"\n",), 1, 2),
        ((b"\r\n",), 2, 2),
        ((b"\r", b"\n"), 2, 2),
        ((b"\r", b"", b"\n"), 2, 2),
        ((b"\r", b"\r", b"\n"), 3, 3),
        ((b"\r\n", b"\n"), 3, 4),
        ((b"\r", b"\n\n"), 3, 4),
        ((b"\n", b"\r"), 2, 3),
        ((b"a\r", b"b\n"), 4, 5),
        ((b"\r",), 1, 1),
    ],
)
def test_sizes(pieces: tuple[bytes, ...], stored: int, wire: int) -> None:
    sizes = counted(*pieces)
    assert sizes.stored == stored
    assert str(sizes) == f"S={stored},W={wire}"


@pytest.mark.parametrize("data", [b"", b"a\nb\r\n\n", b"\r"])
def test_what_is_given_at_once_is_counted_as_what_is_added(data: bytes) -> None:
    assert str(Sizes(data)) == str(counted(data))


@given(st.lists(LINE_ENDS))
def test_any_pieces(pieces: list[bytes]) -> None:
    stored = b"".join(pieces)
    sizes = counted(*pieces)
    assert sizes.stored == len(stored)
    assert str(sizes) == f"S={len(stored)},W={len(on_the_wire(stored))}"


@given(st.lists(LINE_ENDS), LINE_ENDS, LINE_ENDS)
def test_a_piece_behind_that_ends_in_the_middle_of_a_pair(
    before: list[bytes], last: bytes, first: bytes
) -> None:
    stored = b"".join(before) + last + b"\r\n" + first
    sizes = counted(*before, last + b"\r", b"\n" + first)
    assert str(sizes) == f"S={len(stored)},W={len(on_the_wire(stored))}"


@given(LINE_ENDS, st.lists(LINE_ENDS))
def test_lines_with_something_behind_them(lines: bytes, rest: list[bytes]) -> None:
    """Trace fields and content; both stay what they are."""
    first, other = Sizes(lines + b"\n"), counted(*rest)
    as_they_were = str(first), str(other)
    whole = lines + b"\n" + b"".join(rest)
    assert str(first.before(other)) == f"S={len(whole)},W={len(on_the_wire(whole))}"
    assert (str(first), str(other)) == as_they_were
