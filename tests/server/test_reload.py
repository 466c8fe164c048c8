"""The configuration is read anew: others take over, those of before finish, none is cut off."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import socket
import ssl
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.support.certificates import Certificate, make_certificate
from tests.support.client import Client
from tests.support.command_line import Result, lmtpd
from tests.support.processes import accepts, free_port
from tests.support.server import PROJECT, Server
from tests.support.steady import SteadyClients
from tests.support.waiting import wait_for

ALICE = "alice@example.org"
_SOON_S = 30.0
_RELOADS = 20

_FAILS_TO_READ_ANEW = """
import itertools, sys
from lmtpd import cli, config

reads, read = itertools.count(), config.load

def load(*arguments):
    if next(reads) == 1:
        raise RuntimeError("a bug")
    return read(*arguments)

config.load = load
sys.exit(cli.main(sys.argv[1:]))
"""


class Configured(Server):
    """A server whose settings stand in a file."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.file = folder / "lmtpd.conf"
        super().__init__(folder)
        self._settings = {"config": self.file}
        self.set("lmtp-workers = 2", *lines)
        self.mailbox(ALICE)

    def set(self, *lines: str) -> None:
        """Write the file: where it listens, its store, and these lines."""
        own = (f"lmtp-port = {self.port}", f"lmtp-maildir-root = {self.root}")
        self.file.write_text("".join(f"{line}\n" for line in (*own, *lines)), "utf-8")

    def start(self) -> None:
        """And wait for both workers."""
        super().start()
        wait_for(lambda: self.log.count("worker-started") == 2, _SOON_S, "two workers")

    def reload(self, *more: object) -> Result:
        """By the command."""
        return lmtpd("reload", "--config", self.file, *more)


def greeted(port: int) -> Client:
    client = Client.tcp(port)
    assert client.reply().code == 220
    return client


def size_of(client: Client) -> str:
    """What LHLO says of messages."""
    reply = client.command("LHLO client.example")
    return next(line for line in reply.lines if line.startswith("SIZE "))


def begin(client: Client) -> None:
    for line, code in (
        ("LHLO client.example", 250),
        ("MAIL FROM:<>", 250),
        (f"RCPT TO:<{ALICE}>", 250),
        ("DATA", 354),
    ):
        assert client.command(line).code == code


def end(client: Client) -> None:
    client.send(b"Subject: from before\r\n\r\n.\r\n")
    assert client.reply().code == 250


def test_what_is_set_holds_for_those_who_come_now(tmp_path: Path) -> None:
    with Configured(tmp_path) as server, greeted(server.port) as early:
        before = server.workers()
        server.set("lmtp-workers = 3", "lmtp-max-message-size = 1M")
        done = server.reload()
        assert (done.returncode, done.stdout, done.stderr) == (0, "reloaded\n", "")
        with greeted(server.port) as late:
            assert size_of(late) == "SIZE 1048576"
        assert size_of(early) == "SIZE 52428800"
        assert len({*server.workers()} - {*before}) == 3
        begin(early)
        end(early)
        assert early.reply().code == 421
        wait_for(lambda: len(server.workers()) == 3, _SOON_S, "the end of the others")
        assert "worker-ended" not in server.log


def test_nothing_is_cut_off_that_has_begun(tmp_path: Path) -> None:
    """However long it takes: there is no haste, for others serve."""
    with Configured(tmp_path, "lmtp-drain-timeout = 1") as server, greeted(server.port) as client:
        begin(client)
        with greeted(server.port) as silent:
            assert server.reload().returncode == 0
            # By then lmtp-drain-timeout is over.
            assert silent.reply().code == 421
        end(client)
    assert len(server.messages(ALICE)) == 1


