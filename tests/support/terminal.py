"""A terminal with a program in it, and what a person sees there, drawn by pyte.

Promises: the program has the terminal as its own (Ctrl-C, Ctrl-Z and a change of size reach it),
and is gone at the end of the `with` block.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyte

from tests.support.server import PROJECT
from tests.support.waiting import wait_for

_SOON_S = 30.0


class Terminal:
    """One that is open."""

    def __init__(self, columns: int, lines: int) -> None:
        self._ours, self.theirs = pty.openpty()
        self._lock = threading.Lock()
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.octets = b""
        """All that was written."""
        self.process: subprocess.Popen[bytes] | None = None
        self.resize(columns, lines)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(self, command: Sequence[str], environment: dict[str, str]) -> None:
        """Run a program in it."""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            cwd=PROJECT,
            env=environment,
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
        )

    def resize(self, columns: int, lines: int) -> None:
        """As when a person pulls at the window's corner."""
        with self._lock:
            self.screen.resize(lines, columns)
            size = struct.pack("HHHH", lines, columns, 0, 0)
            fcntl.ioctl(self._ours, termios.TIOCSWINSZ, size)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._ours, text.encode())

    def attributes(self) -> list[Any]:
        """How it is set (termios(3))."""
        return termios.tcgetattr(self.theirs)

    def rows(self) -> list[str]:
        """What is to be seen."""
        with self._lock:
            return [row.rstrip() for row in self.screen.display]

    def colours(self) -> set[str]:
        """Of all signs that are to be seen."""
        with self._lock:
            return {cell.fg for row in self.screen.buffer.values() for cell in row.values()}

    def shows(self, words: str) -> None:
        """It comes to show them."""
        try:
            wait_for(lambda: words in "\n".join(self.rows()), _SOON_S, f"{words!r} on the screen")
        except TimeoutError as error:
            raise AssertionError("\n".join([str(error), *self.rows()])) from error

    def ends(self) -> int:
        """It ends by itself; its exit status."""
        assert self.process is not None
        return self.process.wait(_SOON_S)

    def hang_up(self) -> None:
        """As when a connection over ssh breaks."""
        os.close(self._ours)
        self._ours = os.open(os.devnull, os.O_RDWR)

    def close(self) -> None:
        """End what runs in it."""
        if self.process is not None:
            self.process.kill()
            self.process.send_signal(signal.SIGCONT)
            self.process.wait()
        os.close(self.theirs)
        self._reader.join()
        os.close(self._ours)

    def _read(self) -> None:
        # EIO: nobody has the other side open any more.
        with contextlib.suppress(OSError):
            while octets := os.read(self._ours, 1 << 16):
                with self._lock:
                    self.octets += octets
                    self._stream.feed(octets)


@contextmanager
def running(
    command: Sequence[str], columns: int = 80, lines: int = 24, **environment: str
) -> Iterator[Terminal]:
    """A program in a terminal of this size."""
    terminal = Terminal(columns, lines)
    try:
        kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        terminal.start(
            command, {**kept, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environment}
        )
        yield terminal
    finally:
        terminal.close()
