"""Limits: every number that bounds a peer, beside the minimum that its RFC asks for.

The numbers are the operator's (lmtpd.config) or constants of the protocol; `Dialogue` enforces
them.
"""

from __future__ import annotations

from dataclasses import dataclass

SMALLEST_MESSAGE_SIZE = 64 * 1024
"""RFC 5321 4.5.3.1.7: at least 64K octets."""
FEWEST_RECIPIENTS = 100
"""RFC 5321 4.5.3.1.8: at least 100 recipients."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may ask of us."""

    message_octets: int = 50 * 1024 * 1024
    """Announced as SIZE (RFC 1870 3)."""
    recipients: int = 1000
    """Announced as LIMITS RCPTMAX (RFC 9422 4.2); the surplus hears 452 4.5.3."""
    line_octets: int = 4096
    """A command with CR LF: 512 (RFC 5321 4.5.3.1.4), and what SMTPUTF8 and DSN add."""
    hello_octets: int = 255
    """The name after LHLO (RFC 5321 4.5.3.1.2)."""
    chunk_digits: int = 20
    """Digits of a BDAT or SIZE number (RFC 1870 4)."""
