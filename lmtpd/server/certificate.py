"""Certificate: what a chain in a file says of itself, for SNI and for the operator.

It needs `cryptography`, which costs a worker some megabytes: import it where TLS is configured.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

NOTICE = timedelta(days=14)
"""How long before the end it is time to say so."""
SHORTEST_RSA_BITS = 2048
"""RFC 9325 4.5."""

_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What a certificate can be to which OpenSSL has nothing to say."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The first of a chain, and what is wrong with all of them."""

    path: Path
    names: tuple[str, ...]
    """Host names, in lower case; a wildcard as it stands: `*.example.org`."""
    not_before: datetime
    not_after: datetime
    flaws: tuple[str, ...]
    """What clients may take exception to, whatever the date."""

    @classmethod
    def read(cls, path: Path) -> Certificate:
        """What the file says.

        Raises:
            OSError: it cannot be read.
            ValueError: it holds no certificate, or one that cannot be understood.
        """
        try:
            chain = x509.load_pem_x509_certificates(path.read_bytes())
            names = _alternative_names(chain[0])
            return cls(
                path,
                tuple(name.lower() for name in names or _common_names(chain[0])),
                chain[0].not_valid_before_utc,
                chain[0].not_valid_after_utc,
                tuple(_flaws(chain)),
            )
        except _UNREADABLE as error:
            raise ValueError(f"its certificate cannot be understood: {error}") from error

    def warnings(self, now: datetime) -> Iterator[str]:
        """What the operator should hear of it."""
        begins, ends = (f"{one:%Y-%m-%d %H:%M} UTC" for one in (self.not_before, self.not_after))
        said = list(self.flaws)
        if now < self.not_before:
            said.append(f"is not valid before {begins}: is the clock right?")
        if now > self.not_after:
            said.append(f"has expired on {ends}: renew it")
        elif now > self.not_after - NOTICE:
            said.append(f"expires on {ends}: renew it")
        return (f"lmtp-cert-path {self.path}: {one}" for one in said)


def _alternative_names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return extension.value.get_values_for_type(x509.DNSName)


def _common_names(certificate: x509.Certificate) -> list[str]:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return [str(one.value) for one in found]


def _flaws(chain: list[x509.Certificate]) -> Iterator[str]:
    first = chain[0]
    try:
        first.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        yield "has no subjectAltName, by which clients check names (RFC 9525)"
    key = first.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < SHORTEST_RSA_BITS:
        yield f"its RSA key has {key.key_size} bits: {SHORTEST_RSA_BITS} are the least"
    for number, (one, issuer) in enumerate(itertools.pairwise(chain), 1):
        if one.issuer != issuer.subject:
            yield f"the chain is out of order: number {number + 1} did not sign number {number}"
