"""Settings: certificates, and where TLS begins."""

# ruff: noqa: RUF009 - `setting` is dataclasses.field by another name, and calls nothing early

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lmtpd import values
from lmtpd.settings.setting import setting
from lmtpd.values import optional

_TLS = "TLS"


@dataclass(frozen=True)
class TlsSettings:
    """A part of Config."""

    lmtp_cert_path: Path | None = setting(
        "none",
        optional(values.path),
        "Certificate chain, PEM. With it and the key STARTTLS is offered.",
        _TLS,
    )
    lmtp_key_path: Path | None = setting(
        "none", optional(values.path), "Private key of the certificate, PEM.", _TLS
    )
    lmtp_tls_only: bool = setting(
        "false",
        values.switch,
        "`true`: every TCP connection is TLS from its first byte. `false`: clear text, and"
        " STARTTLS where a certificate is set.",
        _TLS,
    )
