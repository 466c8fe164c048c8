"""A self-signed certificate for this machine's loopback, such as an operator would make.

Promises: valid now, for `localhost` and 127.0.0.1; the context it gives trusts this certificate
and no other, so a test over TLS also proves that the server showed the one it was configured with.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.processes import LOOPBACK


@dataclass(frozen=True, slots=True)
class Certificate:
    """The two PEM files a server is configured with."""

    cert_path: Path
    key_path: Path

    def client_context(self) -> ssl.SSLContext:
        """A client's context that trusts this certificate only, and checks the name."""
        return ssl.create_default_context(cafile=str(self.cert_path))


def make_certificate(folder: Path) -> Certificate:
    """Write a new certificate and its key into a folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    paths = Certificate(folder / "lmtp.crt", folder / "lmtp.key")
    paths.cert_path.write_bytes(_self_signed(key).public_bytes(serialization.Encoding.PEM))
    paths.key_path.touch(mode=0o600)
    paths.key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
