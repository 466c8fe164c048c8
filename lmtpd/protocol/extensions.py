"""Which keywords LHLO offers, in clear and under TLS (RFC 5321 4.1.1.1).

A parameter is taken only when its extension is announced: what is not in this value does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass

from .limits import Limits


@dataclass(frozen=True, slots=True)
class Extensions:
    """The choices of the operator."""

    starttls: bool = False
    """A certificate is there (RFC 3207)."""
    vrfy: bool = True
    """VRFY and EXPN answer truly; else 252 to all."""
    dsn: bool = False
    """RFC 3461. The client then leaves `delivered` reports to us: the operator must want that."""
    xforward: bool = True
    """Postfix's XFORWARD: the original client's name and address, for the log."""

    def keywords(self, limits: Limits, *, under_tls: bool) -> tuple[str, ...]:
        """The lines below the greeting of a 250 to LHLO."""
        offered = (
            ("PIPELINING", True),  # RFC 2920
            (f"SIZE {limits.message_octets}", True),  # RFC 1870
            ("8BITMIME", True),  # RFC 6152
            ("BINARYMIME", True),  # RFC 3030
            ("CHUNKING", True),  # RFC 3030
            ("SMTPUTF8", True),  # RFC 6531
            ("ENHANCEDSTATUSCODES", True),  # RFC 2034
            (f"LIMITS RCPTMAX={limits.recipients}", True),  # RFC 9422
            ("STARTTLS", self.starttls and not under_tls),  # RFC 3207 4.2: not offered again
            ("DSN", self.dsn),
            ("XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE", self.xforward),
            ("VRFY", self.vrfy),
            ("EXPN", self.vrfy),
            ("HELP", True),
        )
        return tuple(keyword for keyword, is_offered in offered if is_offered)
