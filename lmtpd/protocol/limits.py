"""Limits: every number that bounds a peer, beside the minimum that its RFC asks for.

The numbers are the operator's (lmtpd.config) or constants of the protocol; `Dialogue` enforces
them, and the session `copies`, for only it knows which recipient is a list.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

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
    copies: int = 5000
    """Mailboxes to which the recipients of one message lead, for each copy takes open files.

    And whoever names a large list by a thousand spellings would have each of its members gone
    through a thousand times, and as many names written to the log.
    """
    members: int = 100
    """Of a list that EXPN shows: not every client reads more lines in one reply (RFC 5321 4.2.1).

    And a short line of a client's must not make a megabyte of ours.
    """
    line_octets: int = 4096
    """A command with CR LF: 512 (RFC 5321 4.5.3.1.4), and what SMTPUTF8 and DSN add."""
    hello_octets: int = 255
    """The name after LHLO (RFC 5321 4.5.3.1.2)."""
    chunk_digits: int = 20
    """Digits of a BDAT or SIZE number (RFC 1870 4)."""
    errors: float = 100
    """Commands in a session that break the protocol."""
    noops: float = 1000
    """Commands that lead to no mail, in a row."""
    commands: float = inf
    """Commands in a session."""
    idle_s: float = 300.0
    """Of silence: 5 minutes (RFC 5321 4.5.3.2.7)."""
    command_s: float = 300.0
    """For a command, from the last reply to its CR LF; and for the client to read replies."""
    data_s: float = 3600.0
    """For the text of DATA, or of one BDAT."""
    transaction_s: float = 7200.0
    """From MAIL to the end of the message."""
