"""A line of the log is one line, whatever is in it, and a log that is gone stops nothing."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtpd.log import Log, escaped
from lmtpd.protocol import replies
from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import Peer

NOW = 1_700_000_000.0


def written(event: str, now: float = NOW, /, **fields: object) -> str:
    stream = io.StringIO()
    Log(stream, lambda: now).line(event, **fields)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, ""),
        ({"id": "0123abcd"}, " id=0123abcd"),
        ({"a": 1, "b": True, "c": 0, "d": False}, " a=1 b=True c=0 d=False"),
        ({"a": None, "b": "", "c": "x"}, " c=x"),
        ({"seconds": 0.0}, " seconds=0.0000"),
        ({"seconds": 1.23456}, " seconds=1.2346"),
        ({"seconds": 1e-9}, " seconds=0.0000"),
        ({"seconds": 1234567.0}, " seconds=1234567.0000"),
        ({"peer": Peer("192.0.2.1")}, " peer=192.0.2.1"),
        ({"peer": Peer("")}, " peer=local"),
        ({"to": Address("a b", "x.org")}, r' to="\"a b\"@x.org"'),
        ({"sender": "<a@x.org>"}, " sender=<a@x.org>"),
        ({"reply": replies.STORAGE_FULL}, f' reply="{replies.STORAGE_FULL}"'),
        ({"cause": repr(OSError(28, "full", "/srv"))}, " cause=\"OSError(28, 'full')\""),
    ],
)
def test_lines(fields: dict[str, object], line: str) -> None:
    assert written("event", **fields) == f"2023-11-14T22:13:20.000Z event{line}\n"


@pytest.mark.parametrize(
    ("now", "time"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (NOW + 0.25, "2023-11-14T22:13:20.250Z"),
        (NOW + 0.9996, "2023-11-14T22:13:20.999Z"),
    ],
)
def test_the_time(now: float, time: str) -> None:
    assert written("event", now) == f"{time} event\n"


def test_the_time_is_now_by_default() -> None:
    stream = io.StringIO()
    Log(stream).line("event")
    assert stream.getvalue()[:2] == "20"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("a@b.c", "a@b.c"),
        ("<>", "<>"),
        ("a'b", "a'b"),
        ("", ""),
        (" ", '" "'),
        ("550 5.1.1 <a@b> No", '"550 5.1.1 <a@b> No"'),
        ('a "b"', r'"a \"b\""'),
        ("a b\\", r'"a b\\"'),
        ("a b\x7f", r'"a b\u007f"'),
        ("a bü", r'"a b\u00fc"'),
        ("a b", '"a b"'),
        ("a=b", '"a=b"'),
        ('a"b', r'"a\"b"'),
        ("a\\b", r'"a\\b"'),
        ("a\nb", r'"a\nb"'),
        ("a\r\n2023 event", r'"a\r\n2023 event"'),
        ("\0\x1b[31m\x7f", r'"\u0000\u001b[31m\u007f"'),
        ("\x85\xa0", r'"\u0085\u00a0"'),
        ("\u2028", r'"\u2028"'),
        ("ü", r'"\u00fc"'),
        ("𐍈", r'"\ud800\udf48"'),
        ("\ud800", r'"\ud800"'),
        (1.5, "1.5000"),
        (-1.5, "-1.5000"),
        (float("nan"), "nan"),
        (7, "7"),
        (None, "None"),
    ],
)
def test_escaped(value: object, text: str) -> None:
    assert escaped(value) == text


@given(st.text(alphabet=st.characters() | st.sampled_from('\r\n"\\= \x7f\ud800')))
def test_any_text_is_one_word_and_can_be_read_back(text: str) -> None:
    word = escaped(text)
    assert word.isascii()
    assert word.isprintable()
    assert (json.loads(word) if word.startswith('"') else word) == text


class Broken(io.StringIO):
    """A stream whose reader is gone."""

    def __init__(self, error: Exception, *, on_write: bool) -> None:
        super().__init__()
        self.error = error
        self.on_write = on_write

    def write(self, text: str) -> int:
        if self.on_write:
            raise self.error
        return super().write(text)

    def flush(self) -> None:
        raise self.error


@pytest.mark.parametrize("on_write", [True, False], ids=["write", "flush"])
@pytest.mark.parametrize(
    "error",
    [BrokenPipeError(32, "gone"), OSError(28, "full"), BlockingIOError(11, "full"), ValueError()],
    ids=lambda error: type(error).__name__,
)
def test_a_broken_stream_stops_nothing(error: Exception, on_write: bool) -> None:
    Log(Broken(error, on_write=on_write), lambda: NOW).line("event", a=1)


def test_a_closed_stream_stops_nothing(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="ascii") as stream:
        log = Log(stream, lambda: NOW)
        log.line("first", name="ü")
        assert (tmp_path / "log").read_text("ascii").count("\n") == 1, "each line is flushed"
    log.line("second")
    assert (tmp_path / "log").read_text("ascii").endswith(' first name="\\u00fc"\n')


def test_the_lines_of_one_moment_are_written_together() -> None:
    stream, later = Pieces(), []
    log = Log(stream, lambda: NOW)
    log.line("first")
    log.gather(later.append)
    log.line("second", a=1)
    log.line("third")
    assert len(stream.pieces) == len(later) == 1
    later.pop()()
    assert [piece.count("\n") for piece in stream.pieces] == [1, 2]
    assert [line.split()[1] for line in stream.getvalue().splitlines()] == [
        "first",
        "second",
        "third",
    ]
    log.line("fourth")
    assert len(later) == 1, "the next moment has its own end"
    log.flush()
    assert stream.getvalue().endswith(" fourth\n")


def test_what_was_gathered_for_a_stream_that_is_gone_is_forgotten() -> None:
    stream = io.StringIO()
    log = Log(stream)
    log.gather(lambda _: None)
    log.line("event")
    stream.close()
    log.flush()
    log.flush()


class Pieces(io.StringIO):
    """A stream that knows how it was written to."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str, /) -> int:
        self.pieces.append(text)
        return super().write(text)
