"""What is known of one transaction before its text comes: who sends, to whom, over what."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from .address import Address


class BodyType(enum.Enum):
    """The BODY parameter of MAIL (RFC 6152 2, RFC 3030 3)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT_MIME = "8BITMIME"
    BINARY_MIME = "BINARYMIME"


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A client's certificate for which an authority of ours vouches."""

    name: str
    """Its first; empty if it has none that can be listed."""
    fingerprint: str
    """SHA-256 of its DER, in hex."""
    is_listed: bool
    """It is one of those that may connect, or there are no lists."""

    def __str__(self) -> str:
        """For the log."""
        return self.name or self.fingerprint


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """What was agreed on in the TLS handshake."""

    version: str
    cipher: str
    bits: int
    client: ClientCertificate | None = None
    """What the client has shown, if it was asked."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The machine at the other end; the address is empty on a unix socket."""

    address: str
    port: int = 0
    name: str = ""
    """Its name by DNS, confirmed both ways; empty while unknown."""
    user: str = ""
    """Who runs it, on a unix socket: the name in `lmtp-trusted-users`, else the number."""

    def __str__(self) -> str:
        """For the log."""
        return self.address or (f"local:{self.user}" if self.user else "local")


@dataclass(frozen=True, slots=True)
class Recipient:
    """A forward-path that was accepted, and the mailboxes that its verifier resolved it to."""

    address: Address
    mailboxes: tuple[str, ...]
    original: str = ""
    """ORCPT of RFC 3461 4.2, decoded: `rfc822;alice@example.org`."""


@dataclass(slots=True)
class Envelope:
    """One mail transaction, from MAIL on."""

    id: str
    reverse_path: str
    """What MAIL carried between its angle brackets, less a source route; empty for a bounce."""
    body: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    recipients: list[Recipient] = field(default_factory=list)
    copies: int = 0
    """Mailboxes of all recipients; one that several lead to counts for each."""
    client_name: str = ""
    """The name after LHLO."""
    tls: TlsInfo | None = None
