"""What a client can have said, each as a value that is already checked for syntax and sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .address import Address
from .envelope import BodyType
from .reply import Reply


@dataclass(frozen=True, slots=True)
class Hello:
    """LHLO (RFC 2033 4.1); it also resets (RFC 5321 4.1.4)."""

    name: str


@dataclass(frozen=True, slots=True)
class MailFrom:
    """MAIL (RFC 5321 4.1.1.2)."""

    reverse_path: str
    body: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    size: int = 0


@dataclass(frozen=True, slots=True)
class RcptTo:
    """RCPT (RFC 5321 4.1.1.3)."""

    address: Address
    original: str = ""


@dataclass(frozen=True, slots=True)
class Data:
    """DATA, with a recipient to send to; 354 opens the text."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the message, dots undone; no reply is owed."""

    data: bytes


@dataclass(frozen=True, slots=True)
class EndOfChunk:
    """All octets of a BDAT that is not the last one are here."""


@dataclass(frozen=True, slots=True)
class EndOfData:
    """The message is complete: one reply for each recipient is owed."""

    is_too_large: bool = False
    has_lost_chunk: bool = False
    """A chunk was refused, so what came is not the message."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS (RFC 3207), where it can be had."""


@dataclass(frozen=True, slots=True)
class Verify:
    """VRFY (RFC 5321 4.1.1.6)."""

    address: Address


@dataclass(frozen=True, slots=True)
class Expand:
    """EXPN (RFC 5321 4.1.1.7)."""

    address: Address
    smtputf8: bool = False
    """Members beyond ASCII may be shown (RFC 6531 3.7.4.2)."""


@dataclass(frozen=True, slots=True)
class XForward:
    """XFORWARD: what the MTA knows of the original client."""

    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reset:
    """RSET (RFC 5321 4.1.1.5)."""


@dataclass(frozen=True, slots=True)
class Noop:
    """NOOP (RFC 5321 4.1.1.9)."""


@dataclass(frozen=True, slots=True)
class Help:
    """HELP (RFC 5321 4.1.1.8)."""


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT (RFC 5321 4.1.1.10)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What breaks the protocol, and the reply that it deserves."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Gone:
    """The peer has closed its side; nothing can be delivered that was not complete."""


Command = (
    Hello
    | MailFrom
    | RcptTo
    | Data
    | StartTls
    | Verify
    | Expand
    | XForward
    | Reset
    | Noop
    | Help
    | Quit
    | Refused
)
"""What one line can be; BDAT, whose octets follow, is the dialogue's own."""

Event = Command | Chunk | EndOfChunk | EndOfData | Gone
