"""The hook `sql`: a query says who exists, in PostgreSQL, MariaDB, MySQL or SQLite.

    SELECT mailbox FROM recipients WHERE address = :address

The query has at least one of `:address`, `:local` and `:domain`; they are bound, never put into its
text. What it answers is mailboxes, one a row, and in a second column if there is one the words of
answer.py. The answer has at most 64 KiB on the wire.

A file of SQLite is opened for each question, to be read only.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)

from ..protocol.address import Address
from .answer import MOST_ROWS, AnswerReader
from .bounded import tls_context
from .loader import HookError
from .pool import Pool
from .sql_engine import engine_for
from .verdict import AnswerError, RcptContext, Verdict

CONNECTIONS = 4
"""Of each worker: a data base may have no more than a hundred for everybody."""

_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")
_PARAMETERS = ("address", "local", "domain")
_DOWN = ("08", "53", "57", "58", "XX")
"""Of PostgreSQL's codes: connection, resources, the operator or time, system, internal."""

# What goes wrong is raised, and so logged by us, in one line and with the hook's name.
logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())


class SqlVerifier:
    """Asks a data base."""

    def __init__(
        self,
        url: str,
        query: str,
        password: str,
        ca_file: Path | None,
        deadline_s: float,
        reader: AnswerReader,
    ) -> None:
        """Connects to nothing yet.

        Args:
            url: as SQLAlchemy writes it.
            query: asked for each address.
            password: of the user in the URL; may be empty.
            ca_file: what has signed the server's certificate; with it TLS is a must.
            deadline_s: no statement goes on for longer, nor does anybody wait longer.
            reader: of the rows.

        Raises:
            HookError: URL or query cannot be used.
            ImportError: the driver is not installed.
            OSError: `ca_file` cannot be used.
        """
        tls = tls_context(ca_file) if ca_file else None
        self._engine = engine_for(url, password, tls, deadline_s)
        self.blocking = self._engine.url.get_backend_name() == "sqlite"
        """A file, whose disk may take its time."""
        # Their lock must not be shared by threads; and to open a file costs little.
        self._sessions = None if self.blocking else Pool(self._connect, deadline_s, CONNECTIONS)
        self._reader = reader
        self._statement = text(query)
        self._names = _names(query)

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:  # noqa: ARG002
        """What the rows say.

        Raises:
            OSError, Exception: the data base is late or gone, or says that it cannot.
            AnswerError: the query failed for this address, or its rows make no sense.
        """
        known = (address.mailbox, address.local, address.domain)
        asked = dict(zip(_PARAMETERS, known, strict=True))
        values = {name: asked[name] for name in self._names}
        try:
            rows = self._rows(values)
        except DBAPIError as error:
            # An address that is not ASCII may not exist in the encoding of the data base.
            if address.mailbox.isascii() and _is_down(error):
                raise error.orig or error from error  # the driver's words, without the query
            raise AnswerError(str(error.orig)) from error
        return self._reader.of_rows([_row(*row) for row in rows])

    def _rows(self, values: Mapping[str, str]) -> list[tuple[object, ...]]:
        def question(session: _Session) -> list[tuple[object, ...]]:
            return session.ask(self._statement, values)

        if self._sessions:
            return self._sessions.ask(question)
        with closing(self._connect()) as session:
            return question(session)

    def _connect(self) -> _Session:
        try:
            return _Session(self._engine.connect())
        except DBAPIError as error:
            raise error.orig or error from error


class _Session:
    """A connection that a Pool can keep."""

    is_spent = False

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ask(self, statement: TextClause, values: Mapping[str, str]) -> list[tuple[object, ...]]:
        try:
            found = self._connection.execute(statement, values)
            return [tuple(row) for row in found.fetchmany(MOST_ROWS + 1)]
        except DBAPIError as error:
            if error.connection_invalidated:
                raise ConnectionResetError(str(error.orig)) from error
            raise

    def close(self) -> None:
        self._connection.invalidate()
        self._connection.close()


def _is_down(error: DBAPIError) -> bool:
    """Whether it speaks of the data base itself, and not of this question (PEP 249)."""
    said = error.orig.args[0] if error.orig and error.orig.args else None
    if isinstance(said, dict):  # pg8000 has one kind of error, and PostgreSQL's codes
        return str(said.get("C"))[:2] in _DOWN
    return not isinstance(error, DataError | IntegrityError | NotSupportedError | ProgrammingError)


def _row(mailbox: object, word: object = None, *more: object) -> tuple[object, object]:
    if more:
        raise AnswerError(f"a row has a mailbox and a word, not {2 + len(more)} columns")
    return mailbox, word


def _names(query: str) -> frozenset[str]:
    """The parameters of the query.

    Raises:
        HookError: there is none, or one that we do not have, or one in quotation marks: PyMySQL
            would put a quoted value there, and a stranger's text outside the quotation marks.
    """
    names = _found(query)
    if not names:
        raise HookError(
            "hook sql: lmtp-sql-query has none of :address, :local and :domain, and would know"
            " every address"
        )
    strange = sorted(names.difference(_PARAMETERS))
    if strange:
        raise HookError(
            f"hook sql: lmtp-sql-query has :{strange[0]}, but there are :address, :local and"
            r" :domain; a colon that is one is written \:"
        )
    if any(map(_found, _QUOTED.findall(query))):
        raise HookError(
            "hook sql: a parameter of lmtp-sql-query stands in quotation marks: write :address, not"
            " ':address'"
        )
    return names


def _found(query: str) -> frozenset[str]:
    return frozenset(text(query).compile().params)
