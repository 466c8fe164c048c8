"""A certificate that signs itself, and its key: what `openssl req -x509 -nodes` makes, with names.

For a server whose clients are told to believe this one certificate, and for trying.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from .hostname import is_host_name

RSA_BITS = 4096

_LONGEST_COMMON_NAME = 64
"""RFC 5280 A.1, ub-common-name."""


def make(names: Sequence[str], days: int, certificate: Path, key: Path) -> None:
    """Write both files; neither may be there.

    Args:
        names: host names and IP addresses of the server, at least one.
        days: for how long it is valid.
        certificate: where it goes.
        key: where its private key goes, for its owner's eyes only.

    Raises:
        FileExistsError: one is there.
        OSError: they cannot be written.
        ValueError: a name is neither a host name nor an IP address.
    """
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
    for path in (certificate, key):  # making a key takes its time
        if os.path.lexists(path):
            raise FileExistsError(f"{path} is there already, and is not written over")
    private = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    # A longer one stands among the alternatives, which is where clients look.
    common = [name for name in names[:1] if len(name) <= _LONGEST_COMMON_NAME]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one) for one in common])
    made = _signed(private, subject, alternatives, days)
    _write(
        key,
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        0o600,
    )
    _write(certificate, made, 0o644)


def _signed(
    private: rsa.RSAPrivateKey,
    subject: x509.Name,
    alternatives: x509.SubjectAlternativeName,
    days: int,
) -> bytes:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False
        )
        .sign(private, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        if is_host_name(name):
            return x509.DNSName(name)
    raise ValueError(f"{name!r} is neither a host name nor an IP address")


def _write(path: Path, content: bytes, mode: int) -> None:
    """Exclusively: whoever puts a link there first shall not choose where a key goes."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
