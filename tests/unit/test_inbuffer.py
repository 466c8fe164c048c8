"""What was received and not read yet, against the plainest model: all of it in one bytes object."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtpd.protocol.inbuffer import InputBuffer
from tests.support.watched import octets_held


class Model:
    """The same, without any care for copies."""

    def __init__(self) -> None:
        self.data = b""

    def add(self, data: bytes) -> None:
        self.data += data

    def line(self) -> bytes | None:
        line, end, _ = self.data.partition(b"\n")
        return self.take(len(line) + 1) if end else None

    def take(self, most: int | None = None) -> bytes:
        size = len(self.data) if most is None else most
        taken, self.data = self.data[:size], self.data[size:]
        return taken


PIECES = st.lists(st.sampled_from([b"\n", b"\r\n", b"a", b"bc", b""]), max_size=6).map(b"".join)
STEPS = st.one_of(
    st.tuples(st.just("add"), PIECES),
    st.tuples(st.just("line")),
    st.tuples(st.just("take")),
    st.tuples(st.just("take"), st.integers(0, 9)),
)


@given(st.lists(STEPS, max_size=30))
def test_it_is_like_the_model(steps: list[tuple[Any, ...]]) -> None:
    buffer, model = InputBuffer(), Model()
    for name, *arguments in steps:
        assert getattr(buffer, name)(*arguments) == getattr(model, name)(*arguments)
        assert len(buffer) == len(model.data)
        assert bool(buffer) is bool(model.data)
    assert buffer.take() == model.data
    assert len(buffer) == 0


def test_lines_and_what_is_not_one_yet() -> None:
    buffer = InputBuffer()
    assert buffer.line() is None
    buffer.add(b"NOOP\r\nRSET\r\nQU")
    assert [buffer.line(), buffer.line(), buffer.line()] == [b"NOOP\r\n", b"RSET\r\n", None]
    assert len(buffer) == 2
    buffer.add(b"IT\r\n")
    assert buffer.line() == b"QUIT\r\n"
    assert buffer.line() is None
    assert buffer.take() == b""


class Counted(bytes):
    """Octets that know how many of them were copied; what comes of them counts with them."""

    copied = 0

    def __getitem__(self, key: Any) -> Any:
        return _count(super().__getitem__(key))

    def __add__(self, other: bytes) -> Counted:  # type: ignore[override]
        return _count(bytes(self) + other if self else other)

    def __radd__(self, other: bytes) -> Counted:
        return _count(other + bytes(self)) if other else self


def _count(data: bytes) -> Counted:
    Counted.copied += len(data)
    return Counted(data)


@pytest.mark.parametrize("count", [1, 100, 1000, 10_000])
def test_many_commands_in_one_segment_are_copied_once_each(count: int) -> None:
    segment = Counted(b"NOOP\r\n" * count)
    buffer = InputBuffer()
    Counted.copied = 0
    buffer.add(segment)
    while buffer.line():
        pass
    assert len(buffer) == 0
    assert Counted.copied <= 2 * len(segment)


def test_a_large_piece_is_not_copied_on_its_way_through() -> None:
    piece = b"x" * 100_000
    buffer = InputBuffer()
    for _ in range(3):
        buffer.add(piece)
        assert buffer.take() is piece


def test_half_a_line_keeps_nothing_of_those_before_it() -> None:
    buffer = InputBuffer()
    buffer.add(b"NOOP\r\n" * 10_000 + b"NO")
    while buffer.line():
        pass
    assert octets_held(buffer) < 100
    assert buffer.take() == b"NO"


@pytest.mark.parametrize("read", ["line", "take", "take-most"])
def test_nothing_large_is_kept_for_its_last_line(read: str) -> None:
    buffer = InputBuffer()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        buffer.add(b"x" * 1_000_000 + b"\n")
        assert tracemalloc.get_traced_memory()[0] - before > 900_000
        match read:
            case "line":
                assert buffer.line()
            case "take":
                assert buffer.take()
            case _:
                assert buffer.take(999_999)
                assert buffer.take(2)
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()
