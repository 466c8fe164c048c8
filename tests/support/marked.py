"""A recipient hook of the tests: files in a mailbox say what becomes of its mail at RCPT."""

from __future__ import annotations

from lmtpd.config import Config
from lmtpd.protocol.address import Address
from lmtpd.recipients.verdict import RcptContext, Verdict

DEFERRED = "deferred"
"""A file of this name defers the mail, as long as it is there."""
GONE = "gone"
"""A file of this name: no such mailbox, from now on; `maildirs` would remember it for a while."""


class Marked:
    """An opinion on marked mailboxes, and none on others; nothing is kept."""

    positive_ttl_s = negative_ttl_s = 0.0

    def __init__(self, config: Config) -> None:
        self._root = config.lmtp_maildir_root

    def verify(self, address: Address, _: RcptContext) -> Verdict | None:
        """451 or 550 for a marked mailbox."""
        mailbox = self._root / address.domain / address.local
        if (mailbox / GONE).exists():
            return Verdict.unknown()
        return Verdict.defer("marked by the test") if (mailbox / DEFERRED).exists() else None
