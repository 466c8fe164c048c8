"""The site: a server with all that it needs, on a disk that is small and with a real data base.

Promises: what was started is ended, and what was mounted is gone, at the end of the `with` block.
The server reads its settings from a file, which can be changed while it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy

from bench.endurance.ledger import Ledger
from bench.endurance.log_tail import LogTail
from bench.endurance.reader import Reader
from tests.support.certificates import Certificate, make_certificate
from tests.support.postgresql import PASSWORD, PostgreSQL
from tests.support.processes import LOOPBACK, free_port
from tests.support.server import Server
from tests.support.store_on import SmallDisk

DISK_OCTETS = 192 * 1024 * 1024
INODES = 8192
WORKERS = 3

_EACH = 40
_IN_TABLE = tuple(f"t{number:02}@table.example" for number in range(_EACH))
_IN_SQL = tuple(f"s{number:02}@sql.example" for number in range(_EACH))
_TEAM = "team@table.example"
_MEMBERS = tuple(f"m{number}@table.example" for number in range(3))

UNKNOWN = "nobody@sql.example"
ROUTES: Mapping[str, tuple[str, ...]] = {
    **{address: (address,) for address in (*_IN_TABLE, *_IN_SQL)},
    _TEAM: _MEMBERS,
}
"""The mailboxes of each address; the hook `table` knows some, PostgreSQL the others."""
MAILBOXES = tuple(box for boxes in ROUTES.values() for box in boxes)

_QUERY = "SELECT mailbox FROM recipients WHERE address = :address"


@dataclass(slots=True)
class Site:
    """What there is to disturb."""

    server: Server
    disk: SmallDisk
    data_base: PostgreSQL
    configuration: Configuration
    certificate: Certificate
    reader: Reader
    ledger: Ledger
    log: LogTail
    status_port: int


class Configuration:
    """The file of the server's settings."""

    def __init__(self, path: Path, settings: Mapping[str, object]) -> None:
        """It is written at once."""
        self.path = path
        self._settings = settings
        self.write()

    def write(self, **changed: object) -> None:
        """Replace it: the settings of the begin, but for these."""
        lines = [
            f"{name.replace('_', '-')} = {value}\n"
            for name, value in {**self._settings, **changed}.items()
        ]
        new = self.path.with_suffix(".new")
        new.write_text("".join(lines))
        new.replace(self.path)


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """The server runs within this context.

    Raises:
        MountError: this system does not let us mount a disk.
    """
    with ExitStack() as stack:
        disk = stack.enter_context(SmallDisk("ext4", folder, DISK_OCTETS, INODES))
        certificate = make_certificate(folder)
        data_base = stack.enter_context(PostgreSQL(certificate))
        _fill(data_base.port)
        ledger = stack.enter_context(Ledger(ROUTES, folder))
        status_port = free_port()
        settings = _settings(folder, data_base.port, certificate, status_port)
        configuration = Configuration(folder / "lmtpd.conf", settings)
        server = Server(
            folder, prefix=disk.prefix(), config=configuration.path, lmtp_maildir_root=disk.path
        )
        stack.enter_context(server)
        log = LogTail(folder / "server.err")
        reader = Reader(disk.seen, MAILBOXES, ledger)
        yield Site(
            server, disk, data_base, configuration, certificate, reader, ledger, log, status_port
        )


def _settings(
    folder: Path, data_base_port: int, certificate: Certificate, status_port: int
) -> dict[str, object]:
    table = folder / "table"
    lines = [*_IN_TABLE, f"{_TEAM} {', '.join(_MEMBERS)}"]
    table.write_text("".join(f"{line}\n" for line in lines))
    password = folder / "password"
    password.write_text(f"{PASSWORD}\n")
    password.chmod(0o600)
    return {
        "lmtp_workers": WORKERS,
        "lmtp_recipient_hooks": "table;sql",
        "lmtp_recipient_table": table,
        "lmtp_sql_url": f"postgresql://lmtpd@{LOOPBACK}:{data_base_port}/mail",
        "lmtp_sql_password_file": password,
        "lmtp_sql_query": _QUERY,
        # So short that an outage of the data base is felt.
        "lmtp_verify_positive_ttl": "2s",
        "lmtp_verify_negative_ttl": "2s",
        "lmtp_verify_stale": 0,
        "lmtp_hook_timeout": 2,
        "lmtp_hook_pause": 4,
        # The disk may be filled to the end.
        "lmtp_disk_reserve": "none",
        "lmtp_dns": "false",
        "lmtp_cert_path": certificate.cert_path,
        "lmtp_key_path": certificate.key_path,
        "lmtp_status_addr": f"{LOOPBACK}:{status_port}",
    }


def _fill(port: int) -> None:
    secret = PASSWORD.replace(" ", "%20")
    engine = sqlalchemy.create_engine(f"postgresql+pg8000://lmtpd:{secret}@{LOOPBACK}:{port}/mail")
    with engine.begin() as connection:
        make = "CREATE TABLE recipients (address VARCHAR(320) PRIMARY KEY, mailbox VARCHAR(320))"
        connection.execute(sqlalchemy.text(make))
        fill = "INSERT INTO recipients VALUES (:address, :address)"
        connection.execute(sqlalchemy.text(fill), [{"address": address} for address in _IN_SQL])
    engine.dispose()
