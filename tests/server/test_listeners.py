"""Several listeners of one server: whose mail comes in where, and the sockets' files."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Account, Accounts
from tests.support.certificates import Certificate
from tests.support.client import Client
from tests.support.command_line import lmtpd
from tests.support.components import require, require_root
from tests.support.processes import PROGRAMS_PATH, accepts, descriptors, free_port
from tests.support.server import Server
from tests.support.waiting import wait_for

ALICE = "alice@example.org"
_SOON_S = 15.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """For sockets: one that every user may enter."""
    made = Path(tempfile.mkdtemp(prefix="lmtpd-sockets-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def accounts() -> Iterator[Accounts]:
    with Accounts() as made:
        yield made


def configured(place: Path, text: str) -> Path:
    file = place / "lmtpd.conf"
    file.write_text(text, "utf-8")
    return file


def delivers(client: Client) -> None:
    """It is greeted, and its mail is taken."""
    with client:
        assert client.reply().code == 220
        assert client.command("LHLO client.example").code == 250
        assert client.command("MAIL FROM:<>").code == 250
        assert client.command(f"RCPT TO:<{ALICE}>").code == 250
        assert client.command("DATA").code == 354
        assert client.command("Subject: x\r\n\r\nx\r\n.").code == 250
        # Without it the next delivery could be the same one, sent again.
        assert client.command("QUIT").code == 221


def is_refused(client: Client, setting: str) -> None:
    with client:
        reply = client.reply()
        assert (reply.code, reply.text[:5]) == (554, "5.7.1")
        assert setting in reply.text
        assert client.is_closed_by_peer()


def offers_tls(client: Client) -> bool:
    assert client.reply().code == 220
    return "STARTTLS" in client.command("LHLO client.example").lines


def tries(account: Account, path: Path, code: int) -> None:
    """A program of this user hears this code in the greeting of a unix socket."""

    def connect() -> None:
        with Client.unix(path) as client:
            assert client.reply().code == code

    account.does(connect)


def test_each_has_its_own_tls_and_its_own_trust(
    tmp_path: Path, folder: Path, certificate: Certificate
) -> None:
    other, secured = free_port(), free_port()
    text = f"""
