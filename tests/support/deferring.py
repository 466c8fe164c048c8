"""A recipient hook of the tests that has no answer for some, as long as a test wants it."""

from __future__ import annotations

from lmtpd.config import Config
from lmtpd.protocol.address import Address
from lmtpd.recipients.verdict import RcptContext, Verdict

MARK = "deferred"
"""A file of this name in a mailbox defers its mail at RCPT."""


class Deferring:
    """Defers the addresses whose mailboxes are marked; no opinion on others."""

    def __init__(self, config: Config) -> None:
        self._root = config.lmtp_maildir_root

    def verify(self, address: Address, _: RcptContext) -> Verdict | None:
        """451 for a marked mailbox."""
        marked = (self._root / address.domain / address.local / MARK).exists()
        return Verdict.defer("marked by the test") if marked else None
