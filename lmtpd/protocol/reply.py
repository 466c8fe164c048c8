"""Reply: what the server says to one command, as a value (RFC 5321 4.2).

A reply that would confuse a client cannot be made: the constructor refuses a code whose class
differs from its enhanced status code (RFC 2034 4), a line break or control character in the text,
and lines beyond 512 octets (RFC 5321 4.5.3.1.5).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field

from .address import Address

LINE_OCTETS = 512
"""Longest reply line, CR LF included (RFC 5321 4.5.3.1.5)."""

_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Reply:
    """A code, an enhanced status code (RFC 3463) where one belongs, and one or more lines."""

    code: int
    status: str
    lines: tuple[str, ...]
    _octets: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what no client should read.

        Raises:
            ValueError: the code, the status or a line breaks the grammar of RFC 5321 4.2.
        """
        begin = _begin(self.code, self.status)
        if not self.lines or _UNSAFE.search("".join(self.lines)):
            raise ValueError("a reply needs lines, without control characters")
        octets = self._encoded(begin)
        if len(octets) > LINE_OCTETS and max(map(len, octets.split(b"\n"))) >= LINE_OCTETS:
            raise ValueError("a reply line is longer than 512 octets")
        object.__setattr__(self, "_octets", octets)  # frozen, so it is encoded once

    @property
    def kind(self) -> int:
        """The first digit: 2 success, 3 go on, 4 transient failure, 5 permanent failure."""
        return self.code // 100

    @property
    def is_success(self) -> bool:
        """2yz: done."""
        return self.kind == 2

    @property
    def is_transient(self) -> bool:
        """4yz: the client keeps the message and tries again."""
        return self.kind == 4

    @property
    def is_permanent(self) -> bool:
        """5yz: the client bounces."""
        return self.kind == 5

    def about(self, address: Address) -> Reply:
        """The same reply, naming the recipient: what an administrator greps for in the MTA's log.

        An address that would break the line, or that the client could not read, is left out.
        """
        try:
            first, *more = self.lines
            return Reply(self.code, self.status, (f"<{address}> {first}", *more))
        except ValueError:
            return self

    def saying(self, text: str) -> Reply:
        """The same code and status with words from elsewhere (a hook, an identifier), made safe."""
        # ASCII alone: the client may not have asked for SMTPUTF8 (RFC 6531 3.7.4).
        words = _UNSAFE.sub("?", text.strip()).encode("ascii", "replace").decode("ascii")
        words = words[: LINE_OCTETS - len(f"{self.code} {self.status} \r\n")]
        return Reply(self.code, self.status, (words,)) if words else self

    def encode(self) -> bytes:
        """The octets on the wire; each line carries the enhanced status code (RFC 2034 4)."""
        return self._octets

    def _encoded(self, begin: tuple[str, str]) -> bytes:
        last, further = begin
        text = f"{last}{self.lines[-1]}\r\n"
        if len(self.lines) > 1:
            text = "".join(f"{further}{line}\r\n" for line in self.lines[:-1]) + text
        return text.encode()

    def __str__(self) -> str:
        """One line for the log: `550 5.1.1 No such mailbox here`."""
        return " ".join(filter(None, (str(self.code), self.status, " / ".join(self.lines))))


@functools.cache
def _begin(code: int, status: str) -> tuple[str, str]:
    """What the last line begins with, and what each line before it does.

    Raises:
        ValueError: the two do not go together. As long as they do, there are few of them.
    """
    if not 200 <= code <= 599:
        raise ValueError(f"{code} is no reply code")
    if status and (not _STATUS.fullmatch(status) or int(status[0]) != code // 100):
        raise ValueError(f"{status!r} does not go with {code}")
    return (f"{code} {status} ", f"{code}-{status} ") if status else (f"{code} ", f"{code}-")
