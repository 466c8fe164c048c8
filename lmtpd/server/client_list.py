"""ClientList: which of the clients that an authority vouches for may connect."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from ..protocol.envelope import ClientCertificate


class ClientList:
    """Names and fingerprints; whoever is in neither is refused, unless both are empty."""

    def __init__(self, names: frozenset[str], fingerprints: frozenset[str]) -> None:
        """Names in lower case; fingerprints are SHA-256 in hex, in lower case."""
        self._names = names
        self._fingerprints = fingerprints

    def judge(self, der: bytes, fields: Mapping[str, Any]) -> ClientCertificate:
        """A certificate that was verified.

        Args:
            der: the whole.
            fields: what `SSLSocket.getpeercert` makes of it.
        """
        names = list(_names(fields))
        fingerprint = hashlib.sha256(der).hexdigest()
        is_listed = (
            fingerprint in self._fingerprints
            or not self._names.isdisjoint(name.lower() for name in names)
            or not (self._names or self._fingerprints)
        )
        return ClientCertificate(names[0] if names else "", fingerprint, is_listed)


def _names(fields: Mapping[str, Any]) -> Iterator[str]:
    """The common name counts only where no alternative does (RFC 6125 6.4.4)."""
    alternatives = fields.get("subjectAltName")
    if alternatives is not None:
        yield from (name for kind, name in alternatives if kind in ("DNS", "email"))
        return
    for attributes in fields.get("subject", ()):
        yield from (text for kind, text in attributes if kind == "commonName")
