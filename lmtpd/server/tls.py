"""Certificates: what a listener shows to its clients, and what it thinks of theirs.

Import it after gevent has patched `ssl`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..config import Config, ConfigError
from ..protocol.envelope import ClientCertificate
from .client_list import ClientList

if TYPE_CHECKING:
    from .key_pair import KeyPair

LOOK_S = 5.0
"""Between two looks at the files."""

News = list[tuple[str, dict[str, object]]]
"""Lines for the log."""

_LOADED = "certificate-loaded"


class Certificates:
    """The pairs of a listener; the first is for clients that ask for no name, or none of ours."""

    def __init__(self, config: Config) -> None:
        """Read all of them.

        Args:
            config: the listener's settings, with a certificate.

        Raises:
            ConfigError: a pair cannot be used.
        """
        # Here, not above: a server without TLS shall not pay for reading certificates.
        from .key_pair import KeyPair

        self.handshake_seconds = config.lmtp_tls_handshake_timeout
        self._list = ClientList(config.lmtp_client_names, config.lmtp_client_fingerprints)
        self._pairs: list[KeyPair] = []
        faults: list[str] = []
        for paths in zip(config.lmtp_cert_path, config.lmtp_key_path, strict=True):
            try:
                self._pairs.append(KeyPair(*paths, config))
            except ConfigError as error:
                faults += error.faults
        if faults:
            raise ConfigError(dict.fromkeys(faults))
        self._arrange()

    @property
    def context(self) -> ssl.SSLContext:
        """For the next handshake."""
        return self._pairs[0].context

    def client_of(self, connection: ssl.SSLSocket) -> ClientCertificate | None:
        """What the client has shown in a handshake that has ended well, and was verified by it."""
        if connection.context.verify_mode == ssl.CERT_NONE:
            return None
        der = connection.getpeercert(binary_form=True)
        return self._list.judge(der, connection.getpeercert() or {}) if der else None

    def loaded(self) -> News:
        """Each pair that is in use."""
        return [(_LOADED, _told(pair)) for pair in self._pairs]

    def refresh(self, offload: Callable[[Callable[[], News]], News]) -> News:
        """Take over pairs that were replaced; connections that are open keep what they have.

        Args:
            offload: calls a function on a real thread, and waits for it.

        Returns:
            What became of each; of one that cannot be used, once.
        """
        news = offload(self._look)
        self._arrange()
        return news

    def told(self) -> list[dict[str, object]]:
        """Which are in use, and until when they hold, in seconds since 1970."""
        return [
            {
                "file": str(pair.certificate.path),
                "names": list(pair.certificate.names),
                "not_after": pair.certificate.not_after.timestamp(),
            }
            for pair in self._pairs
        ]

    def warnings(self) -> Iterator[str]:
        """What the operator should hear, as of now."""
        now = datetime.now(UTC)
        for pair in self._pairs:
            yield from pair.certificate.warnings(now)

    def _look(self) -> News:
        news: News = []
        for pair in self._pairs:
            try:
                is_new, fault = pair.refresh(), ""
            except ConfigError as error:
                is_new, fault = False, str(error)
            if is_new:
                pair.fault = ""
                news.append((_LOADED, _told(pair)))
            elif fault not in ("", pair.fault):
                pair.fault = fault
                news.append(("certificate-refused", {**_told(pair), "cause": fault}))
        return news

    # The name that a client asks for (RFC 6066 3).

    def _arrange(self) -> None:
        """Where two pairs have a name in common the first has it."""
        self._contexts: dict[str, ssl.SSLContext] = {}
        for pair in self._pairs:
            for name in pair.certificate.names:
                self._contexts.setdefault(name, pair.context)
        if len(self._pairs) > 1:
            self.context.sni_callback = self._choose

    def _choose(
        self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext
    ) -> None:
        name = (name or "").lower().removesuffix(".")
        # A wildcard stands for the left-most label alone (RFC 6125 6.4.3).
        wildcard = f"*.{name.partition('.')[2]}"
        chosen = self._contexts.get(name) or self._contexts.get(wildcard)
        if chosen:
            connection.context = chosen


def certificates_for(config: Config) -> Certificates | None:
    """What STARTTLS and implicit TLS use; None where no certificate is configured.

    Raises:
        ConfigError: certificate and key cannot be used.
    """
    return Certificates(config) if config.lmtp_cert_path and config.lmtp_key_path else None


def certificates_of(listeners: Iterable[Config]) -> list[Certificates | None]:
    """Those of each; listeners that agree in all of TLS share them, and each file is read once.

    Raises:
        ConfigError: certificate and key cannot be used.
    """
    rows = [row.attribute for row in Config.settings() if row.group == "TLS"]
    made: dict[tuple[object, ...], Certificates | None] = {}
    found = []
    for listener in listeners:
        values = tuple(getattr(listener, row) for row in rows)
        if values not in made:
            made[values] = certificates_for(listener)
        found.append(made[values])
    return found


def _told(pair: KeyPair) -> dict[str, object]:
    """What is in use."""
    certificate = pair.certificate
    return {
        "file": certificate.path,
        "names": ",".join(certificate.names),
        "not_after": f"{certificate.not_after:%Y-%m-%dT%H:%M:%SZ}",
    }