lmtp-workers = 2
lmtp-socket-path = {folder}/default
[other]
lmtp-port = {other}
lmtp-trusted-ips = 192.0.2.1
[secured]
lmtp-port = {secured}
lmtp-cert-path = {certificate.cert_path}
lmtp-key-path = {certificate.key_path}
lmtp-tls-only = true
[filter]
lmtp-socket-path = {folder}/filter
lmtp-cert-path = {certificate.cert_path}
lmtp-key-path = {certificate.key_path}
"""
    with Server(tmp_path, config=configured(tmp_path, text)) as server:
        server.mailbox(ALICE)
        wait_for(lambda: server.log.count("worker-started") == 2, _SOON_S, "both workers")
        for _ in range(4):  # whichever worker it comes to
            delivers(Client.tcp(server.port))
            delivers(Client.unix(folder / "default"))
            is_refused(Client.tcp(other), "lmtp-trusted-ips")
            delivers(Client.tcp(secured, certificate.client_context()))
            delivers(Client.unix(folder / "filter"))
        with Client.tcp(server.port) as client:
            assert not offers_tls(client)
        with Client.unix(folder / "filter") as client:
            assert offers_tls(client)
        assert len(server.messages(ALICE)) == 16
        assert f"listening on 127.0.0.1:{server.port}\n" in server.output
        assert f"listening on 127.0.0.1:{other} [other]\n" in server.output
        assert f"listening on {folder}/filter [filter]\n" in server.output
        assert server.stop() == 0
    assert not [*folder.iterdir()]


def test_a_worker_that_comes_later_has_them_too(tmp_path: Path, folder: Path) -> None:
    text = f"lmtp-workers = 1\n[x]\nlmtp-socket-path = {folder}/x\nlmtp-trusted-users = 4242\n"
    with Server(tmp_path, config=configured(tmp_path, text)) as server:
        server.mailbox(ALICE)
        (first,) = server.workers()
        os.kill(first, 9)
        wait_for(lambda: server.log.count("worker-started") == 2, _SOON_S, "its successor")
        is_refused(Client.unix(folder / "x"), "lmtp-trusted-users")
        delivers(Client.tcp(server.port))


def test_a_server_without_tcp(tmp_path: Path, folder: Path) -> None:
    """And its commands, which are called after its unix socket."""
    path = folder / "lmtp"
    with Server(tmp_path, lmtp_bind_addr="none", lmtp_socket_path=path) as server:
        server.mailbox(ALICE)
        delivers(Client.unix(path))
        options = ("--lmtp-bind-addr", "none", "--lmtp-socket-path", path)
        result = lmtpd("check-recipient", "--flush", *options, "--lmtp-maildir-root", server.root)
        assert result.returncode == 0, result.stderr
    assert not path.exists()


def test_the_suggested_command_goes_to_a_unix_socket(tmp_path: Path, folder: Path) -> None:
    require("swaks")
    path = folder / "lmtp"
    server = Server(tmp_path, lmtp_bind_addr="none", lmtp_socket_path=path)
    server.mailbox(ALICE)
    with server:
        wait_for(lambda: "try it: " in server.output, _SOON_S, "the welcome")
        (command,) = (line for line in server.output.splitlines() if line[:8] == "try it: ")
        environment = {"PATH": PROGRAMS_PATH, "HOME": str(tmp_path)}
        subprocess.run(shlex.split(command[8:]), env=environment, check=True, timeout=_SOON_S)
        assert len(server.messages(ALICE)) == 1


def test_ipv4_on_a_listener_for_both(tmp_path: Path) -> None:
    """Its clients are called by their IPv4 addresses, for trust as in the log."""
    for network, code in (("127.0.0.1", 220), ("::1", 554)):
        with (
            Server(tmp_path, lmtp_bind_addr="::", lmtp_trusted_ips=network) as server,
            Client.tcp(server.port) as client,
        ):
            assert client.reply().code == code


class TestUsers:
    """Who may speak on a unix socket, by the kernel's word."""

    def test_those_of_the_list_and_nobody_else(
        self, tmp_path: Path, folder: Path, accounts: Accounts
    ) -> None:
        by_name, by_number, other = (accounts.add(letter) for letter in "abc")
        path = folder / "lmtp"
        settings = {
            "lmtp_socket_path": path,
            "lmtp_socket_mode": "0666",
            "lmtp_trusted_users": f"{by_name.name}; {by_number.uid}",
        }
        with Server(tmp_path, **settings) as server:
            tries(by_name, path, 220)
            tries(by_number, path, 220)
            tries(other, path, 554)
            is_refused(Client.unix(path), "lmtp-trusted-users")
            with Client.tcp(server.port) as client:
                assert client.reply().code == 220
            told = f"not-trusted peer=local:{other.uid} user={other.uid}"
            wait_for(lambda: told in server.log, _SOON_S, "the line")
            assert "not-trusted peer=local:0 user=0" in server.log
            assert by_name.name not in server.log

    def test_owner_group_and_mode_let_in(
        self, tmp_path: Path, folder: Path, accounts: Accounts
    ) -> None:
        owner, member, other = (accounts.add(letter) for letter in "abc")
        path = folder / "lmtp"
        settings = {
            "lmtp_socket_path": path,
            "lmtp_socket_owner": owner.name,
            "lmtp_socket_group": member.gid,
        }
        with Server(tmp_path, **settings) as server:
            wait_for(lambda: "worker-started" in server.log, _SOON_S, "all to be bound")
            info = path.stat()
            assert (info.st_uid, info.st_gid) == (owner.uid, member.gid)
            assert info.st_mode & 0o7777 == 0o660
            tries(owner, path, 220)
            tries(member, path, 220)
            with pytest.raises(AssertionError, match="could not do it"):
                tries(other, path, 220)

    def test_the_log_names_a_trusted_user(self, tmp_path: Path, folder: Path) -> None:
        require_root("the list names root")
        path = folder / "lmtp"
        with Server(tmp_path, lmtp_socket_path=path, lmtp_trusted_users="root") as server:
            server.mailbox(ALICE)
            delivers(Client.unix(path))
            wait_for(lambda: " peer=local:root " in server.log, _SOON_S, "the line")
            (message,) = server.messages(ALICE)
            assert b"Received: from client.example (local socket)\n" in message


