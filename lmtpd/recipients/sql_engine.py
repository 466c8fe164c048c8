"""How a data base is connected to: each with its own driver, within bounds of time and of octets.

These drivers are Python throughout, and wait cooperatively; SQLite's is asked on a thread.
"""

from __future__ import annotations

import sqlite3
import ssl
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Dialect, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError

from ..client.connection import connected
from ..client.target import Target
from .answer import MOST_OCTETS
from .bounded import BoundedSocket, bounded
from .loader import HookError

_DRIVERS = {
    "postgresql": "postgresql+pg8000",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "sqlite": "sqlite",
}
_INSTRUCTIONS = 10_000
"""Of SQLite's machine between two looks at the time: less than a millisecond."""

_ENGINE: dict[str, Any] = {
    "poolclass": NullPool,
    "isolation_level": "AUTOCOMMIT",
    "hide_parameters": True,  # from errors
}


def engine_for(text: str, password: str, tls: ssl.SSLContext | None, deadline_s: float) -> Engine:
    """What makes connections to the data base of a URL; connects to nothing yet.

    Raises:
        HookError: the URL cannot be used.
        ImportError: the driver is not installed.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:  # they may repeat a part of it
        raise HookError("hook sql: lmtp-sql-url cannot be used") from error
    backend = url.get_backend_name()
    driver = _DRIVERS.get(backend)
    if driver is None or url.drivername not in (backend, driver):
        raise HookError(
            f"hook sql: lmtp-sql-url begins with {url.drivername}:, but there are"
            f" {', '.join(_DRIVERS)}, each with its own driver"
        )
    if password:
        url = url.set(password=password)
    url = url.set(drivername=driver)
    if backend == "sqlite":
        return _file(url, deadline_s)
    # With AUTOCOMMIT a question is one round trip.
    engine = create_engine(url, **_ENGINE)
    connect = _postgresql if backend == "postgresql" else _mysql
    event.listen(engine, "do_connect", partial(connect, tls, deadline_s))
    return engine


def _postgresql(
    tls: ssl.SSLContext | None,
    deadline_s: float,
    dialect: Dialect,
    _: object,
    __: object,
    options: dict[str, Any],
) -> DBAPIConnection:
    """pg8000 on a bounded socket; `unix_sock` is its name for a path."""
    connection = _connected(options.pop("unix_sock", None), options, 5432, deadline_s)
    driver: Any = dialect.loaded_dbapi  # its connect() takes no socket, its class does
    try:
        started: DBAPIConnection = driver.Connection(
            **options,
            sock=connection,
            ssl_context=tls or False,
            application_name="lmtpd",
            startup_params={
                "client_encoding": "UTF8",
                "statement_timeout": f"{deadline_s * 1000:.0f}",
            },
        )
    except BaseException:
        connection.close()
        raise
    return started


def _mysql(
    tls: ssl.SSLContext | None,
    deadline_s: float,
    dialect: Dialect,
    _: object,
    __: object,
    options: dict[str, Any],
) -> DBAPIConnection:
    """PyMySQL on a bounded socket; `unix_socket` is its name for a path."""
    connection = dialect.connect(
        **options,
        defer_connect=True,
        ssl=tls,
        ssl_disabled=tls is None,
        read_timeout=deadline_s,
        write_timeout=deadline_s,
        # MariaDB reads the first comment, MySQL the second.
        init_command=f"SET /*M! max_statement_time = {deadline_s:.3f} */"
        f" /*!50708 max_execution_time = {deadline_s * 1000:.0f} */",
    )
    connection.connect(_connected(options.get("unix_socket"), options, 3306, deadline_s))
    return connection


def _connected(
    path: str | None, options: Mapping[str, Any], port: int, deadline_s: float
) -> BoundedSocket:
    if path:
        target = Target(str(Path(path).absolute()))
    else:
        target = Target(options.get("host", "localhost"), options.get("port", port))
    return bounded(connected(target, deadline_s))


def _file(url: URL, deadline_s: float) -> Engine:
    """A file of SQLite; one that is not there must not be made by looking."""
    if not url.database:
        raise HookError("hook sql: lmtp-sql-url names no file: sqlite:////var/lib/mail.db")
    path = f"file:{quote(str(Path(url.database).absolute()))}"
    engine = create_engine(
        url.set(database=path, query={"mode": "ro", "uri": "true"}),
        connect_args={"timeout": deadline_s},
        **_ENGINE,
    )

    @event.listens_for(engine, "connect")
    def bound(connection: sqlite3.Connection, _: object) -> None:
        end = time.monotonic() + deadline_s
        connection.set_progress_handler(lambda: time.monotonic() > end, _INSTRUCTIONS)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_OCTETS)

    return engine
