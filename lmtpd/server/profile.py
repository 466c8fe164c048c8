"""What every context of a listener has in common: versions, ciphers, and whom clients' certificates
must be from. Import it after gevent has patched `ssl`.
"""

from __future__ import annotations

import ssl

from ..config import Config, ConfigError

WEAKEST_BITS = 112
"""RFC 9325 4.1: no cipher with less strength may be negotiated."""

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_CLIENTS = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


def server_context(config: Config) -> ssl.SSLContext:
    """A context without a certificate of its own.

    Raises:
        ConfigError: OpenSSL cannot do what a setting asks for.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[config.lmtp_tls_min_version]
    if config.lmtp_tls_max_version is not None:
        context.maximum_version = _VERSIONS[config.lmtp_tls_max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # As the profile says: all ciphers are good, and the client knows what its processor does best.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    _set_ciphers(context, config.lmtp_tls_ciphers)
    _ask_clients(context, config)
    return context


def _set_ciphers(context: ssl.SSLContext, ciphers: str) -> None:
    try:
        context.set_ciphers(ciphers)
    except ssl.SSLError as error:
        raise ConfigError([f"lmtp-tls-ciphers: OpenSSL knows no cipher of {ciphers!r}"]) from error
    weak = [
        cipher["name"]
        for cipher in context.get_ciphers()
        if cipher["strength_bits"] < WEAKEST_BITS or cipher.get("auth") == "auth-null"
    ]
    if weak:
        raise ConfigError([f"lmtp-tls-ciphers: {', '.join(weak)}: anybody could listen, or answer"])


def _ask_clients(context: ssl.SSLContext, config: Config) -> None:
    context.verify_mode = _CLIENTS[config.lmtp_client_certificate]
    if context.verify_mode == ssl.CERT_NONE or config.lmtp_ca_path is None:
        return
    # A client's own certificate may be listed in the place of its authority's.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(config.lmtp_ca_path)
    except OSError as error:
        why = getattr(error, "reason", None) or str(error)
        raise ConfigError([f"lmtp-ca-path: {config.lmtp_ca_path} cannot be used: {why}"]) from error
