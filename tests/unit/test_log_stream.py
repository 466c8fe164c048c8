"""Lines into every kind of descriptor: whole, in their order, and never waiting for a reader."""

from __future__ import annotations

import os
import pty
import re
import socket
import threading
import time
from pathlib import Path

import pytest

from lmtpd.log.forms import FORMS
from lmtpd.log.stream import Stream


def entries(stream: Stream, *events: str) -> list[bytes]:
    return [stream.entry(event, "", {}) for event in events]


def test_an_entry_is_a_line_of_now() -> None:
    stream = Stream(2, FORMS["logfmt"])
    line = stream.entry("event", stream.words({"id": 1}), {"a": "b c"}).decode()
    assert re.fullmatch(r'20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z event id=1 a="b c"\n', line)


def test_into_a_file(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    stream = Stream(descriptor, FORMS["json"], lambda: 0.0)
    assert stream.write(entries(stream, "a", "b")) == 2
    assert stream.write([]) == 0
    os.write(descriptor, b"between\n")
    assert stream.write(entries(stream, "c")) == 1
    os.close(descriptor)
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line[-len('"event":"a"}') :] for line in lines] == [
        '"event":"a"}',
        '"event":"b"}',
        "between",
        '"event":"c"}',
    ]


def test_into_a_terminal() -> None:
    master, terminal = pty.openpty()
    stream = Stream(terminal, FORMS["logfmt"])
    assert stream.write(entries(stream, "event")) == 1
    assert os.read(master, 1000).endswith(b" event\r\n")
    assert os.get_blocking(terminal), "the shell's own descriptor is as it was"
    stream.close()
    os.close(master)
    os.close(terminal)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_reader_who_does_not_read_is_not_waited_for(kind: str) -> None:
    if kind == "pipe":
        reader, writer = os.pipe()
    else:
        reader, writer = (one.detach() for one in socket.socketpair())
    stream = Stream(writer, FORMS["logfmt"], lambda: 0.0)
    lines = entries(stream, *(f"event-{number}" for number in range(20_000)))
    begun = time.monotonic()
    taken = stream.write(lines)
    assert 0 < taken < len(lines)
    assert stream.write(lines[taken:]) < len(lines) - taken
    assert time.monotonic() - begun < 5
    assert os.get_blocking(writer), "a hook's program that writes there waits as ever"
    left, heard = lines[taken:], b""
    while left:
        heard += os.read(reader, 1 << 16)
        left = left[stream.write(left) :]
    while not heard.endswith(lines[-1]):
        heard += os.read(reader, 1 << 16)
    assert heard == b"".join(lines)
    stream.close()
    stream.close()
    os.close(reader)
    os.close(writer)


def test_a_line_that_was_begun_is_ended_before_the_next() -> None:
    """One that is longer than what a pipe writes in one go."""
    reader, writer = os.pipe()
    stream = Stream(writer, FORMS["logfmt"], lambda: 0.0)
    lines = [stream.entry("long", "", {"text": "x" * 200_000}), *entries(stream, "next")]
    taken = stream.write(lines)
    assert taken == 0
    heard = b""
    while not heard.endswith(b"next\n"):
        heard += os.read(reader, 1 << 16)
        taken += stream.write(lines[taken:])
    assert heard == b"".join(lines)
    stream.close()
    os.close(reader)
    os.close(writer)


def test_lines_of_several_writers_do_not_get_into_one_another() -> None:
    reader, writer = os.pipe()
    streams = [Stream(writer, FORMS["logfmt"], lambda: 0.0) for _ in range(3)]

    def write(stream: Stream, name: str) -> None:
        left = [stream.entry(name, "", {"text": name * 97}) for _ in range(2000)]
        while left:
            left = left[stream.write(left) :]

    threads = [
        threading.Thread(target=write, args=(stream, name))
        for stream, name in zip(streams, "abc", strict=True)
    ]
    for thread in threads:
        thread.start()
    heard = b""
    while heard.count(b"\n") < 6000:
        heard += os.read(reader, 1 << 16)
    for thread in threads:
        thread.join()
    for stream in streams:
        stream.close()
    assert {line.split(b" ", 1)[1] for line in heard.splitlines()} == {
        f"{name} text={name * 97}".encode() for name in "abc"
    }
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_reader_who_is_gone_has_taken_everything(kind: str) -> None:
    if kind == "pipe":
        reader, writer = os.pipe()
    else:
        reader, writer = (one.detach() for one in socket.socketpair())
    stream = Stream(writer, FORMS["logfmt"])
    os.close(reader)
    assert stream.write(entries(stream, "a", "b")) == 2
    assert stream.write(entries(stream, "c")) == 1
    stream.close()
    os.close(writer)


def test_a_descriptor_that_was_never_open() -> None:
    descriptor = os.dup(2)
    os.close(descriptor)
    stream = Stream(descriptor, FORMS["logfmt"])
    assert stream.write(entries(stream, "a")) == 1
