"""Certificates for this machine's loopback, such as an operator would make, and for its clients.

Promises: valid now unless told otherwise; the context that a server's gives trusts this certificate
and no other, so a test over TLS also proves that the server showed the one it was configured with.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.support.processes import LOOPBACK

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Certificate:
    """The two PEM files a server is configured with."""

    cert_path: Path
    key_path: Path

    def client_context(self) -> ssl.SSLContext:
        """A client's context that trusts this certificate only, and checks the name."""
        return ssl.create_default_context(cafile=str(self.cert_path))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its DER, in hex."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def der(self) -> bytes:
        """The certificate as it travels."""
        first, end, _ = self.cert_path.read_text("ascii").partition("-----END CERTIFICATE-----")
        return ssl.PEM_cert_to_DER_cert(first + end)


def make_certificate(
    folder: Path,
    names: Sequence[str] = ("localhost", LOOPBACK),
    *,
    common_name: str = "localhost",
    begins: float = -1,
    ends: float = 2,
    key: Key | None = None,
    authority: Certificate | None = None,
) -> Certificate:
    """Write a new certificate and its key into a folder.

    Args:
        folder: where lmtp.crt and lmtp.key go, over those that are there.
        names: the alternatives: host names, addresses, e-mail addresses; or none.
        common_name: the subject's.
        begins: in how many days it is valid.
        ends: in how many days it expires.
        key: if not a new one on a curve.
        authority: who signs it and stands behind it in the chain; else it signs itself.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    paths = Certificate(folder / "lmtp.crt", folder / "lmtp.key")
    signed = _signed(key, names, common_name, (begins, ends), authority)
    chain = authority.cert_path.read_bytes() if authority else b""
    paths.cert_path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + chain)
    paths.key_path.touch(mode=0o600)
    paths.key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def _signed(
    key: Key,
    names: Sequence[str],
    common_name: str,
    days: tuple[float, float],
    authority: Certificate | None,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    issuer, signing = subject, key
    if authority:
        issuer = x509.load_der_x509_certificate(authority.der).subject
        loaded = serialization.load_pem_private_key(authority.key_path.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signing = loaded
    now = datetime.datetime.now(datetime.UTC)
    begins, ends = (now + datetime.timedelta(days=one) for one in days)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=not authority, path_length=None), critical=True)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(signing, hashes.SHA256())


def _alternative(name: str) -> x509.GeneralName:
    if "@" in name:
        return x509.RFC822Name(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
