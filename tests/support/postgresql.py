"""A real PostgreSQL with an empty data base `mail` of the role `lmtpd`."""

from __future__ import annotations

import signal
import subprocess

from tests.support.daemon import Daemon
from tests.support.processes import LOOPBACK

PASSWORD = "quite secret"


class PostgreSQL(Daemon):
    """PostgreSQL in UTF-8, with TLS; nobody gets in without the password."""

    component = "postgresql"
    account = "postgres"
    end_by = signal.SIGINT
    # Its processes are many; so all of them drop what they do, and it recovers when it starts.
    kill_by = signal.SIGQUIT

    def prepare(self) -> None:
        """Make the cluster."""
        (self.folder / "password").write_text(f"{PASSWORD}\n")
        self.own(self.folder / "password")
        self.run(
            [
                self._program("initdb"),
                "--pgdata=data",
                "--username=lmtpd",
                "--pwfile=password",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ]
        )
        self.run(
            [self._program("postgres"), "--single", "-D", "data", "postgres"],
            "CREATE DATABASE mail\n"
            "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'\n",
        )

    def command(self) -> list[str]:
        """The server."""
        options = {
            "port": self.port,
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": self.folder / "cert_path",
            "ssl_key_file": self.folder / "key_path",
        }
        settings = [f"--{key}={value}" for key, value in options.items()]
        return [self._program("postgres"), "-D", "data", *settings]

    def is_ready(self) -> bool:
        """It accepts connections before it has started, and turns them away."""
        asked = [self._program("pg_isready"), f"--host={LOOPBACK}", f"--port={self.port}"]
        return subprocess.run(asked, stdout=subprocess.DEVNULL).returncode == 0

    def _program(self, name: str) -> str:
        told = subprocess.run(["pg_config", "--bindir"], capture_output=True, check=True, text=True)
        return f"{told.stdout.strip()}/{name}"
