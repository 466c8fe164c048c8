"""What a dialogue asks of whoever carries it out."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Say:
    """Send these octets."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Hear:
    """Wait so long for octets of the server; `b""` is its end."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Secure:
    """The TLS handshake."""


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Send the message, stuffed, less its final dot; give what the server has said meanwhile."""


Step = Say | Hear | Secure | SendMessage
Steps = Generator[Step, bytes, T]
"""A dialogue: it is sent the octets that a step has heard, and gives a T in the end."""


def watched(
    steps: Steps[T],
    over: Callable[[Step, bytes], object],
    failed: Callable[[OSError], object] = lambda _: None,
) -> Steps[T]:
    """The same dialogue, while somebody looks on.

    Args:
        steps: the dialogue.
        over: is told when a step is over, and what it has heard.
        failed: is told when the connection cannot carry out a step.
    """
    step = next(steps)
    try:
        while True:
            try:
                heard = yield step
            except OSError as error:
                failed(error)
                step = steps.throw(error)
            else:
                over(step, heard)
                step = steps.send(heard)
    except StopIteration as end:
        result: T = end.value
        return result
