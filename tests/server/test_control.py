"""Commands to a running server: who carries them out, who may give them, and what goes wrong."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import pytest

from lmtpd.server import rendezvous
from lmtpd.settings import Config
from tests.support.backend import PORT, Backend
from tests.support.client import Client, Reply
from tests.support.command_line import Result, begin, ended, lmtpd
from tests.support.components import require_root
from tests.support.processes import LOOPBACK
from tests.support.server import Server
from tests.support.waiting import wait_for

ALICE = "alice@example.org"
_SOON_S = 15.0
_NOBODY = 65534


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """A back-end that knows alice, and where the hooks find it."""
    with Backend(ALICE) as running:
        monkeypatch.setenv(PORT, str(running.port))
        yield running


@pytest.fixture
def server(tmp_path: Path, backend: Backend) -> Iterator[Server]:  # noqa: ARG001 - it finds it
    """Two workers over the back-end."""
    settings = {
        "lmtp_workers": 2,
        "lmtp_recipient_hooks": "tests.support.backend:Asking",
        "lmtp_environment": PORT,
    }
    with Server(tmp_path, **settings) as running:
        wait_for(lambda: running.log.count("worker-started") == 2, _SOON_S, "two workers")
        yield running


def options(server: Server) -> list[object]:
    """The configuration of a server, as far as commands need it."""
    return ["--lmtp-port", server.port, "--lmtp-maildir-root", server.root]


def flush(server: Server) -> Result:
    return lmtpd("check-recipient", "--flush", *options(server))


def config(server: Server) -> Config:
    return Config(lmtp_port=server.port)


@contextmanager
def a_client_of_each_worker(server: Server) -> Iterator[list[Client]]:
    with ExitStack() as clients:
        both = []
        for held in reversed(server.workers()):
            os.kill(held, signal.SIGSTOP)
            try:
                client = clients.enter_context(Client.tcp(server.port))
                client.send(b"LHLO client.example\r\nMAIL FROM:<>\r\n")
                assert [reply.code for reply in client.replies(3)] == [220, 250, 250]
            finally:
                os.kill(held, signal.SIGCONT)
            both.append(client)
        yield both


def rcpt(client: Client, address: str = ALICE) -> Reply:
    return client.command(f"RCPT TO:<{address}>")


@contextmanager
def as_user(user: int) -> Iterator[None]:
    """Be somebody else, as the kernel sees it."""
    require_root("to be another user")
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def held(pid: int) -> Iterator[None]:
    """A process that does nothing for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_every_worker_forgets_what_it_knew(server: Server, backend: Backend) -> None:
    with a_client_of_each_worker(server) as clients:
        for _ in range(2):
            assert [rcpt(client).code for client in clients] == [250, 250]
        assert backend.queries == [ALICE] * 2
        backend.known = ()
        assert [rcpt(client).code for client in clients] == [250, 250]
        flushed = flush(server)
        assert flushed.stdout == "flushed 2 of 2 workers, answers forgotten: 2\n"
        assert (flushed.returncode, flushed.stderr) == (0, "")
        assert [rcpt(client).code for client in clients] == [550, 550]
        assert backend.queries == [ALICE] * 4


def test_it_flushes_before_it_asks(server: Server, backend: Backend) -> None:
    with a_client_of_each_worker(server) as clients:
        assert rcpt(clients[0]).code == 250
        result = lmtpd(
            *("check-recipient", ALICE, "--flush", *options(server)),
            *("--lmtp-recipient-hooks", "tests.support.backend:Asking"),
            *("--lmtp-environment", PORT),
        )
    first, second, *others = result.stdout.splitlines()
    assert first == "flushed 2 of 2 workers, answers forgotten: 1"
    assert second == f"250 2.1.5 <{ALICE}> Recipient ok"
    assert not any("worker" in line for line in others), "it was to be forgotten"
    assert backend.queries == [ALICE] * 2


def test_what_the_running_server_remembers_is_told(server: Server) -> None:
    with a_client_of_each_worker(server) as (_, second):
        assert rcpt(second, "Bob@example.org").code == 550
        told = lmtpd("check-recipient", "bob@example.org", *options(server))
    assert told.returncode == os.EX_NOUSER
    [line] = (line for line in told.stdout.splitlines() if "running server" in line)
    hook = "hook tests.support.backend:Asking on bob@example.org: unknown (asked "
    assert line.startswith(
        ("  the running server's worker 0: ", "  the running server's worker 1: ")
    )
    assert hook in line
    assert " s more)" in line


