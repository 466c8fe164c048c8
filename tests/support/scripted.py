"""Carries out a client's dialogue in memory, with a server whose words stand in the test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from lmtpd.client.steps import Hear, Say, Secure, SendMessage, Steps

T = TypeVar("T")

TEXT = b"<the message>"
HANDSHAKE = b"<the handshake>"


def talk(
    steps: Steps[T], heard: Iterable[bytes], *, failing: type | None = None, early: bytes = b""
) -> tuple[T, list[bytes]]:
    """What the dialogue gives, and what it has said.

    Args:
        steps: the dialogue.
        heard: what comes each time it waits; then the server is gone.
        failing: a kind of step at which the connection breaks.
        early: what the server says while the message is sent.
    """
    pieces = iter(heard)
    said: list[bytes] = []
    try:
        step = next(steps)
        while True:
            answer = b""
            match step:
                case Say(octets):
                    said.append(octets)
                case Hear():
                    answer = next(pieces, b"")
                case Secure():
                    said.append(HANDSHAKE)
                case SendMessage():
                    said.append(TEXT)
                    answer = early
            if failing and isinstance(step, failing):
                step = steps.throw(TimeoutError("timed out"))
            else:
                step = steps.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result, said
