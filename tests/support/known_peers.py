"""A recipient hook of the tests that has mailboxes for some clients only."""

from __future__ import annotations

from lmtpd.protocol.address import Address
from lmtpd.recipients.verdict import RcptContext, Verdict


class FromDocumentation:
    """No such mailbox, unless a client of 192.0.2.0/24 (RFC 5737) asks."""

    def __init__(self, config: object) -> None:
        self.config = config

    def verify(self, _: Address, context: RcptContext) -> Verdict | None:
        """No opinion to those, and a refusal to all others."""
        return None if context.peer.address.startswith("192.0.2.") else Verdict.unknown()