def activated(*sockets: str, names: str) -> list[str]:
    """The command that starts a server at the first connection, as systemd would."""
    require("socket-activation")
    program = shutil.which("systemd-socket-activate", path=PROGRAMS_PATH)
    assert program
    return [program, *(f"--listen={one}" for one in sockets), f"--fdname={names}", "--"]


class TestActivation:
    """Sockets that systemd has bound; its own program for trying it takes systemd's place."""

    def test_each_goes_to_the_section_of_its_name(self, tmp_path: Path, folder: Path) -> None:
        port, other, own = free_port(), free_port(), free_port()
        text = f"""
[filter]
lmtp-bind-addr = none
lmtp-trusted-users = 4242
[second]
lmtp-port = 1
lmtp-trusted-ips = 192.0.2.1
[third]
lmtp-port = {own}
"""
        sockets = (f"127.0.0.1:{port}", f"{folder}/filter", f"127.0.0.1:{other}")
        with Server(
            tmp_path,
            prefix=activated(*sockets, names="lmtp:filter:second"),
            config=configured(tmp_path, text),
            lmtp_port=port,
            lmtp_workers=2,
        ) as server:
            server.mailbox(ALICE)
            delivers(Client.tcp(port))
            delivers(Client.tcp(own))
            is_refused(Client.unix(folder / "filter"), "lmtp-trusted-users")
            is_refused(Client.tcp(other), "lmtp-trusted-ips")
            wait_for(lambda: server.log.count("worker-started") == 2, _SOON_S, "both workers")
            first, second = server.workers()
            # The first was there before it was to have them.
            wait_for(
                lambda: descriptors(first)["socket"] == descriptors(second)["socket"],
                _SOON_S,
                "as many",
            )
            assert f"listening on {folder}/filter [filter]\n" in server.output
            assert f"listening on 127.0.0.1:{other} [second]\n" in server.output
        assert (folder / "filter").is_socket(), "it is systemd's"

    def test_the_check_says_what_it_cannot_see(self, tmp_path: Path) -> None:
        text = f"lmtp-maildir-root = {tmp_path}\n[x]\nlmtp-bind-addr = none\n"
        result = lmtpd("check-config", "--config", configured(tmp_path, text))
        assert result.returncode == 0
        assert "[x] listens on what systemd hands over, and on nothing else" in result.stderr

    def test_a_section_that_gets_none_stops_the_start(self, tmp_path: Path) -> None:
        server = Server(tmp_path, config=configured(tmp_path, "[x]\nlmtp-bind-addr = none\n"))
        with pytest.raises(RuntimeError, match=r"\[x\] listens nowhere"):
            server.start()
        assert not accepts(server.port)


def test_a_sections_fault_stops_the_start(tmp_path: Path) -> None:
    text = "[x]\nlmtp-port = 25\nlmtp-workers = 1\n"
    file = configured(tmp_path, text)
    result = lmtpd("serve", "--config", file)
    assert result.returncode == os.EX_CONFIG
    assert f"{file}:2: lmtp-port: port 25 is for SMTP" in result.stderr
    assert f"{file}:3: lmtp-workers: is for all listeners at once" in result.stderr
