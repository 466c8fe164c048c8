"""What a dialogue asks of whoever carries it out."""

from __future__ import annotations

from collections.abc import Generator
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