def test_an_odd_command_is_told_so(server: Server) -> None:
    for command in ("frobnicate", "recall not an address"):
        answers = rendezvous.ask(config(server), command)
        assert [line.split()[:3] for line in answers] == [
            ["worker", "0", "error"],
            ["worker", "1", "error"],
        ]


def test_without_a_server_it_is_69_and_nobody_is_asked(tmp_path: Path, backend: Backend) -> None:
    server = Server(tmp_path)
    result = lmtpd("check-recipient", ALICE, "--flush", *options(server))
    assert result.returncode == os.EX_UNAVAILABLE
    assert result.stdout == ""
    assert f"no server runs here that listens on 127.0.0.1:{server.port}" in result.stderr
    assert backend.queries == []


def test_a_server_that_was_killed_leaves_nothing_in_the_way(server: Server) -> None:
    server.kill_all()
    assert flush(server).returncode == os.EX_UNAVAILABLE
    server.start()
    assert flush(server).returncode == 0
    assert "control-unavailable" not in server.log


class TestTrust:
    def test_nobody_else_is_obeyed(self, server: Server) -> None:
        for _ in range(3):
            with as_user(_NOBODY), socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_SOON_S)
                connection.connect("\0" + rendezvous.name(config(server))[1:])
                # It hangs up, whether before or after it has heard us.
                try:
                    connection.sendall(b"flush\n")
                    assert connection.recv(100) == b""
                except ConnectionError:
                    pass
        assert flush(server).returncode == 0
        assert server.log.count(f"control-refused user={_NOBODY}") == 1
        assert server.log.count("control command=flush user=0") == 1

    def test_another_user_is_told_who_may(self, server: Server) -> None:
        with (
            as_user(_NOBODY),
            pytest.raises(
                rendezvous.ForeignError, match="held by user 0: if that is the server's, be that"
            ),
        ):
            rendezvous.ask(config(server), "flush")

    def test_a_squatter_costs_the_commands_and_not_the_mail(self, tmp_path: Path) -> None:
        server = Server(tmp_path)
        with as_user(_NOBODY):
            squatter = rendezvous.listen(config(server))
        with squatter, server:
            server.mailbox(ALICE)
            name = f"@lmtpd/127.0.0.1:{server.port}"
            assert f"control-unavailable name={name} " in server.log
            with Client.tcp(server.port) as client:
                client.send(b"LHLO client.example\r\nMAIL FROM:<>\r\n")
                assert client.replies(3)[2].code == 250
                assert rcpt(client).code == 250
            # Root does not take the word of somebody who is not the server.
            result = flush(server)
            assert result.returncode == os.EX_NOPERM
            assert (
                f"{name} is held by user {_NOBODY}, whose server is none of ours" in result.stderr
            )

    def test_root_believes_the_user_who_has_the_port(self, tmp_path: Path) -> None:
        server = Server(tmp_path)
        with as_user(_NOBODY):
            commands = rendezvous.listen(config(server))

        def serve() -> None:
            caller, _ = commands.accept()
            with caller:
                assert caller.recv(100) == b"flush\n"
                caller.sendall(b"worker 0 forgot 7\nend\n")

        with commands:
            with pytest.raises(rendezvous.ForeignError):
                rendezvous.ask(config(server), "flush")
            commands.accept()[0].close()
            threading.Thread(target=serve, daemon=True).start()
            with as_user(_NOBODY):
                port = socket.create_server((LOOPBACK, server.port))
            with port:
                assert rendezvous.ask(config(server), "flush") == ["worker 0 forgot 7"]

    def test_root_believes_the_user_who_has_the_unix_socket(self) -> None:
        folder = Path(tempfile.mkdtemp(dir="/tmp"))
        os.chown(folder, _NOBODY, -1)
        settings = Config(lmtp_bind_addr="", lmtp_socket_path=folder / "lmtp")
        try:
            with as_user(_NOBODY):
                commands = rendezvous.listen(settings)
                mail = socket.socket(socket.AF_UNIX)
                mail.bind(str(settings.lmtp_socket_path))
            with commands, mail:
                with pytest.raises(rendezvous.ForeignError, match="none of ours"):
                    rendezvous.ask(settings, "flush")
                with as_user(_NOBODY):
                    mail.listen()
                # Now it is believed, and says nothing.
                with pytest.raises(rendezvous.SilentError):
                    rendezvous.ask(settings, "flush", 0.2)
        finally:
            shutil.rmtree(folder)

    @pytest.mark.parametrize("has_it", [True, False])
    def test_of_a_socket_from_systemd_root_believes_who_has_it(
        self, has_it: bool, tmp_path: Path
    ) -> None:
        """It is root's, so that its owner says nothing of the server's user."""
        server = Server(tmp_path)
        heard, said = os.pipe()
        with socket.create_server((LOOPBACK, server.port)) as port:
            child = os.fork()
            if not child:
                _serve_one_command(server, port, said, has_it=has_it)
            os.close(said)
            try:
                assert os.read(heard, 1), "the child has failed"
                if has_it:
                    assert rendezvous.ask(config(server), "flush") == ["worker 0 forgot 7"]
                else:
                    with pytest.raises(rendezvous.ForeignError, match="none of ours"):
                        rendezvous.ask(config(server), "flush")
            finally:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                os.close(heard)


