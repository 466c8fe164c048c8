"""KeyPair: a certificate and its key, read again when their files change.

Import it after gevent has patched `ssl`.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from ..config import Config, ConfigError
from ..file_mark import Mark, mark
from .certificate import Certificate
from .profile import server_context


class KeyPair:
    """Its last good reading."""

    def __init__(self, certificate: Path, key: Path, config: Config) -> None:
        """Read it for the first time.

        Args:
            certificate: the chain.
            key: its private key.
            config: the listener's settings.

        Raises:
            ConfigError: a file is no PEM, the key is another certificate's, or a setting that all
                contexts share cannot be used.
        """
        self._paths = certificate, key
        self._config = config
        self.fault = ""
        """Why the files are not what is used, if so."""
        self._marks: tuple[Mark, ...] = ()
        self._seen: tuple[Mark, ...] = ()
        self._read()

    def refresh(self) -> bool:
        """Read files that have changed and rest: certificate and key are replaced one by one.

        It waits for the disk. One that cannot be used is tried again at each call, and what was
        read before stays.

        Returns:
            Whether there is something new.

        Raises:
            ConfigError: what is new cannot be used.
        """
        found = self._found()
        rests, self._seen = found == self._seen, found
        if not rests or found == self._marks:
            return False
        self._read()
        return True

    def _found(self) -> tuple[Mark, ...]:
        authorities = self._config.lmtp_ca_path
        return tuple(map(mark, (*self._paths, *([authorities] if authorities else ()))))

    def _read(self) -> None:
        self._marks, found = (), self._found()
        certificate, key = self._paths
        context = server_context(self._config)
        try:
            # A password would be asked for on the terminal, where nobody sits.
            context.load_cert_chain(certificate, key, password=_no_password)
            self.certificate = Certificate.read(certificate)
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", None) or str(error)
            fault = f"lmtp-cert-path {certificate} and lmtp-key-path {key} cannot be used: {why}"
            raise ConfigError([fault]) from error
        self.context: ssl.SSLContext = context
        self._marks = found


def _no_password() -> str:
    raise ValueError("the key is encrypted; lmtpd needs one without a pass phrase")
