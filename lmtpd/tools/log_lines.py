"""Lines of logs: where they are kept, and what ours say.

A line of ours is read as it is written to a terminal, as JSON, and behind whatever a syslog daemon
puts before it. Nothing in a log is believed to be harmless: it is bounded here, and shown escaped.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

LONGEST = 256 * 1024
"""Octets of a line that are read; a message to a list of a thousand members has as many."""

_VALUE = r'"(?:[^"\\]|\\.)*"|[^\s"]+'
_OURS = re.compile(rf"(?:^| )([a-z]+(?:-[a-z]+)*)((?: [a-z][a-z0-9_]*=(?:{_VALUE}))+)$")
_WORD = re.compile(rf" ([a-z][a-z0-9_]*)=({_VALUE})")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")


@dataclass(frozen=True, slots=True)
class Line:
    """One line."""

    text: str
    time: str = ""
    """As it is written; empty where it is a part of the text."""
    event: str = ""
    """What has happened; empty if the line is not ours."""
    fields: dict[str, str] = field(default_factory=dict)

    def holds(self, word: str) -> bool:
        """Whether this word stands in it, alone."""
        return (
            re.search(rf"(?<![0-9A-Za-z]){re.escape(word)}(?![0-9A-Za-z])", self.text) is not None
        )


class LogError(Exception):
    """A log cannot be read."""


def of_files(paths: Sequence[str]) -> Callable[[], Iterator[str]]:
    """The texts of files, one after the other: plain, `.gz`, `.journal`; `-` is standard input.

    What is returned reads them again each time; of standard input nothing is left then.

    Raises:
        LogError: one cannot be read.
    """

    def texts() -> Iterator[str]:
        for path in paths:
            try:
                if path.endswith(".journal"):
                    yield from _journal("--file", path)
                elif path == "-":
                    yield from _of(sys.stdin.buffer)
                else:
                    is_packed = path.endswith(".gz")
                    with gzip.open(path) if is_packed else Path(path).open("rb") as file:
                        yield from _of(file)  # type: ignore[arg-type]
            except (OSError, EOFError) as error:
                raise LogError(f"{path}: {error}") from error

    return texts


def of_units(units: Sequence[str]) -> Callable[[], Iterator[str]]:
    """What the journal has of units of systemd.

    Raises:
        LogError: there is no journal to be read.
    """
    return lambda: _journal(*(f"--unit={unit}" for unit in units))


def parsed(text: str) -> Line:
    """What a line says."""
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return Line(text)
        if isinstance(found, dict):
            return _of_object(text, found)
    found_ours = _OURS.search(text)
    if not found_ours:
        return Line(text)
    event, words = found_ours.groups()
    time = _TIME.search(text[: found_ours.start(1)])
    fields = {key: _plain(value) for key, value in _WORD.findall(words)}
    return Line(text, time[0] if time else text[: found_ours.start(1)].strip(), event, fields)


def _of_object(text: str, found: dict[str, object]) -> Line:
    """A line of ours in JSON, or an entry of the journal around a line."""
    if "MESSAGE" in found:
        message = found["MESSAGE"]
        if isinstance(message, list):  # octets: it is no UTF-8
            message = "".join(map(chr, (one for one in message if isinstance(one, int))))
        inner = parsed(str(message))
        return Line(str(message), inner.time or _moment(found), inner.event, inner.fields)
    fields = {key: str(value) for key, value in found.items()}
    time, event = fields.pop("time", ""), fields.pop("event", "")
    return Line(text, time, event, fields)


def _moment(entry: dict[str, object]) -> str:
    try:
        seconds = int(str(entry.get("__REALTIME_TIMESTAMP"))) / 1_000_000
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    except (ValueError, OverflowError, OSError):
        return ""


def _plain(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value


def _of(file: BinaryIO) -> Iterator[str]:
    is_begun = False
    while piece := file.readline(LONGEST):
        if not is_begun:
            yield piece.decode("utf-8", "surrogateescape").rstrip("\r\n")
        is_begun = not piece.endswith(b"\n")


def _journal(*which: str) -> Iterator[str]:
    command = ["journalctl", "--quiet", "--no-pager", "--output=json", *which]
    try:
        with subprocess.Popen(  # noqa: S603 # nosec B603 # a list of words, and no shell
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None  # noqa: S101 # nosec B101 # for the types
            yield from _of(process.stdout)  # type: ignore[arg-type]
            fault = process.stderr.read(LONGEST) if process.stderr else b""
    except OSError as error:
        raise LogError(f"journalctl: {error}") from error
    if process.returncode != os.EX_OK:
        raise LogError(f"journalctl: {fault.decode('utf-8', 'replace').strip()}")