def _serve_one_command(server: Server, port: socket.socket, said: int, *, has_it: bool) -> NoReturn:
    """The child: another user's process, with the socket for mail or without it."""
    try:
        if not has_it:
            port.close()
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        commands = rendezvous.listen(config(server))
        os.write(said, b".")
        caller, _ = commands.accept()
        caller.recv(100)
        caller.sendall(b"worker 0 forgot 7\nend\n")
        caller.close()
        signal.pause()
    finally:
        os._exit(1)


class TestTrouble:
    def test_a_worker_that_dies_meanwhile_remembers_nothing(self, server: Server) -> None:
        first, _ = server.workers()
        with held(first), begin("check-recipient", "--flush", *options(server)) as process:
            wait_for(lambda: "control command=flush" in server.log, _SOON_S, "the command")
            os.kill(first, signal.SIGKILL)
            result = ended(process)
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout == (
            "flushed 1 of 2 workers, answers forgotten: 0\n"
            "worker 0 has just ended, and all that it remembered with it\n"
        )

    def test_a_worker_that_hangs_is_named_and_holds_nothing_up(self, server: Server) -> None:
        first, second = server.workers()
        with held(first), begin("check-recipient", "--flush", *options(server)) as process:
            wait_for(lambda: "control command=flush" in server.log, _SOON_S, "the command")
            os.kill(second, signal.SIGKILL)
            wait_for(lambda: server.log.count("worker-started") == 3, _SOON_S, "a successor")
            assert process.poll() is None, "the supervisor had time only when it had answered"
            result = ended(process)
        assert result.returncode == os.EX_TEMPFAIL
        assert "no answer from worker 0: what it remembers may hold" in result.stderr
        # The answer that comes too late is taken for nobody's.
        assert flush(server).stdout.startswith("flushed 2 of 2 workers")

    def test_a_server_that_stops_meanwhile_is_75_and_then_69(self, server: Server) -> None:
        first, _ = server.workers()
        with held(first), begin("check-recipient", "--flush", *options(server)) as process:
            wait_for(lambda: "control command=flush" in server.log, _SOON_S, "the command")
            server.terminate()
            result = ended(process)
            assert result.returncode == os.EX_TEMPFAIL
            assert "ended before it had answered" in result.stderr
            assert flush(server).returncode == os.EX_UNAVAILABLE
        assert server.stop() == 0

    def test_callers_who_say_nothing_are_not_waited_for(self, server: Server) -> None:
        with ExitStack() as callers:
            for octets in (b"", b"flu", b"flush " * 1000):
                caller = callers.enter_context(socket.socket(socket.AF_UNIX))
                caller.connect("\0" + rendezvous.name(config(server))[1:])
                caller.sendall(octets)
            assert flush(server).stdout == "flushed 2 of 2 workers, answers forgotten: 0\n"
        assert server.log.count("control command=") == 1
