"""Target: where a server is."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TARGET = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%\w+)?)\]|([^\[\]:/\s]+)):([0-9]{1,5})")


class TargetError(ValueError):
    """The text names no server."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the server is: host and port, or the path of a unix socket."""

    host: str
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read `HOST:PORT`, `[IPv6]:PORT` or `/path`.

        Raises:
            TargetError: it is none of them.
        """
        if text.startswith("/") and "\0" not in text:
            return cls(text)
        found = _TARGET.fullmatch(text)
        if not found or not 1 <= int(found[3]) <= 65535:
            raise TargetError(
                f"{text!r} is no server such as 127.0.0.1:11200, [::1]:11200 or /run/lmtpd.sock"
            )
        return cls(found[1] or found[2], int(found[3]))

    @property
    def is_path(self) -> bool:
        """A unix socket."""
        return self.host.startswith("/")

    def __str__(self) -> str:
        """As `parse` reads it."""
        if self.is_path:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
