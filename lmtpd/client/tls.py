"""Tls: whether a client encrypts, and whom it believes. `ssl` is imported when it is needed."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


class TlsMode(enum.Enum):
    """How TLS begins: not at all, by STARTTLS if it is offered, by STARTTLS, or at once."""

    NONE = "none"
    MAY = "may"
    ENCRYPT = "encrypt"
    IMPLICIT = "implicit"

    @property
    def has_starttls(self) -> bool:
        """The dialogue has to ask for it."""
        return self in (TlsMode.MAY, TlsMode.ENCRYPT)


@dataclass(frozen=True, slots=True)
class Tls:
    """Whether to encrypt, and whom to believe."""

    mode: TlsMode = TlsMode.NONE
    ca_path: str = ""
    """Certificates that sign the server's, PEM; empty: encrypt, and believe anybody."""
    name: str = ""
    """The server's name in its certificate; empty: as the target has it."""

    def context(self) -> ssl.SSLContext:
        """For TLS 1.2 and up.

        Raises:
            OSError: the certificates cannot be read.
        """
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996: nothing older
        if self.ca_path:
            context.load_verify_locations(self.ca_path)
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context