def test_a_stop_ends_those_of_before_too(tmp_path: Path) -> None:
    with Configured(tmp_path, "lmtp-drain-timeout = 1") as server, greeted(server.port) as client:
        begin(client)
        assert server.reload().returncode == 0
        assert server.stop() == 0
        assert client.reply().code == 421
    assert server.messages(ALICE) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("lmtp-workers = x", "lmtpd.conf:3: lmtp-workers: "),
        ("lmtp-recipient-hooks = tests.support.no_such:Hook", "tests.support.no_such"),
    ],
    ids=["a-value", "a-hook"],
)
def test_a_fault_changes_nothing_and_is_told(tmp_path: Path, line: str, fault: str) -> None:
    with Configured(tmp_path) as server, greeted(server.port) as client:
        before = server.workers()
        server.set(line)
        done = server.reload()
        assert done.returncode == os.EX_CONFIG
        assert fault in done.stderr
        refused = server.log.count("reload-refused")
        os.kill(server.pid, signal.SIGHUP)
        wait_for(lambda: server.log.count("reload-refused") > refused, _SOON_S, "the line")
        assert fault in server.log
        assert server.workers() == before
        begin(client)
        end(client)


def test_a_bug_costs_the_reload_and_not_the_server(tmp_path: Path) -> None:
    server = Configured(tmp_path)
    server._program = ("-c", _FAILS_TO_READ_ANEW)
    with server, greeted(server.port) as client:
        done = server.reload()
        assert done.returncode != 0
        assert "RuntimeError: a bug" in done.stderr
        begin(client)
        end(client)
        assert server.reload().returncode == 0
    assert "reload-refused" in server.log


def test_a_port_that_is_taken_changes_nothing(tmp_path: Path) -> None:
    with Configured(tmp_path) as server, socket.socket() as other:
        before = server.workers()
        other.bind(("127.0.0.1", 0))
        other.listen()
        server.set("[more]", f"lmtp-port = {other.getsockname()[1]}")
        done = server.reload()
        assert done.returncode == os.EX_CONFIG
        assert "in use by another process\nlmtpd: nothing has changed\n" in done.stderr
        wait_for(lambda: server.workers() == before, _SOON_S, "the new worker to be gone")
        assert accepts(server.port)


def test_listeners_come_and_go(tmp_path: Path) -> None:
    path, port = tmp_path / "socket", free_port()
    with Configured(tmp_path) as server:
        server.set("[more]", f"lmtp-port = {port}", f"lmtp-socket-path = {path}")
        assert server.reload().returncode == 0
        for client in greeted(port), Client.unix(path), greeted(server.port):
            client.close()
        server.set("[other]", f"lmtp-socket-path = {path}")
        assert server.reload().returncode == 0
        assert not accepts(port)
        Client.unix(path).close()
        server.set()
        assert server.reload().returncode == 0
        assert not path.exists()
        assert accepts(server.port)


def test_a_unix_socket_is_kept_and_gets_its_new_mode(tmp_path: Path) -> None:
    path, other = tmp_path / "socket", tmp_path / "other"
    other.touch(0o600)
    with Configured(tmp_path) as server:
        server.set(f"lmtp-socket-path = {path}", "lmtp-socket-mode = 0600")
        assert server.reload().returncode == 0
        before = path.stat()
        server.set(f"lmtp-socket-path = {path}", "lmtp-socket-mode = 0666")
        assert server.reload().returncode == 0
        assert (path.stat().st_ino, path.stat().st_mode & 0o777) == (before.st_ino, 0o666)
        # Somebody puts something else in its place: that is neither changed nor removed.
        path.unlink()
        path.symlink_to(other)
        done = server.reload()
        assert done.returncode == os.EX_CONFIG
        assert f"cannot listen on {path}: a file that is no socket is in the way" in done.stderr
        assert other.stat().st_mode & 0o777 == 0o600
    assert path.is_symlink()


def test_a_port_on_another_address_needs_a_restart(tmp_path: Path) -> None:
    port = free_port()
    with Configured(tmp_path) as server:
        server.set("[more]", f"lmtp-port = {port}")
        assert server.reload().returncode == 0
        server.set("[more]", f"lmtp-port = {port}", "lmtp-bind-addr = 0.0.0.0")
        done = server.reload()
        assert done.returncode == os.EX_CONFIG
        assert f"this server has 127.0.0.1:{port}; a restart can move it" in done.stderr


