"""Transcript: a client's dialogue as a person reads it, in the manner of swaks.

    ->  we said       <-  the server said       <**  it refused       ===  what was done
    ~>  <~  <~*       the same under TLS        ***  what went wrong

In front stand the milliseconds since the line before, which is how long the step took.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from ..client.steps import Hear, Say, Secure, SendMessage, Step, Steps, watched
from ..failures import told
from ..terminal import printable

T = TypeVar("T")

_REFUSED = (b"4", b"5")


class Transcript:
    """Tells what goes over one connection."""

    def __init__(
        self, tell: Callable[[str], object], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._last = clock()
        self._rest = b""
        self._is_secure = False
        self._octets = 0

    def note(self, text: str) -> None:
        """What was done."""
        self._line("=== ", text)

    def fault(self, text: str) -> None:
        """What went wrong."""
        self._line("*** ", text)

    def secured(self, how: str) -> None:
        """The handshake is over."""
        self._is_secure = True
        self.note(f"TLS started: {how}")

    def of(self, steps: Steps[T], secured: Callable[[], str]) -> Steps[T]:
        """The same dialogue; each step is told when it is over.

        Args:
            steps: the dialogue.
            secured: says what a handshake has agreed on.
        """
        return watched(
            steps,
            lambda step, heard: self._over(step, heard, secured),
            lambda error: self.fault(told(error)),
        )

    def counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces of the message, on their way."""
        for piece in pieces:
            self._octets += len(piece)
            yield piece

    def _over(self, step: Step, heard: bytes, secured: Callable[[], str]) -> None:
        match step:
            case Say(octets):
                for line in octets.decode("utf-8").splitlines():
                    self._line(" ~> " if self._is_secure else " -> ", line)
            case Secure():
                self.secured(secured())
            case SendMessage():
                self.note(f"sent a message of {self._octets} octets")
            case Hear() if not heard:
                self.note("the server has hung up")
        self._hear(heard)

    def _hear(self, octets: bytes) -> None:
        """Whole lines; the client ends the session over one that is too long."""
        *lines, self._rest = (self._rest + octets).split(b"\n")
        for line in lines:
            mark = "<~" if self._is_secure else "<-"
            if line.startswith(_REFUSED):
                mark = "<~*" if self._is_secure else "<**"
            self._line(f"{mark:4}", line.removesuffix(b"\r").decode("utf-8", "backslashreplace"))

    def _line(self, mark: str, text: str) -> None:
        now = self._clock()
        self._tell(f"{(now - self._last) * 1000:8.1f} ms {mark}{printable(text)}")
        self._last = now
