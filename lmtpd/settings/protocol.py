"""Settings: what is offered to clients."""

from __future__ import annotations

from dataclasses import dataclass

from lmtpd import values
from lmtpd.settings.setting import setting

_PROTOCOL = "Protocol"


@dataclass(frozen=True)
class ProtocolSettings:
    """A part of Config."""

    lmtp_vrfy: bool = setting(
        "true", values.switch, "VRFY and EXPN answer truly; `false`: always 252.", _PROTOCOL
    )
    lmtp_xforward: bool = setting(
        "true", values.switch, "Offer XFORWARD, by which Postfix names the first client.", _PROTOCOL
    )
    lmtp_dsn: bool = setting(
        "false", values.switch, "Offer DSN, and take its parameters (RFC 3461).", _PROTOCOL
    )
