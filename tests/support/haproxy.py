"""A real haproxy before a server, on a loopback port, which tells it who the clients are."""

from __future__ import annotations

from pathlib import Path

from tests.support.certificates import Certificate
from tests.support.daemon import Daemon

OWN_ADDRESS = "127.0.0.9"
"""From which it connects to the server."""

_CONFIG = """\
defaults
  mode tcp
  timeout connect 10s
  timeout client 60s
  timeout server 60s
listen lmtp
  bind 127.0.0.1:{port}
  source {source}
  server lmtpd 127.0.0.1:{target} {options}
"""


class HAProxy(Daemon):
    """Octets in, octets out; `options` are those of the line `server`, such as `send-proxy`."""

    component = "haproxy"

    def __init__(self, certificate: Certificate, target: int, options: str) -> None:
        super().__init__(certificate)
        self._target = target
        self._options = options

    @property
    def _config(self) -> Path:
        return self.folder / "haproxy.cfg"

    def prepare(self) -> None:
        """Write its configuration."""
        self._config.write_text(
            _CONFIG.format(
                port=self.port, source=OWN_ADDRESS, target=self._target, options=self._options
            )
        )

    def command(self) -> list[str]:
        """In the foreground, one process."""
        return ["haproxy", "-db", "-f", str(self._config)]
