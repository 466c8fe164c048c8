"""Screen: a terminal that is ours for a while, and is afterwards as it was, whatever happens."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

from ..terminal import OutputGoneError

# xterm's control sequences: the other screen, no cursor; a line that is emptied before it is
# written, for at the right edge a cursor stands upon the last sign.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"
_LEAVE = "\x1b[0m\x1b[?25h\x1b[?1049l"
_HOME, _EMPTY, _REST = "\x1b[H", "\x1b[2K", "\x1b[J"
_ENDS = (signal.SIGTERM, signal.SIGHUP)
_MOST_KEYS = 1024


class Screen:
    """A context manager around all that is drawn. Signals that end us pass as SystemExit."""

    def __init__(self) -> None:
        """Nothing is changed yet; standard output is a terminal."""
        self._is_typed_at = sys.stdin.isatty()
        self._before: Any = None
        self._handlers: dict[int, Any] = {}
        self._woken, self._wakes = os.pipe()
        for side in (self._woken, self._wakes):
            os.set_blocking(side, False)

    def __enter__(self) -> Screen:
        for number in (*_ENDS, signal.SIGTSTP, signal.SIGWINCH):
            self._handlers[number] = signal.signal(number, self._heard)
        try:
            self._take()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for number in (*_ENDS, signal.SIGINT):  # or a second one would find it half restored
            self._handlers.setdefault(number, signal.getsignal(number))
            signal.signal(number, signal.SIG_IGN)
        self._give_back()
        for known, handler in self._handlers.items():
            signal.signal(known, handler)

    def wake(self) -> None:
        """From any thread: end the wait for a key."""
        with suppress(BlockingIOError):  # it is woken already
            os.write(self._wakes, b"!")

    def size(self) -> tuple[int, int]:
        """Columns and lines of now.

        Raises:
            OutputGoneError: the terminal is gone.
        """
        try:
            found = os.get_terminal_size(sys.stdout.fileno())
        except OSError as error:
            raise OutputGoneError from error
        return max(1, found.columns or 80), max(1, found.lines or 24)

    def show(self, lines: Sequence[str]) -> None:
        """In the place of what stood there; not more lines than there are.

        Raises:
            OutputGoneError: the terminal is gone.
        """
        try:
            sys.stdout.write(_HOME + "\r\n".join(_EMPTY + line for line in lines) + _REST)
            sys.stdout.flush()
        except OSError as error:
            raise OutputGoneError from error

    def keys(self) -> str:
        """What was typed; empty if something else is new.

        Raises:
            OutputGoneError: the terminal is gone.
        """
        typed = [sys.stdin.fileno()] if self._is_typed_at else []
        ready, _, _ = select.select([self._woken, *typed], [], [])
        if self._woken in ready:
            os.read(self._woken, _MOST_KEYS)
        if not {*typed} & {*ready}:
            return ""
        try:
            octets = os.read(sys.stdin.fileno(), _MOST_KEYS)
        except OSError as error:
            raise OutputGoneError from error
        if not octets:
            raise OutputGoneError
        return octets.decode("utf-8", "replace")

    def _take(self) -> None:
        if self._is_typed_at:
            self._before = termios.tcgetattr(sys.stdin.fileno())
            tty.setcbreak(sys.stdin.fileno())  # Ctrl-C and Ctrl-Z do what they do elsewhere
        sys.stdout.write(_ENTER)
        sys.stdout.flush()

    def _give_back(self) -> None:
        try:
            sys.stdout.write(_LEAVE)
            sys.stdout.flush()
        except OSError:  # the connection is gone, and Python would complain at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if self._before is not None:
            with suppress(OSError, termios.error):
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._before)

    def _heard(self, number: int, _: FrameType | None) -> None:
        if number in _ENDS:
            raise SystemExit(128 + number)
        if number == signal.SIGTSTP:
            self._give_back()
            os.kill(os.getpid(), signal.SIGSTOP)
            self._take()
        self.wake()
