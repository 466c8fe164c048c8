"""Every back-end with the same population, and what can befall it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import pytest
import sqlalchemy

from lmtpd import config, wiring
from lmtpd.recipients.guard import GuardedHook
from lmtpd.recipients.ldap import LdapVerifier
from lmtpd.recipients.process import in_thread
from lmtpd.recipients.sql import SqlVerifier
from lmtpd.recipients.verdict import RecipientVerifier
from tests.support import population
from tests.support.accounts import Accounts
from tests.support.certificates import Certificate
from tests.support.daemon import Daemon
from tests.support.gate import Gate, Mode
from tests.support.homes import Site, capable_server, root_server
from tests.support.mariadb import MariaDB
from tests.support.postgresql import PASSWORD, PostgreSQL
from tests.support.processes import LOOPBACK
from tests.support.server import Server
from tests.support.slapd import BASE, BIND_DN, Slapd

QUERY = (
    "SELECT mailbox, word FROM recipients WHERE address = :address"
    " UNION ALL SELECT mailbox, 'catch-all' AS word FROM catch_alls WHERE domain = :domain"
)
FILTER = "(|(mailLocalAddress={address})(mailLocalAddress=@{domain}))"


class Fate(Protocol):
    """What can befall a back-end; each lasts until the next."""

    def leave(self) -> object:
        """It is not there."""

    def lose(self) -> object:
        """It is there, but whoever was connected is so no longer."""

    def hang(self) -> object:
        """It takes questions, and answers none."""

    def halve(self) -> object:
        """It dies half-way through an answer."""

    def babble(self) -> object:
        """It answers nonsense."""

    def recover(self) -> object:
        """It is as it should be."""


class OnTheNetwork:
    """The fates of a server behind a gate."""

    def __init__(self, gate: Gate) -> None:
        self.leave = gate.close
        self.lose = gate.cut
        self.hang = lambda: gate.set(Mode.HOLD)
        self.halve = lambda: gate.set(Mode.HALVE)
        self.babble = lambda: gate.set(Mode.GARBLE)
        self.recover = gate.open


class OnTheDisk:
    """The fates of a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._octets = path.read_bytes()
        self._holder: sqlite3.Connection | None = None

    def leave(self) -> None:
        self._path.unlink()

    def lose(self) -> None:
        self._path.write_bytes(self._octets)

    def hang(self) -> None:
        """Somebody writes and does not come to an end."""
        self._holder = sqlite3.connect(self._path, isolation_level=None)
        self._holder.execute("BEGIN EXCLUSIVE")

    def halve(self) -> None:
        self._path.write_bytes(self._octets[: len(self._octets) // 2])

    def babble(self) -> None:
        self._path.write_bytes(b"HTTP/1.1 200 OK\r\n\r\n" * 10_000)

    def recover(self) -> None:
        if self._holder:
            self._holder.close()
        self._path.write_bytes(self._octets)


@dataclass
class BackEnd:
    """A hook's settings, and what can be done to what is behind it."""

    hook: str
    settings: dict[str, object]
    fate: Fate
    gate: Gate | None = None
    folder: Path = field(default=Path())
    _built: list[RecipientVerifier] = field(default_factory=list)

    def build(self, **settings: object) -> RecipientVerifier:
        """The hook, as the server would have it."""
        hook = built(self.folder, self.hook, **{**self.settings, **settings})
        self._built.append(hook)
        return hook

    def close(self) -> None:
        """What a process does by ending: hang up."""
        for hook in self._built:
            hang_up(hook)


def hang_up(hook: RecipientVerifier) -> None:
    """Close the connections that a hook keeps."""
    if isinstance(hook, SqlVerifier | LdapVerifier) and hook._sessions:
        while hook._sessions._idle:
            hook._sessions._idle.pop().close()


def built(folder: Path, hook: str, **settings: object) -> RecipientVerifier:
    """A hook made by the wiring."""
    texts = {
        name.replace("_", "-"): str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in settings.items()
    }
    given = {"lmtp-maildir-root": str(folder), "lmtp-recipient-hooks": hook, **texts}
    loaded = config.load(None, {}, given)
    hooks: list[GuardedHook] = []

    def watched(guarded: GuardedHook) -> GuardedHook:
        hooks.append(guarded)
        return guarded

    process = wiring.process(in_thread, threading.Event, lambda _, **__: None)
    wiring.verifier(loaded, wiring.tree(loaded), process, watched)
    return hooks[0]._hook


def fill(url: str) -> None:
    """The tables of QUERY, with the population."""
    catch_alls = [row for row in population.rows() if row["address"].startswith("@")]
    rows = [row for row in population.rows() if row not in catch_alls]
    engine = sqlalchemy.create_engine(url)
    text = "MEDIUMTEXT" if engine.name in ("mysql", "mariadb") else "TEXT"
    with engine.begin() as connection:
        for line in (
            f"CREATE TABLE recipients (address VARCHAR(400), mailbox {text}, word VARCHAR(200))",
            "CREATE TABLE catch_alls (domain VARCHAR(255), mailbox VARCHAR(320))",
        ):
            connection.execute(sqlalchemy.text(line))
        connection.execute(
            sqlalchemy.text("INSERT INTO recipients VALUES (:address, :mailbox, :word)"), rows
        )
        connection.execute(
            sqlalchemy.text("INSERT INTO catch_alls VALUES (:domain, :mailbox)"),
            [{"domain": row["address"][1:], "mailbox": row["mailbox"]} for row in catch_alls],
        )
    engine.dispose()


def sql_url(driver: str, port: int, *, password: str = "", database: str = "mail") -> str:
    secret = f":{quote(password)}" if password else ""
    return f"{driver}://lmtpd{secret}@{LOOPBACK}:{port}/{database}"


@pytest.fixture(scope="session")
def postgresql(certificate: Certificate) -> Iterator[PostgreSQL]:
    with PostgreSQL(certificate) as running:
        fill(sql_url("postgresql+pg8000", running.port, password=PASSWORD))
        yield running


@pytest.fixture(scope="session")
def mariadb(certificate: Certificate) -> Iterator[MariaDB]:
    with MariaDB(certificate) as running:
        fill(sql_url("mariadb+pymysql", running.port, password=PASSWORD))
        yield running


@pytest.fixture(scope="session")
def slapd(certificate: Certificate) -> Iterator[Slapd]:
    with Slapd(certificate, population.ldif()) as running:
        yield running


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    return path


@pytest.fixture(params=["sqlite", "postgresql", "mariadb", "slapd"])
def back_end(
    request: pytest.FixtureRequest, tmp_path: Path, password_file: Path
) -> Iterator[BackEnd]:
    """Each in turn."""
    if request.param == "sqlite":
        path = tmp_path / "mail.db"
        fill(f"sqlite:///{path}")
        url = f"sqlite:///{path}"
        settings: dict[str, object] = {"lmtp_sql_url": url, "lmtp_sql_query": QUERY}
        with closing(BackEnd("sql", settings, OnTheDisk(path), folder=tmp_path)) as whole:
            yield whole
        return
    server: Daemon = request.getfixturevalue(request.param)
    with Gate(server.port) as gate:
        if request.param == "slapd":
            hook = "ldap"
            settings = ldap_settings(f"ldap://{LOOPBACK}:{gate.port}", password_file)
        else:
            hook = "sql"
            settings = {
                "lmtp_sql_url": sql_url(request.param, gate.port),
                "lmtp_sql_password_file": password_file,
                "lmtp_sql_query": QUERY,
            }
        with closing(BackEnd(hook, settings, OnTheNetwork(gate), gate, tmp_path)) as whole:
            yield whole


def ldap_settings(url: str, password_file: Path) -> dict[str, object]:
    return {
        "lmtp_ldap_url": url,
        "lmtp_ldap_bind_dn": BIND_DN,
        "lmtp_ldap_password_file": password_file,
        "lmtp_ldap_base": BASE,
        "lmtp_ldap_filter": FILTER,
        "lmtp_ldap_word_attribute": "description",
    }


@pytest.fixture(scope="session")
def people() -> Iterator[Site]:
    with Accounts() as accounts:
        alice, bob, vmail = (accounts.add(letter) for letter in "abv")
        yield Site(accounts, alice, bob, vmail, accounts.folder)


@pytest.fixture
def site(people: Site) -> Site:
    """With homes as they are when a user is new."""
    for account in (people.alice, people.bob, people.vmail):
        people.accounts.furnish(account)
    return people


@pytest.fixture(params=[root_server, capable_server], ids=["root", "capable"])
def mail_server(request: pytest.FixtureRequest, site: Site) -> Iterator[Server]:
    with request.param(site) as running:
        yield running
