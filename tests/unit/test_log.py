"""A log whose reader is slow or gone stops nothing, and says what it could not say."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmtpd.log.forms import FORMS
from lmtpd.log.log import LAST_LINES_S, MOST_WAITING, Log
from lmtpd.log.stream import Stream


class Reader:
    """The other end of a pipe."""

    def __init__(self) -> None:
        self.end, self.written = os.pipe()
        os.set_blocking(self.end, False)
        self.log = Log(Stream(self.written, FORMS["logfmt"], lambda: 0.0))

    def events(self) -> list[str]:
        text = b""
        while True:
            try:
                text += os.read(self.end, 1 << 20)
            except BlockingIOError:
                return [line.split(" ", 1)[1] for line in text.decode().splitlines()]


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.log.close()
    os.close(reader.end)
    os.close(reader.written)


def test_each_line_is_written_at_once(reader: Reader) -> None:
    reader.log.line("first", a=1)
    assert reader.events() == ["first a=1"]
    reader.log.line("second", reader.log.words(id="x", none=None), b="y z")
    assert reader.events() == ['second id=x b="y z"']


def test_the_lines_of_one_moment_are_written_together(reader: Reader) -> None:
    later: list[Callable[[], object]] = []
    reader.log.gather(later.append)
    reader.log.line("first")
    reader.log.line("second")
    assert reader.events() == []
    assert len(later) == 1
    later.pop()()
    assert reader.events() == ["first", "second"]
    reader.log.line("third")
    assert len(later) == 1, "the next moment has its own end"
    reader.log.flush()
    assert reader.events() == ["third"]
    later.pop()()
    assert reader.events() == []


def test_a_reader_who_comes_back_hears_all_and_how_many_lines_were_lost(reader: Reader) -> None:
    texts = [f"line-{number} text={'x' * 100}" for number in range(MOST_WAITING + 2000)]
    for text in texts:
        event, _, word = text.partition(" text=")
        reader.log.line(event, text=word)
    heard: list[str] = []
    while more := reader.events():
        heard += more
        reader.log.flush()
    *told, last = heard
    assert told == texts[: len(told)], "in their order, and whole"
    assert len(told) >= MOST_WAITING
    assert last == f"log-lost lines={len(texts) - len(told)}"
    reader.log.line("after")
    assert reader.events() == ["after"]


def test_a_log_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    log = Log(Stream(descriptor, FORMS["logfmt"]))
    log.line("first")
    os.close(descriptor)
    log.line("second")
    log.flush()
    assert (tmp_path / "log").read_text().count("\n") == 1


def test_at_the_end_a_reader_has_a_moment_for_the_last_lines(reader: Reader) -> None:
    reader.log.gather(lambda _: None)
    for number in range(3000):
        reader.log.line(f"line-{number}", text="x" * 100)
    heard: list[str] = []
    thread = threading.Thread(target=reader.log.close)
    thread.start()
    while thread.is_alive():
        heard += reader.events()
    thread.join()
    assert len(heard + reader.events()) == 3000


def test_a_reader_who_does_not_come_does_not_keep_us_at_the_end(reader: Reader) -> None:
    reader.log.gather(lambda _: None)
    for _ in range(3000):
        reader.log.line("line", text="x" * 100)
    begun = time.monotonic()
    reader.log.close()
    assert time.monotonic() - begun >= LAST_LINES_S


def test_a_child_does_not_write_what_its_parent_will(reader: Reader) -> None:
    while reader.log._entries == []:
        reader.log.line("before", text="x" * 1000)
    reader.log.forget()
    reader.events()
    reader.log.line("after")
    assert reader.events() == ["after"]


def test_another_target_hears_all_from_now_on(reader: Reader) -> None:
    other = Reader()
    reader.log.line("before")
    reader.log.move_to(Stream(other.written, FORMS["logfmt"], lambda: 0.0))
    reader.log.line("after")
    assert (reader.events(), other.events()) == (["before"], ["after"])
    os.close(other.end)
