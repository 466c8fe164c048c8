"""Settings: certificates, and where TLS begins."""

# ruff: noqa: RUF009 - `setting` is dataclasses.field by another name, and calls nothing early

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lmtpd import values
from lmtpd.settings.setting import setting
from lmtpd.values import optional

_TLS = "TLS"

INTERMEDIATE = ":".join(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
    )
)
"""Mozilla's guideline 5.7, less finite-field DHE, for which Python needs a file of parameters."""


@dataclass(frozen=True)
class TlsSettings:
    """A part of Config."""

    lmtp_cert_path: tuple[Path, ...] = setting(
        "none",
        values.paths,
        "Certificate chain, PEM. With it and the key STARTTLS is offered. Several, with semicolons"
        " between them, are chosen by the name that a client asks for (SNI); the first is for all"
        " others. They are read again when they change.",
        _TLS,
    )
    lmtp_key_path: tuple[Path, ...] = setting(
        "none",
        values.paths,
        "Private key of the certificate, PEM; one for each certificate, in their order.",
        _TLS,
    )
    lmtp_tls_only: bool = setting(
        "false",
        values.switch,
        "`true`: every TCP connection is TLS from its first byte. `false`: clear text, and"
        " STARTTLS where a certificate is set.",
        _TLS,
    )
    lmtp_tls_min_version: str = setting(
        "1.2", values.tls_version, "The oldest version of TLS that is spoken: `1.2` or `1.3`.", _TLS
    )
    lmtp_tls_max_version: str | None = setting(
        "none", optional(values.tls_version), "The newest; `none`: the newest that there is.", _TLS
    )
    lmtp_tls_ciphers: str = setting(
        INTERMEDIATE,
        values.ciphers,
        "Ciphers of TLS 1.2, a list as OpenSSL reads it; TLS 1.3 has its own. The default is"
        " Mozilla's intermediate profile.",
        _TLS,
    )
    lmtp_tls_handshake_timeout: float = setting(
        "30s",
        values.between(1.0, 300.0, values.seconds),
        "How long a TLS handshake may take as a whole.",
        _TLS,
    )
    lmtp_ca_path: Path | None = setting(
        "none",
        optional(values.path),
        "Certificates, PEM, that sign those of clients; or clients' own. Read again when changed.",
        _TLS,
    )
    lmtp_client_certificate: str = setting(
        "none",
        values.client_certificate,
        "`required`: a TCP client must show a certificate that `lmtp-ca-path` vouches for, and says"
        " STARTTLS before all else. `optional`: one that is shown must be good. `none`: not asked"
        " for. It comes on top of `lmtp-trusted-ips`, and takes the place of no address there.",
        _TLS,
    )
    lmtp_client_names: frozenset[str] = setting(
        "none",
        values.certificate_names,
        "Names, with semicolons between them, of which a client's certificate must have one"
        " (subjectAltName: DNS or e-mail; where it has none of any kind, the common name), unless"
        " its fingerprint is listed. Neither set: whoever `lmtp-ca-path` vouches for.",
        _TLS,
    )
    lmtp_client_fingerprints: frozenset[str] = setting(
        "none",
        values.fingerprints,
        "SHA-256 fingerprints of clients' certificates, with semicolons between them, that are good"
        " besides `lmtp-client-names`.",
        _TLS,
    )
