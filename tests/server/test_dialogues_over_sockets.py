"""Every dialogue file against the running server: over TCP, a unix socket, TLS and STARTTLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.server.conftest import tls_settings
from tests.support import store
from tests.support.certificates import Certificate
from tests.support.dialogues import (
    Closed,
    Handshake,
    Hear,
    Say,
    Script,
    check_heard,
    is_heard_whole,
    scripts,
)
from tests.support.processes import LOOPBACK
from tests.support.server import Server

_TIMEOUT_S = 20.0


@dataclass(slots=True)
class Player:
    """A client that follows a script over a socket."""

    connection: socket.socket
    context: ssl.SSLContext
    heard: str = field(default="")

    def play(self, script: Script, *, greeted: bool = False) -> None:
        """Say and hear everything; `greeted`: the greeting was heard before the script began."""
        for step in script.steps[1 if greeted else 0 :]:
            match step:
                case Say(octets):
                    self.connection.sendall(octets)
                case Hear(patterns):
                    self.hear(patterns)
                case Handshake():
                    self.start_tls()
                case Closed():
                    assert self.connection.recv(1) == b""
        self.connection.close()

    def hear(self, patterns: tuple[str, ...]) -> None:
        """Read until as many replies are here as are due, then compare."""
        while not (self.heard.endswith("\n") and is_heard_whole(patterns, self._lines())):
            octets = self.connection.recv(65536)
            assert octets, f"the server hung up; heard so far: {self.heard}"
            self.heard += octets.decode()
        check_heard(patterns, self._lines())
        self.heard = ""

    def start_tls(self) -> None:
        self.connection = self.context.wrap_socket(self.connection, server_hostname="localhost")

    def _lines(self) -> list[str]:
        return self.heard.split("\r\n")[:-1]


Connect = Callable[[Server, ssl.SSLContext], tuple[Player, bool]]


def _tcp(server: Server, context: ssl.SSLContext) -> tuple[Player, bool]:
    connection = socket.create_connection((LOOPBACK, server.port), timeout=_TIMEOUT_S)
    return Player(connection, context), False


def _unix(server: Server, context: ssl.SSLContext) -> tuple[Player, bool]:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_TIMEOUT_S)
    connection.connect(str(server.root.parent / "lmtp.sock"))
    return Player(connection, context), False


def _tls(server: Server, context: ssl.SSLContext) -> tuple[Player, bool]:
    player, _ = _tcp(server, context)
    player.start_tls()
    return player, False


def _starttls(server: Server, context: ssl.SSLContext) -> tuple[Player, bool]:
    player, _ = _tcp(server, context)
    player.hear(("220 *",))
    player.connection.sendall(b"STARTTLS\r\n")
    player.hear(("220 2.0.0 *",))
    player.start_tls()
    return player, True


_SETTINGS: dict[Connect, set[str]] = {
    _tcp: set(),
    _unix: {"lmtp-socket-path"},
    _tls: {"lmtp-cert-path", "lmtp-key-path", "lmtp-tls-only"},
    _starttls: {"lmtp-cert-path", "lmtp-key-path"},
}

Servers = Callable[[Connect, Script], Server]


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[Servers]:
    """One server for each way to connect and each set of settings that a file asks for."""
    running: dict[tuple[Connect, tuple[tuple[str, str], ...]], Server] = {}

    def server_for(connect: Connect, script: Script) -> Server:
        wanted = (connect, tuple(sorted(script.settings.items())))
        if wanted not in running:
            folder = tmp_path_factory.mktemp("dialogues")
            _, settings = store.make_store(folder)
            names = _SETTINGS[connect] | set(script.settings)
            if names & {"lmtp-cert-path"}:
                names |= {"lmtp-key-path"}
            known = {
                "lmtp-socket-path": str(folder / "lmtp.sock"),
                "lmtp-tls-only": "true",
                **script.settings,
                **{key.replace("_", "-"): text for key, text in tls_settings(certificate).items()},
            }
            settings |= {name: str(known[name]) for name in names}
            server = Server(folder, **{key.replace("-", "_"): settings[key] for key in settings})
            server.start()
            running[wanted] = server
        return running[wanted]

    yield server_for
    for server in running.values():
        server.stop()
        assert "session-failed" not in server.log, server.log


@pytest.mark.parametrize(
    ("script", "connect"),
    [
        pytest.param(script, connect, id=f"{script.name}-{connect.__name__[1:]}")
        for script in scripts()
        for connect in ((_tcp, _unix) if script.is_for_clear_text else _SETTINGS)
    ],
)
def test_dialogue(
    script: Script, connect: Connect, servers: Servers, certificate: Certificate
) -> None:
    server = servers(connect, script)
    player, greeted = connect(server, certificate.client_context())
    try:
        player.play(script, greeted=greeted)
    finally:
        player.connection.close()
    script.check_store(store.messages(server.root))
    store.empty(server.root)
