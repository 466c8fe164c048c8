"""Tls: whether a client encrypts, and whom it believes. `ssl` is imported when it is needed."""

from __future__ import annotations

import enum
import functools
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
    is_checked: bool = False
    """Where `ca_path` is empty believe those alone whom the system believes."""

    def context(self) -> ssl.SSLContext:
        """For TLS 1.2 and up.

        Raises:
            OSError: the certificates cannot be read.
        """
        return _context(self.ca_path, self.is_checked)


@functools.cache  # the system's certificates take their time
def _context(ca_path: str, is_checked: bool) -> ssl.SSLContext:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996: nothing older
    if ca_path:
        context.load_verify_locations(ca_path)
    elif is_checked:
        context.load_default_certs()
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
