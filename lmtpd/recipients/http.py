"""The hook `http`: a web service is asked with POST, and answers in JSON.

    POST /recipients HTTP/1.1
    Authorization: Bearer 2YotnFZFEjr1zCsicMWpAA       if lmtp-http-token-file is set (RFC 6750 2.1)
    Content-Type: application/json

    {"address": "alice@example.org", "local": "alice", "domain": "example.org"}

The address comes in its normal form (see verdict.py), `address` without quotation marks. The answer
has status 200 and a body as lmtpd.recipients.answer describes it. Every other status makes no
sense, 404 too: a path that is misspelt must not make every address unknown; and 429, 502, 503 and
504 say that the service is down. Redirections are not followed, for the token is not for others.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path

import urllib3

from ..protocol.address import Address
from .answer import MOST_OCTETS, TOO_LONG, AnswerReader, question_about
from .extra import secret
from .loader import HookError
from .pool import MOST_CONNECTIONS
from .verdict import AnswerError, RcptContext, Verdict

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750 2.1."""
_DOWN = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
"""RFC 6585 4, RFC 9110 15.6: nobody is answered just now. 500 may be about this one question."""


class HttpVerifier:
    """Asks over connections that are kept; urllib3 does the keeping."""

    def __init__(
        self, url: str, token: str, ca_path: Path | None, seconds: float, reader: AnswerReader
    ) -> None:
        """Prepare questions; nothing is asked yet.

        Args:
            url: of the service.
            token: the bearer token; empty: none is sent.
            ca_path: certificates that sign the service's, PEM; None: as the system has them.
            seconds: that a step may take; the guard bounds the whole.
            reader: of answers.

        Raises:
            HookError: the URL cannot be used.
        """
        try:
            urllib3.util.parse_url(url)
        except urllib3.exceptions.LocationParseError as error:  # which repeats it
            raise HookError("hook http: lmtp-http-url cannot be used") from error
        self._url = url
        self._reader = reader
        self._headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._pool = urllib3.PoolManager(
            maxsize=MOST_CONNECTIONS,
            block=True,
            ca_certs=str(ca_path) if ca_path else None,
            timeout=urllib3.Timeout(connect=seconds, read=seconds),
            # A connection that was kept may be closed the moment we ask: once more, on a new one.
            retries=urllib3.Retry(
                total=1, connect=0, read=1, redirect=0, status=0, other=0, allowed_methods=None
            ),
        )

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:  # noqa: ARG002
        """What the service says.

        Raises:
            urllib3.exceptions.HTTPError: it is late or gone.
            ConnectionError: it says that it is down.
            AnswerError: its answer is nonsense, too long, or has another status than 200.
        """
        response = self._ask(question_about(address))
        try:
            if response.status != 200:
                kind = ConnectionError if response.status in _DOWN else AnswerError
                raise kind(f"the answer has status {response.status}")
            octets = response.read(MOST_OCTETS + 1)
        finally:
            response.close()  # if the answer is whole, its connection has gone back already
        if len(octets) > MOST_OCTETS:
            raise AnswerError(TOO_LONG)
        if response.length_remaining:
            raise ConnectionResetError("the service hung up")
        return self._reader.of_json(octets)

    def _ask(self, question: bytes) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(
                "POST",
                self._url,
                body=question,
                headers=self._headers,
                redirect=False,
                preload_content=False,
                # Nobody asked for compression, and a little of it could be very much.
                decode_content=False,
            )
        except urllib3.exceptions.MaxRetryError as error:
            # Its own words repeat path and query, where some services want their secret.
            raise error.reason or ConnectionError("no answer") from error


def bearer_token(file: Path | None) -> str:
    """What the file holds; no file: empty.

    Raises:
        HookError: it is no token; its words do not show what it is.
        OSError: the file cannot be read.
    """
    token = secret(file).strip()
    if file and not _TOKEN.fullmatch(token):
        raise HookError(f"hook http: {file} holds no bearer token (RFC 6750 section 2.1)")
    return token
