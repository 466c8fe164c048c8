"""What a command shows: nothing that acts on the terminal, and how far it is."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from lmtpd.terminal import Progress, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("alice@bücher.example 日本", "alice@bücher.example 日本"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("two\r\nlines", r"two\r\nlines"),
        ("\u202egro.elpmaxe", r"\u202egro.elpmaxe"),
        ("\udcff\U000e0001", r"\udcff\U000e0001"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def clock(step: float) -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += step


def test_progress_in_a_file_is_a_line_now_and_then() -> None:
    stream, now = io.StringIO(), clock(4.0)
    with Progress("mailboxes", 8, stream, now.__next__) as progress:
        for _ in range(8):
            progress.step()
    assert stream.getvalue().splitlines() == [
        "3 of 8, 37 % mailboxes, 12 s",
        "6 of 8, 75 % mailboxes, 24 s",
    ]


def test_progress_on_a_terminal_is_one_line_that_goes() -> None:
    stream, now = Terminal(), clock(0.15)
    with Progress("mailboxes", 0, stream, now.__next__) as progress:
        for _ in range(4):
            progress.step()
        progress.hide()
        progress.hide()
        progress.step(2)
        progress.step()
    clear = "\r\x1b[K"
    assert stream.getvalue() == clear.join(
        ["", "2 mailboxes, 0 s", "4 mailboxes, 1 s", "", "7 mailboxes, 1 s", ""]
    )


def test_quick_work_says_nothing() -> None:
    stream, now = Terminal(), clock(0.0)
    with Progress("mailboxes", 0, stream, now.__next__) as progress:
        progress.step()
    assert stream.getvalue() == ""
