"""From certificate and key to an SSLContext. Import it after gevent has patched `ssl`."""

from __future__ import annotations

import ssl
from pathlib import Path

from ..config import Config, ConfigError


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context for TLS 1.2 and up, with OpenSSL's own choice of ciphers.

    Raises:
        ConfigError: a file is no PEM, or the key is another certificate's.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996: nothing older
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        # A password would be asked for on the terminal, where nobody sits.
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        why = getattr(error, "reason", None) or str(error)
        fault = f"lmtp-cert-path {certificate} and lmtp-key-path {key} cannot be used: {why}"
        raise ConfigError([fault]) from error
    return context


def context_for(config: Config) -> ssl.SSLContext | None:
    """What STARTTLS and implicit TLS use; None where no certificate is configured.

    Raises:
        ConfigError: certificate and key cannot be used.
    """
    if config.lmtp_cert_path is None or config.lmtp_key_path is None:
        return None
    return server_context(config.lmtp_cert_path, config.lmtp_key_path)


def _no_password() -> str:
    raise ValueError("the key is encrypted; lmtpd needs one without a pass phrase")
