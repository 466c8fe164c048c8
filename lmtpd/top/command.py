"""The command: one frame, or frames until somebody has seen enough."""

from __future__ import annotations

import os
import shutil
import sys
import time

from rich.console import Console

from ..config import Config
from ..terminal import CommandError, tell
from .frame import Frame
from .question import NoAnswerError, Status, Watch, ask, unavailable
from .screen import Screen
from .words import signs

_QUIT = {"q", "Q", "\x04"}
_UNKNOWN = "the answer is that of another version of lmtpd"


class _Drawing:
    """Frames as text, in the colours that the terminal has (NO_COLOR, TERM)."""

    def __init__(self) -> None:
        self._signs = signs()
        encoding = "utf-8" if self._signs.is_unicode else "ascii"
        sys.stdout.reconfigure(encoding=encoding, errors="replace")  # type: ignore[union-attr]
        self._console = Console(file=sys.stdout, markup=False, highlight=False, emoji=False)

    def lines(
        self, status: Status, fault: str | None, width: int, height: int | None = None
    ) -> list[str]:
        """Not more of them than the height.

        Raises:
            NoAnswerError: the answer is none that we know.
        """
        self._console.size = (width, height or 1000)
        with self._console.capture() as captured:
            try:
                parts = Frame(status, fault, self._signs).drawn(width, height)
                for part in parts:
                    self._console.print(part, crop=True, no_wrap=True)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise NoAnswerError(_UNKNOWN) from error
        return [line.rstrip() for line in captured.get().splitlines()[:height]]


def run(settings: Config, is_once: bool, interval_s: float) -> int:
    """Carry it out.

    Args:
        settings: with the address of the status.
        is_once: one frame, without a change of the terminal.
        interval_s: between an answer and the next question.

    Raises:
        CommandError: there is no status to be had.
        OutputGoneError: the terminal is gone.
    """
    address = settings.lmtp_status_addr
    if address is None:
        raise CommandError(
            os.EX_UNAVAILABLE,
            "top: lmtp-status-addr is not set, and so the server tells nobody how it is.\n"
            "Set lmtp-status-addr = 127.0.0.1:11280 where the server and this command read it"
            " (--config FILE), and start the server again.",
        )
    drawing = _Drawing()
    is_plain = os.environ.get("TERM", "dumb") == "dumb"
    try:
        if is_once or not sys.stdout.isatty():
            _print(drawing, ask(address))
        elif is_plain:
            while True:
                _print(drawing, ask(address))
                time.sleep(interval_s)
        else:
            ask(address)  # one that is not there is told on the screen that was there before
            _watch(drawing, address, interval_s)
    except NoAnswerError as error:
        raise unavailable(address, error) from error
    return os.EX_OK


def _print(drawing: _Drawing, status: Status) -> None:
    width = shutil.get_terminal_size((100, 24)).columns
    tell("\n".join(drawing.lines(status, None, width)))


def _watch(drawing: _Drawing, address: tuple[str, int], interval_s: float) -> None:
    with Screen() as screen:
        watch = Watch(address, interval_s, screen.wake)
        while True:
            width, height = screen.size()
            screen.show(_lines(drawing, watch, width, height))
            keys = {*screen.keys()}
            if keys & _QUIT:
                return
            if " " in keys:
                watch.hurry()


def _lines(drawing: _Drawing, watch: Watch, width: int, height: int) -> list[str]:
    foot = "q: quit  space: ask now"
    if watch.status is None:
        return ["Asking the server ..."]
    try:
        lines = drawing.lines(watch.status, watch.fault, width, height - 1)
    except NoAnswerError as error:
        lines = [str(error)[:width]]
    padding = [""] * (height - 1 - len(lines))
    return [*lines, *padding, foot[:width]][:height]
