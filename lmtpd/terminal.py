"""The terminal: what a command says to a person, and how it ends (sysexits.h).

What others have chosen, a server's reply or a name on the disk, may hold sequences that act on a
terminal (they clear it, retitle it, type into it): it is shown by `printable` alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

_SHOW_EVERY_S = 0.2
_SAY_EVERY_S = 10.0


class CommandError(Exception):
    """A command cannot be carried out: the exit code, and the text for standard error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class OutputGoneError(Exception):
    """Nobody reads what we say: `mailbox list | head`. No fault of the disk, as an OSError is."""


def tell(text: str) -> None:
    """Say it on standard output.

    Raises:
        OutputGoneError: nobody reads it.
    """
    try:
        print(text, flush=True)  # noqa: T201
    except BrokenPipeError as error:
        raise OutputGoneError from error


def warn(text: str) -> None:
    """Say it on standard error."""
    print(text, file=sys.stderr)  # noqa: T201


def fail(code: int, error: Exception) -> int:
    """Say why, in a line for each reason; the exit code."""
    for line in str(error).splitlines():
        warn(f"lmtpd: {line}")
    return code


def printable(text: str) -> str:
    r"""The text with all that would not show, or would do more than show, as `\x1b`.

    Marks that turn the direction of writing are among it, for they can make one address read as
    another.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


class Progress:
    """How far long work is, on standard error: one line that changes, or a line now and then.

    A context manager: at its end the changing line is gone.
    """

    def __init__(
        self,
        what: str,
        total: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is done, and nothing said.

        Args:
            what: is counted, in the plural.
            total: how many there are; 0 if that is not known.
            stream: else standard error.
            clock: seconds.
        """
        self._what = what
        self._total = total
        self._stream = stream or sys.stderr
        self._clock = clock
        self._is_changing = self._stream.isatty()
        self._pause = _SHOW_EVERY_S if self._is_changing else _SAY_EVERY_S
        self._begun = self._said = clock()
        self._is_shown = False
        self.done = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.hide()

    def step(self, count: int = 1) -> None:
        """So many more are done."""
        self.done += count
        now = self._clock()
        if now - self._said >= self._pause:
            self._said = now
            self._show(now - self._begun)

    def hide(self) -> None:
        """Make room for another line; the next step may show it again."""
        if self._is_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._is_shown = False

    def _show(self, seconds: float) -> None:
        share = f" of {self._total}, {100 * self.done // self._total} %" if self._total else ""
        line = f"{self.done}{share} {self._what}, {seconds:.0f} s"
        self._stream.write(f"\r\x1b[K{line}" if self._is_changing else f"{line}\n")
        self._stream.flush()
        self._is_shown = self._is_changing
