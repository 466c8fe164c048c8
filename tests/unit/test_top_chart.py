"""Columns of a chart, and who gets which lines of the screen."""

from __future__ import annotations

import pytest

from lmtpd.top.chart import allot, columns
from lmtpd.top.words import ASCII, UNICODE


def test_columns() -> None:
    assert columns([0, 1, 4, 8], 1, 8, UNICODE.levels) == [" ▁▄█"]
    assert columns([0, 1, 4, 8], 2, 8, UNICODE.levels) == ["   █", " ▂██"]
    assert columns([0, 1, 4, 8], 2, 8, ASCII.levels) == ["   #", " .##"]
    assert columns([], 2, 8, ASCII.levels) == ["", ""]


def test_what_is_there_is_seen_however_little() -> None:
    assert columns([1, 1_000_000], 1, 1_000_000, ASCII.levels) == [".#"]
    assert columns([20, -1], 1, 10, ASCII.levels) == ["# "]
    assert columns([1], 1, 0, ASCII.levels) == [" "]


@pytest.mark.parametrize(
    ("room", "given"),
    [
        (0, [0, 0, 0]),
        (2, [2, 0, 0]),
        (4, [2, 0, 2]),
        (5, [3, 0, 2]),
        (7, [2, 3, 2]),
        (9, [4, 3, 2]),
        (100, [4, 9, 5]),
    ],
)
def test_what_matters_most_comes_first(room: int, given: list[int]) -> None:
    assert allot(room, [(2, 4), (3, 9), (2, 5)], [0, 2, 1]) == given


def test_what_reaches_the_terminal() -> None:
    assert UNICODE.shown("größe \x1b[2J\u202e") == "größe \\x1b[2J\\u202e"
    assert ASCII.shown("größe") == "gr\\xf6\\xdfe"
    assert len(UNICODE.shown("x" * 10_000)) == 1000
