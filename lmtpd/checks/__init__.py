"""Do the values of a Config go together, and with this machine?

A check is a row: the keys that it compares, and a function from Config to what is wrong, in words
for the administrator, mostly nothing. lmtpd.config runs them and knows where the values stood.
Files are looked at and never changed; certificates are not parsed, for that needs ssl, which
gevent has to patch first. A new check is a new row in the file of its kind.
"""

from __future__ import annotations

from lmtpd.checks import files, hooks, listening, mailboxes, processes, tls
from lmtpd.checks.check import Check
from lmtpd.checks.hooks import BACK_ENDS
from lmtpd.checks.listening import shares_path, shares_port

__all__ = ["BACK_ENDS", "FAULTS", "WARNINGS", "Check", "shares_path", "shares_port"]

FAULTS: tuple[Check, ...] = (
    *tls.FAULTS,
    *files.FAULTS,
    *hooks.FAULTS,
    *mailboxes.FAULTS,
    *processes.FAULTS,
    *listening.FAULTS,
)
"""What keeps lmtpd from starting."""

WARNINGS: tuple[Check, ...] = (
    *listening.WARNINGS,
    *tls.WARNINGS,
    *mailboxes.WARNINGS,
    *hooks.WARNINGS,
    *processes.WARNINGS,
)
"""What lmtpd says at start, and goes on."""
