"""A recipient hook of the tests, loaded by its dotted path as anybody's would be.

The local part says what shall happen to an address of fates.example.
"""

from __future__ import annotations

from lmtpd.protocol.address import Address
from lmtpd.recipients.verdict import RcptContext, Verdict


class Fates:
    """Every kind of verdict, and every way to break."""

    def __init__(self, config: object) -> None:
        self.config = config

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:
        """The verdict that the local part names."""
        if address.domain != "fates.example":
            return None
        match address.local:
            case "full":
                return Verdict.full()
            case "rejected":
                return Verdict.reject("Closed until\r\n250 Monday")
            case "unknown":
                return Verdict.unknown()
            case "deferred":
                return Verdict.defer("the directory is down")
            case "escaping":
                return Verdict.accept("../../etc@fates.example")
            case "bounces" if context.reverse_path:
                return Verdict.reject("Takes bounces only")
            case "bounces":
                return Verdict.accept("alice@example.org")
            case _:
                raise ConnectionError("/secret/path is not reachable")
