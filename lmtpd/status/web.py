"""Web: what is answered over HTTP, to GET and HEAD alone.

Nobody is asked who he is, so it listens on loopback as a rule. A page of the world wide web that is
open in an administrator's browser reaches loopback too: by a name of its own that it has made to
mean 127.0.0.1 (DNS rebinding). So the Host that is asked for has to be an address, or our own name.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources

from ..failures import told
from ..recipients.process import Report
from .state import State

REQUEST_SECONDS = 10.0
"""For one who asks to say what, and to take the answer."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TEXT = "text/plain; charset=utf-8"
_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/uPlot.iife.min.js": ("uPlot.iife.min.js", "text/javascript; charset=utf-8"),
    "/uPlot.min.css": ("uPlot.min.css", "text/css; charset=utf-8"),
}

Answer = tuple[HTTPStatus, bytes, str]


class Web(ThreadingHTTPServer):
    """An HTTP server on a socket that listens already."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, state: State, host: str, report: Report) -> None:
        """Ready to answer.

        Args:
            listener: bound.
            state: what is told.
            host: our own name.
            report: writes a line of the log.
        """
        self._report = report
        self.names = frozenset({host.lower(), "localhost"})
        self.answers: Mapping[str, Callable[[str], Answer]] = {
            "/healthz": lambda _: _health(state),
            "/readyz": lambda _: _readiness(state),
            "/metrics": lambda accept: _metrics(state, accept),
            "/status.json": lambda _: _status(state),
        }
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener

    def handle_error(self, *_: object) -> None:
        """One who asks and is gone before the answer is nobody's trouble; a bug is."""
        error = sys.exception()
        if error and not isinstance(error, OSError):
            self._report("status-failed", cause=told(error))


class _Handler(BaseHTTPRequestHandler):
    server: Web
    timeout = REQUEST_SECONDS
    server_version = "lmtpd"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer."""
        status, content, media_type = self._answer()
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815 - as http.server has it

    def log_message(self, *_: object) -> None:
        """Questions are no events of the mail."""

    def _answer(self) -> Answer:
        if not self._is_for_us():
            return HTTPStatus.MISDIRECTED_REQUEST, b"not a name of this server\n", _TEXT
        path = self.path.partition("?")[0]
        if path in _PAGE:
            name, media_type = _PAGE[path]
            file = resources.files(__package__).joinpath("page", name)
            return HTTPStatus.OK, file.read_bytes(), media_type
        answer = self.server.answers.get(path)
        if answer is None:
            return HTTPStatus.NOT_FOUND, b"there is no such page\n", _TEXT
        return answer(self.headers.get("Accept", ""))

    def _is_for_us(self) -> bool:
        host = self.headers.get("Host", "")
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return name.lower().removesuffix(".") in self.server.names
        return True


def _health(state: State) -> Answer:
    if state.is_alive:
        return HTTPStatus.OK, b"alive\n", _TEXT
    return HTTPStatus.SERVICE_UNAVAILABLE, b"no worker does its work\n", _TEXT


def _readiness(state: State) -> Answer:
    faults = state.not_ready()
    if not faults:
        return HTTPStatus.OK, b"ready\n", _TEXT
    return HTTPStatus.SERVICE_UNAVAILABLE, "".join(f"{one}\n" for one in faults).encode(), _TEXT


def _metrics(state: State, accept: str) -> Answer:
    # Here, not above: who does not ask need not have the package.
    try:
        from .metrics import exposition
    except ModuleNotFoundError as error:
        text = f"needs {error.name}: pip install lmtpd[metrics]\n"
        return HTTPStatus.NOT_IMPLEMENTED, text.encode(), _TEXT
    return HTTPStatus.OK, *exposition(state, accept)


def _status(state: State) -> Answer:
    return HTTPStatus.OK, json.dumps(state.told()).encode(), "application/json"