def test_one_that_moves_is_found_by_its_pid_and_then_where_it_is(tmp_path: Path) -> None:
    """The socket for commands is called after the first place."""
    with Configured(tmp_path) as server:
        before, server.port = server.port, free_port()
        server.set()
        there = server.reload()
        assert there.returncode == os.EX_UNAVAILABLE
        assert f"no server runs here that listens on 127.0.0.1:{server.port}" in there.stderr
        nobody = server.reload("--pid", os.getpid())
        assert f"no server runs here that has the process id {os.getpid()}" in nobody.stderr
        assert server.reload("--pid", server.pid).returncode == 0
        assert accepts(server.port)
        assert not accepts(before)
        assert server.reload().returncode == 0


def test_nobody_is_refused_or_cut_off_by_twenty_reloads_under_load(tmp_path: Path) -> None:
    with (
        Configured(tmp_path) as server,
        SteadyClients(lambda: server.port, ALICE) as clients,
    ):
        for number in range(_RELOADS):
            clients.go_on(3)
            os.kill(server.pid, signal.SIGHUP)
            wait_for(lambda: server.log.count(" reloaded") > number, _SOON_S, "the reload")  # noqa: B023
        clients.go_on()
        assert clients.turned_away
    assert len(server.message_files(ALICE)) == clients.delivered
    assert not [*(server.root / "example.org/alice/tmp").iterdir()]


def test_certificates_are_read_and_their_faults_are_told(
    tmp_path: Path, certificate: Certificate
) -> None:
    """For those who connect now; a pair that does not fit changes nothing."""
    other = make_certificate(tmp_path)

    def with_pair(cert: Path, key: Path) -> tuple[str, ...]:
        return f"lmtp-cert-path = {cert}", f"lmtp-key-path = {key}", "lmtp-tls-only = true"

    with Configured(tmp_path) as server:
        server.set(*with_pair(certificate.cert_path, certificate.key_path))
        assert server.reload().returncode == 0
        Client.tcp(server.port, certificate.client_context()).close()
        server.set(*with_pair(certificate.cert_path, other.key_path))
        done = server.reload()
        assert done.returncode == os.EX_CONFIG
        assert "lmtp-key-path" in done.stderr
        Client.tcp(server.port, certificate.client_context()).close()
        server.set(*with_pair(other.cert_path, other.key_path))
        assert server.reload().returncode == 0
        Client.tcp(server.port, other.client_context()).close()
        with pytest.raises(ssl.SSLError):
            Client.tcp(server.port, certificate.client_context())


def test_the_log_goes_where_it_is_told(tmp_path: Path) -> None:
    with Configured(tmp_path) as server:
        server.set("lmtp-log-format = json")
        assert server.reload().returncode == 0
        wait_for(lambda: '"event":"reloaded"' in server.log, _SOON_S, "the line of the log")
        with greeted(server.port) as client:
            begin(client)
            end(client)
        wait_for(lambda: '"event":"delivered"' in server.log, _SOON_S, "the line of the log")


def test_what_was_removed_from_the_environment_does_not_come_back(tmp_path: Path) -> None:
    with Configured(tmp_path) as server:
        server.set("lmtp-environment = SECRET")
        assert server.reload().returncode == 0
        assert "what was removed at the start is back after a restart only" in server.log


def test_a_terminal_that_is_gone_ends_the_server(tmp_path: Path) -> None:
    """The kernel's SIGHUP is not an administrator's."""
    port, root = free_port(), tmp_path / "maildirs"
    root.mkdir()
    ours, terminal = pty.openpty()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "lmtpd.py", f"--lmtp-port={port}", f"--lmtp-maildir-root={root}"],
            cwd=PROJECT,
            stdin=terminal,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
    try:
        os.close(terminal)
        wait_for(lambda: accepts(port), _SOON_S, "the server")
        os.close(ours)
        assert process.wait(_SOON_S) == 0
    finally:
        process.kill()
        process.wait()
    assert "reload" not in (tmp_path / "log").read_text()
