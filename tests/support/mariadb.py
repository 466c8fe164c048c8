"""A real MariaDB with an empty data base `mail` of the user `lmtpd`."""

from __future__ import annotations

from tests.support.daemon import Daemon
from tests.support.postgresql import PASSWORD
from tests.support.processes import LOOPBACK

_INIT = f"""\
CREATE DATABASE mail CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE DATABASE latin CHARACTER SET latin1;
CREATE USER lmtpd@'{LOOPBACK}' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON *.* TO lmtpd@'{LOOPBACK}';
CREATE USER lmtpd@localhost IDENTIFIED BY '{PASSWORD}';
GRANT SELECT ON mail.* TO lmtpd@localhost;
"""


class MariaDB(Daemon):
    """MariaDB with TLS."""

    component = "mariadb"
    account = "mysql"

    def prepare(self) -> None:
        """Make its own tables."""
        (self.folder / "init.sql").write_text(_INIT)
        self.own(self.folder / "init.sql")
        self.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                f"--datadir={self.folder}/data",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            ]
        )

    def command(self) -> list[str]:
        """The server."""
        return [
            "mariadbd",
            "--no-defaults",
            f"--datadir={self.folder}/data",
            f"--socket={self.folder}/socket",
            f"--pid-file={self.folder}/pid",
            f"--init-file={self.folder}/init.sql",
            f"--bind-address={LOOPBACK}",
            f"--port={self.port}",
            f"--ssl-cert={self.folder}/cert_path",
            f"--ssl-key={self.folder}/key_path",
            "--skip-name-resolve",
            "--innodb-flush-log-at-trx-commit=0",
        ]
