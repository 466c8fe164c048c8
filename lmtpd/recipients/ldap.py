"""The hook `ldap`: a search in a directory says who exists (RFC 4511).

The values of certain attributes of every entry that is found are mailboxes; one attribute may hold
the words of answer.py. An answer has at most 64 KiB on the wire. Referrals are not followed: an
answer that is one is a fault, and those beside entries are passed over.

With TLS, certificate and name of the
server are checked, and there is no way to have it otherwise.
"""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import ldap3
from ldap3.core.exceptions import (
    LDAPBusyResult,
    LDAPCommunicationError,
    LDAPExceptionError,
    LDAPOperationResult,
    LDAPUnavailableResult,
)
from ldap3.core.results import RESULT_TIME_LIMIT_EXCEEDED
from ldap3.operation.search import parse_filter
from ldap3.utils.conv import escape_filter_chars

from ..protocol.address import Address
from .answer import MOST_ROWS, AnswerReader
from .bounded import BoundedSocket, bounded, tls_context
from .loader import HookError
from .pool import Pool
from .verdict import AnswerError, RcptContext, Verdict

CONNECTIONS = 4
"""Of each worker."""
_SCOPES: dict[str, Literal["SUBTREE", "LEVEL", "BASE"]] = {
    "sub": ldap3.SUBTREE,
    "one": ldap3.LEVEL,
    "base": ldap3.BASE,
}
_DOWN = (LDAPBusyResult, LDAPUnavailableResult)
"""RFC 4511 A.2: nobody is answered just now."""
_FIELD = re.compile(r"\{(address|local|domain)\}")


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, and where."""

    base: str
    scope: str
    """`sub`, `one` or `base`."""
    filter: str
    """With `{address}`, `{local}` and `{domain}`."""
    attributes: tuple[str, ...]
    """Their values are mailboxes."""
    word_attribute: str = ""
    """Its value is a word of answer.py."""

    def filter_for(self, address: Address) -> str:
        """The filter, filled in (RFC 4515 section 3: what has a meaning there is escaped)."""
        known = {"address": address.mailbox, "local": address.local, "domain": address.domain}
        return _FIELD.sub(lambda field: _escaped(known[field[1]]), self.filter)

    def wanted(self) -> list[str]:
        """All attributes that are asked for."""
        return list(filter(None, (*self.attributes, self.word_attribute)))


class LdapVerifier:
    """Asks a directory."""

    def __init__(
        self,
        url: str,
        search: Search,
        credentials: tuple[str, str],
        ca_file: Path | None,
        deadline_s: float,
        reader: AnswerReader,
        *,
        starttls: bool = False,
    ) -> None:
        """Connects to nothing yet.

        Args:
            url: `ldap:`, `ldaps:` or `ldapi:`.
            search: asked for each address.
            credentials: DN and password; empty for an anonymous bind.
            ca_file: who signs certificates; None: whom the system trusts.
            deadline_s: nobody waits longer.
            reader: of the rows.
            starttls: TLS begins after the connection.

        Raises:
            HookError, LDAPExceptionError: URL or filter cannot be used.
            OSError: `ca_file` cannot be used.
        """
        scheme = url.partition(":")[0]
        if scheme not in ("ldap", "ldaps", "ldapi"):
            raise HookError(
                f"hook ldap: lmtp-ldap-url begins with {scheme}:, but there are ldap, ldaps, ldapi"
            )
        self._url = url
        self._search = search
        self._dn, self._password = credentials
        self._deadline_s = deadline_s
        self._reader = reader
        self._starttls = starttls
        self._tls = _Tls(tls_context(ca_file))
        self._server()
        example = search.filter_for(Address("alice", "example.org"))
        parse_filter(example, None, True, True, None, check_names=False)  # type: ignore[no-untyped-call]
        self._sessions = Pool(self._connect, deadline_s, CONNECTIONS)

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:  # noqa: ARG002
        """What the entries say."""
        return self._reader.of_rows(self._sessions.ask(lambda session: session.ask(address)))

    def _server(self) -> ldap3.Server:
        """One for each connection: ldap3 keeps there what belongs to a connection."""
        return ldap3.Server(
            self._url, get_info=ldap3.NONE, tls=self._tls, connect_timeout=self._deadline_s
        )

    def _connect(self) -> _Session:
        connection = ldap3.Connection(
            self._server(),
            user=self._dn or None,
            password=self._password or None,
            auto_referrals=False,
            auto_range=False,
            check_names=False,
            read_only=True,
            raise_exceptions=True,
            receive_timeout=math.ceil(self._deadline_s),
        )
        session = _Session(connection, self._search, math.ceil(self._deadline_s))
        try:
            connection.open(read_server_info=False)
            if not isinstance(connection.socket, BoundedSocket):
                connection.socket = bounded(connection.socket)
            if self._starttls:
                connection.start_tls(read_server_info=False)
            connection.bind(read_server_info=False)
        except BaseException:
            session.close()
            raise
        return session


class _Session:
    """A connection that a Pool can keep."""

    is_spent = False

    def __init__(self, connection: ldap3.Connection, search: Search, seconds: int) -> None:
        self._connection = connection
        self._search = search
        self._seconds = seconds

    def ask(self, address: Address) -> list[tuple[str | None, str | None]]:
        """A row for each value.

        Raises:
            OSError: the server is late or gone.
            LDAPExceptionError: the server says that it cannot.
            AnswerError: the search failed, or this is no answer that we can use.
        """
        search = self._search
        try:
            self._connection.search(
                search.base,
                search.filter_for(address),
                _SCOPES[search.scope],
                dereference_aliases=ldap3.DEREF_NEVER,
                attributes=search.wanted(),
                size_limit=MOST_ROWS,
                time_limit=self._seconds,
            )
        except LDAPCommunicationError as error:
            if isinstance(error, TimeoutError):  # ldap3 makes one error of both
                raise
            raise ConnectionResetError(str(error)) from error
        except _DOWN:
            raise
        except LDAPOperationResult as error:
            raise AnswerError(str(error)) from error
        # ldap3 raises for most results, but not for a referral, nor where a limit cut the answer.
        if self._connection.result["result"] == RESULT_TIME_LIMIT_EXCEEDED:
            raise TimeoutError
        if self._connection.result["result"]:
            raise AnswerError(f"the search ended with {self._connection.result['description']}")
        try:
            return list(self._rows())
        except UnicodeDecodeError as error:
            raise AnswerError(f"a value is not UTF-8: {error}") from error

    def _rows(self) -> Iterator[tuple[str | None, str | None]]:
        search = self._search
        for entry in self._connection.response or ():
            if entry["type"] != "searchResEntry":
                continue
            values = entry["raw_attributes"]
            (word, *_) = [one.decode() for one in values.get(search.word_attribute, ())] or [None]
            mailboxes = [one.decode() for name in search.attributes for one in values.get(name, ())]
            yield from ((mailbox, word) for mailbox in mailboxes or [None])

    def close(self) -> None:
        """Without a word, for nobody may be there to take it."""
        with suppress(LDAPExceptionError, OSError):
            self._connection.strategy.close()
        if self._connection.socket is not None:  # ldap3 forgets that of one that did not come about
            self._connection.socket.close()


class _Tls(ldap3.Tls):
    """The standard library's checks in place of ldap3's own, which know no IP addresses."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._context = context

    def wrap_socket(self, connection: ldap3.Connection, do_handshake: bool = True) -> None:  # noqa: ARG002
        """TLS over the connection's socket, at once."""
        host = connection.server.host
        connection.socket = self._context.wrap_socket(connection.socket, server_hostname=host)


def _escaped(text: str) -> str:
    # ldap3 cuts spaces off a value's end.
    return escape_filter_chars(text).replace(" ", r"\20")
