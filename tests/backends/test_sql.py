"""What is the data bases' own: queries, encodings, TLS, time, files."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy

from lmtpd.config import ConfigError
from lmtpd.protocol.envelope import Peer
from lmtpd.recipients.answer import AnswerReader
from lmtpd.recipients.chain import AddressRules
from lmtpd.recipients.loader import HookError
from lmtpd.recipients.sql import SqlVerifier
from lmtpd.recipients.verdict import AnswerError, RcptContext, RecipientVerifier, Verdict
from tests.backends.conftest import QUERY, built, hang_up, sql_url
from tests.support.certificates import Certificate, make_certificate
from tests.support.mariadb import MariaDB
from tests.support.population import ALICE, ANSWERS, address
from tests.support.postgresql import PASSWORD, PostgreSQL
from tests.support.waiting import wait_for

_SOON_S = 20.0
_DRIVERS = {"postgresql": "postgresql+pg8000", "mariadb": "mariadb+pymysql"}


def ask(hook: RecipientVerifier, mailbox: str) -> Verdict | None:
    return hook.verify(address(mailbox), RcptContext(Peer("")))


@pytest.fixture
def small(tmp_path: Path) -> str:
    """A file of SQLite with one mailbox."""
    path = tmp_path / "a file?#%.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE people (address, mailbox, image)")
        connection.execute("INSERT INTO people VALUES (?, ?, x'ff')", (ALICE, ALICE))
    connection.close()
    return f"sqlite:///{path.parent}/a file%3F%23%25.db"


@pytest.mark.parametrize(
    ("url", "query", "fault"),
    [
        ("oracle://x/y", "SELECT :address", "begins with oracle:"),
        ("postgresql+psycopg2://x/y", "SELECT :address", "begins with postgresql+psycopg2:"),
        ("sqlite://", "SELECT :address", "names no file"),
        ("sqlite:////x", "SELECT 'x'", "would know every address"),
        ("sqlite:////x", "SELECT :user", "has :user, but there are"),
        ("sqlite:////x", "SELECT ':address'", "stands in quotation marks"),
        ("sqlite:////x", 'SELECT ":local", :local', "stands in quotation marks"),
        ("mysql://l:secret@x/y", "SELECT :address", "holds a password"),
        ("mysql://l@x:secret/y", "SELECT :address", "is not a URL"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path: Path, url: str, query: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        built(tmp_path, "sql", lmtp_sql_url=url, lmtp_sql_query=query)
    assert fault in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://l@x:secret/y", "secret"])
def test_what_is_no_url_is_not_repeated(url: str) -> None:
    reader = AnswerReader("example.org", AddressRules())
    with pytest.raises(HookError, match="lmtp-sql-url cannot be used") as caught:
        SqlVerifier(url, QUERY, "secret", None, 1, reader)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("parameter", ["local", "domain", "address"])
def test_parameters(tmp_path: Path, small: str, parameter: str) -> None:
    query = f"SELECT '\"a::b\\:c ' || :{parameter} || '\"';"
    hook = built(
        tmp_path, "sql", lmtp_sql_url=small, lmtp_sql_query=query, lmtp_default_domain="example.org"
    )
    value = getattr(address(ALICE), "mailbox" if parameter == "address" else parameter)
    assert ask(hook, ALICE) == Verdict.accept(f"a::b:c {value}@example.org")


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ("mailbox, 'accept', 1", "not 3 columns"),
        ("image", "not bytes"),
        ("1", "not int"),
        ("mailbox, 1", "not int"),
        ("''", "is empty"),
        ("mailbox, ''", "is empty"),
    ],
)
def test_rows_that_mean_nothing(tmp_path: Path, small: str, columns: str, fault: str) -> None:
    query = f"SELECT {columns} FROM people WHERE address = :address"
    hook = built(tmp_path, "sql", lmtp_sql_url=small, lmtp_sql_query=query)
    with pytest.raises(ValueError, match=fault):
        ask(hook, ALICE)


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "mail.db"
    hook = built(tmp_path, "sql", lmtp_sql_url=f"sqlite:///{path}", lmtp_sql_query=QUERY)
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        ask(hook, ALICE)
    assert not path.exists()


def test_a_query_of_sqlite_without_end_has_one(tmp_path: Path, small: str) -> None:
    query = (
        "WITH RECURSIVE x(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM x)"
        " SELECT max(a) FROM x WHERE :address <> ''"
    )
    hook = built(tmp_path, "sql", lmtp_sql_url=small, lmtp_sql_query=query, lmtp_hook_timeout=0.5)
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        ask(hook, ALICE)


def test_more_rows_than_anybody_wants_are_not_read(tmp_path: Path, small: str) -> None:
    query = (
        "WITH RECURSIVE x(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM x)"
        " SELECT :address || a FROM x"
    )
    hook = built(tmp_path, "sql", lmtp_sql_url=small, lmtp_sql_query=query)
    with pytest.raises(ValueError, match="1000 rows"):
        ask(hook, ALICE)


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> PostgreSQL | MariaDB:
    found: PostgreSQL | MariaDB = request.getfixturevalue(request.param)
    return found


def execute(server: PostgreSQL | MariaDB, *lines: str, database: str = "mail") -> list[object]:
    """What the last line answers, to somebody beside the hook."""
    url = sql_url(_DRIVERS[server.component], server.port, password=PASSWORD, database=database)
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for line in lines:
            result = connection.execute(sqlalchemy.text(line))
        rows = [row[0] for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


def settings(server: PostgreSQL | MariaDB, password_file: Path, query: str) -> dict[str, object]:
    return {
        "lmtp_sql_url": sql_url(_DRIVERS[server.component], server.port),
        "lmtp_sql_password_file": password_file,
        "lmtp_sql_query": query,
    }


def test_tls_with_a_certificate_that_is_trusted(
    server: PostgreSQL | MariaDB, tmp_path: Path, password_file: Path, certificate: Certificate
) -> None:
    given = settings(server, password_file, QUERY)
    hook = built(tmp_path, "sql", **given, lmtp_sql_ca_file=certificate.cert_path)
    assert {one: ask(hook, one) for one in ANSWERS} == ANSWERS
    with pytest.raises(Exception, match="65536 octets"):
        ask(hook, "long@example.org")
    hang_up(hook)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_with_a_certificate_that_is_not(
    server: PostgreSQL | MariaDB, tmp_path: Path, password_file: Path
) -> None:
    other = make_certificate(tmp_path)
    given = settings(server, password_file, QUERY)
    hook = built(tmp_path, "sql", **given, lmtp_sql_ca_file=other.cert_path)
    with pytest.raises(Exception, match=r"(?i)certificate verify failed"):
        ask(hook, ALICE)


@pytest.mark.parametrize("text", ["", "wrong"])
def test_without_the_password(server: PostgreSQL | MariaDB, tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong"
    path.write_text(text)
    given = settings(server, path if text else Path("none"), QUERY)
    hook = built(tmp_path, "sql", **given)
    with pytest.raises(Exception, match=r".") as caught:
        ask(hook, ALICE)
    assert not text or text not in str(caught.value)


def test_a_unix_socket(server: PostgreSQL | MariaDB, tmp_path: Path, password_file: Path) -> None:
    given = settings(server, password_file, QUERY)
    path = f"unix_sock={server.folder}/.s.PGSQL.{server.port}"
    if server.component == "mariadb":
        path = f"unix_socket={server.folder}/socket"
    given["lmtp_sql_url"] = f"{server.component}://lmtpd@/mail?{path}"
    hook = built(tmp_path, "sql", **given)
    assert ask(hook, ALICE) == ANSWERS[ALICE]
    hang_up(hook)
    given["lmtp_sql_url"] = f"{server.component}://lmtpd@/mail?{path}-is-not-there"
    with pytest.raises(FileNotFoundError):
        ask(built(tmp_path, "sql", **given), ALICE)


def test_an_address_that_the_encoding_has_not_is_no_fault(
    server: PostgreSQL | MariaDB, tmp_path: Path, password_file: Path
) -> None:
    execute(
        server,
        "DROP TABLE IF EXISTS people",
        "CREATE TABLE people (address VARCHAR(200))",
        "INSERT INTO people VALUES ('jörg@example.org')",
        database="latin",
    )
    given = settings(server, password_file, "SELECT address FROM people WHERE address = :address")
    given["lmtp_sql_url"] = f"{given['lmtp_sql_url']}".replace("/mail", "/latin")
    hook = built(tmp_path, "sql", **given)
    assert ask(hook, "jörg@example.org") == Verdict.accept("jörg@example.org")
    with pytest.raises(AnswerError, match=r"."):
        ask(hook, "\U0001f600@example.org")
    assert ask(hook, "jörg@example.org") == Verdict.accept("jörg@example.org")
    hang_up(hook)


def test_an_address_for_which_the_query_fails_is_no_fault(
    postgresql: PostgreSQL, tmp_path: Path, password_file: Path
) -> None:
    query = "SELECT 'alice@example.org' WHERE CAST(:local AS integer) = 1"
    hook = built(tmp_path, "sql", **settings(postgresql, password_file, query))
    with pytest.raises(AnswerError, match="invalid input syntax"):
        ask(hook, ALICE)
    assert ask(hook, "1@example.org") == Verdict.accept(ALICE)
    hang_up(hook)


def test_a_data_base_that_says_that_it_cannot_is_at_fault(
    server: PostgreSQL | MariaDB, tmp_path: Path, password_file: Path
) -> None:
    query = "SELECT pg_cancel_backend(pg_backend_pid())::text || :local"
    if server.component == "mariadb":
        query = "SELECT * FROM information_schema.no_such_table WHERE 'x' = :local"
    hook = built(tmp_path, "sql", **settings(server, password_file, query))
    with pytest.raises(Exception, match=r"cancel|nknown table") as caught:
        ask(hook, ALICE)
    assert not isinstance(caught.value, AnswerError)
    hang_up(hook)


def test_a_query_that_is_wrong_says_so_without_itself(
    server: PostgreSQL | MariaDB, tmp_path: Path, password_file: Path
) -> None:
    query = "SELECT mailbox FROM nowhere WHERE address = :address"
    hook = built(tmp_path, "sql", **settings(server, password_file, query))
    with pytest.raises(Exception, match="nowhere") as caught:
        ask(hook, ALICE)
    assert "SELECT" not in str(caught.value)
    hang_up(hook)


def test_a_connection_that_the_server_closed_is_replaced(
    server: PostgreSQL | MariaDB, tmp_path: Path, password_file: Path
) -> None:
    own = "SELECT pg_backend_pid()::text || :local"
    kill = "SELECT pg_terminate_backend({})"
    if server.component == "mariadb":
        own, kill = "SELECT CONCAT(CONNECTION_ID(), :local)", "KILL {}"
    hook = built(tmp_path, "sql", **settings(server, password_file, own))
    numbers = set()
    for _ in range(3):
        verdict = ask(hook, "@example.org")
        assert verdict is not None
        number = verdict.mailboxes[0].partition("@")[0]
        numbers.add(number)
        execute(server, kill.format(number))
    assert len(numbers) == 3
    hang_up(hook)


def test_a_query_that_takes_too_long_ends_on_the_server_too(
    server: PostgreSQL | MariaDB, tmp_path: Path, password_file: Path
) -> None:
    query = "SELECT pg_sleep(120)::text WHERE :address <> ''"
    running = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(120)::text%'"
    running += " AND state = 'active' AND pid <> pg_backend_pid()"
    if server.component == "mariadb":
        query = "SELECT SLEEP(120) FROM DUAL WHERE :address <> ''"
        running = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'"
    given = settings(server, password_file, query)
    hook = built(tmp_path, "sql", **given, lmtp_hook_timeout=1)
    with pytest.raises(Exception, match=r"."):
        ask(hook, ALICE)
    wait_for(lambda: not execute(server, running), _SOON_S, "the end of the query")
    hang_up(hook)
