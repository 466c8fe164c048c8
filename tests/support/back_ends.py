"""Services that answer for recipients, over TCP: HTTP, socketmap_table(5) and tcp_table(5).

Promises: each is real, on one loopback port. `stop` ends the connections that are open, too, as the
end of a process does.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from lmtpd.recipients.verdict import Kind, Verdict
from tests.support.backend_contract import ANSWERS, TABLE, WRONG
from tests.support.processes import LOOPBACK, free_port

_PATIENCE_S = 60.0
_FLOOD = b"x" * 65536


class Service:
    """Listens, and has each connection served in a thread by `handler`, a class of socketserver."""

    hook = ""
    answers = ANSWERS
    wrong = WRONG

    def __init__(self, _: Path) -> None:
        self.port = free_port()
        self.over = threading.Event()
        """Whoever keeps a client waiting stops then."""
        self.connections = 0
        """That were ever made."""
        self.asked: list[str] = []
        self._server: _Server | None = None

    def handler(self) -> type[socketserver.BaseRequestHandler]:
        raise NotImplementedError

    def start(self) -> None:
        """Listen."""
        self.over.clear()
        self._server = _Server((LOOPBACK, self.port), self.handler())
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and end those that are open."""
        self.over.set()
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()
            self.drop()
            server.drop()

    def drop(self) -> None:
        """End the connections that are open; new ones are served."""
        if self._server:
            self._server.drop()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *arguments: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client hung up, as it shall when we are late."""

    def drop(self) -> None:
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def in_json(verdict: Verdict | None) -> bytes:
    """A verdict as `http` and `exec` want it."""
    match verdict:
        case None:
            answer: object = None
        case Verdict(kind=Kind.ACCEPT, is_catch_all=True):
            answer = {"catch_all": list(verdict.mailboxes)}
        case Verdict(kind=Kind.ACCEPT):
            answer = {"accept": list(verdict.mailboxes)}
        case _:
            answer = {verdict.kind.name.lower(): verdict.text or verdict.reason}
    return json.dumps(answer).encode()


def in_words(verdict: Verdict) -> str:
    """A verdict as a value of a table."""
    words = {Kind.REJECT: "550 5.7.1", Kind.FULL: "452 4.2.2", Kind.DEFER: "DEFER"}
    if verdict.kind is Kind.ACCEPT:
        return ", ".join(verdict.mailboxes)
    return f"{words[verdict.kind]} {verdict.text or verdict.reason}"


class HttpService(Service):
    """A web service."""

    hook = "http"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.authorizations: list[str | None] = []
        self.status = 200

    @property
    def settings(self) -> dict[str, object]:
        return {"lmtp_http_url": f"http://{LOOPBACK}:{self.port}/recipients"}

    def handler(self) -> type[socketserver.BaseRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                service.connections += 1
                super().setup()

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.asked.append(asked["address"])
                service.authorizations.append(self.headers["Authorization"])
                assert asked["address"] == f"{asked['local']}@{asked['domain']}"
                domain = TABLE.get(f"@{asked['domain']}")
                body = in_json(TABLE.get(asked["address"], domain))
                match asked["local"]:
                    case "mute":
                        service.over.wait(_PATIENCE_S)
                    case "dying":
                        self.close_connection = True
                        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnu")
                        return
                    case "nonsense":
                        body = b'{"accept": 7}'
                    case "octets":
                        body = b'{"accept": "\xff@example.org"}'
                    case "endless":
                        self.close_connection = True
                        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                        while not service.over.is_set():
                            self.wfile.write(_FLOOD)
                self.send_response(service.status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Silence."""

        return Handler


class _Lookups(Service):
    """A table: from a key to the octets of an answer."""

    def reply(self, key: str) -> bytes:
        raise NotImplementedError

    def next_key(self, stream: Any) -> str | None:
        raise NotImplementedError

    def handler(self) -> type[socketserver.BaseRequestHandler]:
        service = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                service.connections += 1
                while (key := service.next_key(self.rfile)) is not None:
                    service.asked.append(key)
                    if key.startswith("dying@"):
                        self.wfile.write(service.reply("alice@example.org")[:-3])
                        return
                    if key.startswith("mute@"):
                        service.over.wait(_PATIENCE_S)
                    while key.startswith("endless@") and not service.over.is_set():
                        self.wfile.write(service.flood)
                    self.wfile.write(service.reply(key))

        return Handler

    flood = b""


class SocketmapService(_Lookups):
    """A server of socketmap_table(5)."""

    hook = "socketmap"
    flood = b"100000:" + _FLOOD

    @property
    def settings(self) -> dict[str, object]:
        return {"lmtp_socketmap": f"inet:{LOOPBACK}:{self.port}:virtual"}

    def next_key(self, stream: Any) -> str | None:
        digits = b""
        while (octet := stream.read(1)) and octet != b":":
            digits += octet
        if not octet:
            return None
        name, _, key = stream.read(int(digits)).decode().partition(" ")
        assert (name, stream.read(1)) == ("virtual", b",")
        return str(key)

    def reply(self, key: str) -> bytes:
        match key.partition("@")[0]:
            case "nonsense":
                return b"7:PERHAPS,"
            case "octets":
                text = b"OK \xff@example.org"
            case _:
                found = TABLE.get(key)
                text = f"OK {in_words(found)}".encode() if found else b"NOTFOUND "
        return b"%d:%b," % (len(text), text)


class TcpTableService(_Lookups):
    """A server of tcp_table(5)."""

    hook = "tcp_table"
    flood = _FLOOD

    @property
    def settings(self) -> dict[str, object]:
        return {"lmtp_tcp_table": f"{LOOPBACK}:{self.port}"}

    def next_key(self, stream: Any) -> str | None:
        request = stream.readline()
        if not request:
            return None
        assert re.fullmatch(rb"get [\x21-\x7e]+\n", request)
        return _decoded(request[4:-1])

    def reply(self, key: str) -> bytes:
        match key.partition("@")[0]:
            case "nonsense":
                return b"200 %zz\n"
            case "octets":
                return b"200 %ff@example.org\n"
        found = TABLE.get(key)
        if not found:
            return b"500 there%20is none\n"
        return b"200 " + in_words(found).replace(" ", "%20").encode() + b"\n"


_decoded: Callable[[bytes], str] = lambda octets: re.sub(  # noqa: E731
    rb"%(..)", lambda found: bytes([int(found[1], 16)]), octets
).decode()
