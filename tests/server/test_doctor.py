"""`lmtpd.py doctor`: ports, sockets, names, certificates, hooks, and a delivery, all for real."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.server.conftest import tls_settings
from tests.support.certificates import Certificate, make_certificate
from tests.support.components import require_root
from tests.support.doctor import doctor, run
from tests.support.nobody import NOBODY, give, with_python_open
from tests.support.processes import LOOPBACK, accepts, free_port, stop
from tests.support.server import PROJECT, Server
from tests.support.waiting import wait_for

ALICE, NOBODY_THERE = "alice@example.org", "nobody@example.org"
LINE = re.compile(r"(?:ok  |note|WARN|FAIL) [a-z][a-z ]{12} \S.*| {5}-> \S.*")


def here(server: Server) -> tuple[object, ...]:
    """The settings that lead to a server."""
    return "--lmtp-port", server.port, "--lmtp-maildir-root", server.root


def given(settings: dict[str, object]) -> list[object]:
    """Settings as options."""
    return [
        word
        for key, value in settings.items()
        for word in (f"--{key.replace('_', '-')}", str(value))
    ]


@pytest.fixture
def store(tmp_path: Path) -> tuple[object, ...]:
    """The settings of a store where nobody serves."""
    root = tmp_path / "maildirs"
    root.mkdir()
    return "--lmtp-port", free_port(), "--lmtp-maildir-root", root


class TestAll:
    def test_a_person_reads_a_line_for_each_and_what_mends_it_below(self, server: Server) -> None:
        server.mailbox(ALICE)
        done = run(*here(server))
        assert done.returncode == os.EX_OK, done.stdout
        *lines, last = done.stdout.splitlines()
        assert all(LINE.fullmatch(line) for line in lines), done.stdout
        assert re.fullmatch(r"\d+ looked at: \d+ ok, \d+ note, \d+ WARN, 0 FAIL", last)
        assert "ok   configuration sound" in lines
        assert any(line.startswith("ok   clock") or "keeps it so" in line for line in lines)

    def test_nothing_is_left_and_nothing_changed(self, server: Server) -> None:
        server.mailbox(ALICE)
        before = server.files()
        assert doctor(*here(server)).code == os.EX_OK
        assert server.files() == before

    def test_a_configuration_with_faults(self, tmp_path: Path) -> None:
        found = doctor("--lmtp-maildir-root", tmp_path / "none", "--lmtp-tls-only", "true")
        assert found.code == os.EX_CONFIG
        assert found.levels("configuration") == ["fail", "fail", "note"]
        found.the("configuration", "fail", "is its file system not mounted?")

    def test_a_store_that_is_not_mounted(self, tmp_path: Path) -> None:
        settings = ("--lmtp-maildir-root", tmp_path, "--lmtp-maildir-marker", ".lmtpd-store")
        found = doctor(*settings)
        assert found.code == os.EX_CONFIG
        found.the("configuration", "fail", "is its file system not mounted?")
        (tmp_path / ".lmtpd-store").touch()
        assert "fail" not in doctor(*settings).levels("configuration")

    def test_warnings_of_the_configuration(self, store: tuple[object, ...]) -> None:
        found = doctor(*store, "--lmtp-bind-addr", "0.0.0.0")
        found.the("configuration", "warn", "only loopback peers are trusted")

    def test_no_systemd_no_word(self, store: tuple[object, ...]) -> None:
        is_booted = Path("/run/systemd/system").is_dir()
        assert bool(doctor(*store).levels("unit")) == is_booted

    def test_whoever_is_no_address(self) -> None:
        done = run("--send", "alice@@")
        assert done.returncode == os.EX_USAGE
        assert "is no address" in done.stderr

    def test_a_clock_that_is_before_our_time(
        self, tmp_path: Path, store: tuple[object, ...]
    ) -> None:
        shutil.copytree(PROJECT / "lmtpd", tmp_path / "later" / "lmtpd")
        module = tmp_path / "later" / "lmtpd" / "doctor" / "machine.py"
        os.utime(module, (time.time() + 7 * 86400,) * 2)
        done = subprocess.run(
            [sys.executable, "-m", "lmtpd", "doctor", *map(str, store)],
            cwd=tmp_path / "later",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "UTC here, before lmtpd was installed" in done.stdout, done.stdout + done.stderr


class TestPlaces:
    def test_a_port_that_another_has(self, store: tuple[object, ...], tmp_path: Path) -> None:
        with other_server(store[1], tmp_path) as pid:
            found = doctor(*store)
        assert found.code == os.EX_TEMPFAIL
        taken = found.the("listener", "fail", f"{LOOPBACK}:{store[1]} is taken by ")
        assert f"http.server {store[1]}" in taken.text
        assert f"(pid {pid}, user " in taken.text
        assert "lmtp-port" in taken.remedy
        found.the("server", "fail", "no server runs here")

    def test_one_that_has_it_everywhere(self, store: tuple[object, ...], tmp_path: Path) -> None:
        with other_server(store[1], tmp_path, "0.0.0.0"):
            doctor(*store).the("listener", "fail", f"{LOOPBACK}:{store[1]} is taken by ")
        with other_server(store[1], tmp_path, "::"):
            doctor(*store).the("listener", "fail", f"{LOOPBACK}:{store[1]} is taken by ")

    def test_nobody_serves(self, store: tuple[object, ...]) -> None:
        found = doctor(*store)
        assert found.code == os.EX_TEMPFAIL
        assert "systemctl start lmtpd" in found.the("server", "fail", "no server runs").remedy
        found.the("listener", "note", f"{LOOPBACK}:{store[1]}, and it is free")

    def test_an_address_of_another_machine(self, store: tuple[object, ...]) -> None:
        found = doctor(*store, "--lmtp-bind-addr", "192.0.2.1")
        found.the("listener", "fail", "Cannot assign requested address")

    def test_a_port_that_is_not_ours_to_take(self) -> None:
        require_root("only root can become another user")
        able = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()
        settings = ("--lmtp-maildir-root", "/tmp", "--lmtp-port", int(able) - 1)
        found = doctor(*settings, prefix=(*with_python_open(), *as_nobody()))
        privileged = found.the("listener", "fail", "Permission denied")
        assert "CAP_NET_BIND_SERVICE" in privileged.remedy

    def test_one_of_other_settings(self, server: Server, tmp_path: Path) -> None:
        other = tmp_path / "socket"
        found = doctor(*here(server), "--lmtp-socket-path", other)
        found.the("listener", "fail", f"the server runs, and does not listen on {other}")
        found.the("listener", "ok", f"{LOOPBACK}:{server.port} greets and takes LHLO, no TLS")
        port = free_port()
        sections = tmp_path / "lmtpd.conf"
        sections.write_text(
            f"lmtp-port = {port}\n[other]\nlmtp-bind-addr = {LOOPBACK}\nlmtp-port = {server.port}\n"
        )
        found = doctor("--config", sections, "--lmtp-maildir-root", server.root)
        found.the("server", "warn", "which does not obey this configuration")

    def test_a_server_that_does_not_trust_us(self, tmp_path: Path) -> None:
        settings: dict[str, object] = {"lmtp_trusted_ips": "10.0.0.1"}
        with Server(tmp_path, **settings) as server:
            found = doctor(*here(server), *given(settings))
        found.the("listener", "note", "we are not in lmtp-trusted-ips")

    def test_a_server_that_hangs(self, server: Server) -> None:
        os.kill(server.pid, signal.SIGSTOP)
        for worker in server.workers():
            os.kill(worker, signal.SIGSTOP)
        try:
            found = doctor(*here(server))
        finally:
            for worker in (*server.workers(), server.pid):
                os.kill(worker, signal.SIGCONT)
        found.the("server", "fail", "gives no answer")
        found.the("listener", "fail", "no answer within 15 s")
        assert found.levels("store") == ["ok"] * len(found.levels("store"))

    def test_sockets(self, tmp_path: Path) -> None:
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            path = Path(folder) / "socket"
            with Server(tmp_path, lmtp_socket_path=path) as server:
                settings = (*here(server), "--lmtp-socket-path", path)
                doctor(*settings).the("listener", "ok", f"{path} greets and takes LHLO")
            path.touch()
            found = doctor(*settings)
            assert "rm " in found.the("listener", "fail", "a file that is no socket").remedy
            path.unlink()
            doctor(*settings).the("listener", "note", f"nobody listens on {path}")
            with closing(socket.socket(socket.AF_UNIX)) as other:
                other.bind(str(path))
                doctor(*settings).the("listener", "note", f"nobody listens on {path}")
                other.listen()
                taken = doctor(*settings).the("listener", "fail", f"{path} is taken by ")
                assert f"(pid {os.getpid()}, user " in taken.text
            lost = (*settings, "--lmtp-socket-path", path.parent / "none" / "socket")
            doctor(*lost).the("listener", "fail", "none is not there")

    def test_a_server_of_a_user_whom_no_setting_names(self) -> None:
        prefix = (*with_python_open(), *as_nobody())
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            Path(folder).chmod(0o755)
            with Server(Path(folder), prefix=prefix) as server:
                give(server, ALICE)
                found = doctor(*here(server), prefix=with_python_open())
                found.the("configuration", "note", "the server runs as nobody")
                found.the("store", "ok", "lmtpd is nobody")
                os.chown(server.root, 0, 0)
                server.root.chmod(0o755)
                found = doctor(*here(server), prefix=with_python_open())
                mended = found.the("store", "fail", "nobody may not write there")
                assert mended.remedy.startswith("chown nobody ")
                # Who is not root sees less, and says so.
                found = doctor(*here(server), prefix=prefix)
                found.the("server", "ok", "runs, and obeys")


class TestNames:
    def test_a_name_that_others_cannot_use(self, store: tuple[object, ...]) -> None:
        found = doctor(*store, "--lmtp-hostname", "mail")
        found.the("host name", "warn", "mail is not fully qualified")
        found = doctor(*store, "--lmtp-hostname", "mail.invalid")
        assert "/etc/hosts" in found.the("host name", "warn", "has no address").remedy
        doctor(*store, "--lmtp-hostname", "localhost").the("host name", "ok", "localhost is ")


class TestCertificates:
    def settings(self, certificate: Certificate) -> list[object]:
        return given(tls_settings(certificate))

    def test_one_that_has_expired(self, store: tuple[object, ...], tmp_path: Path) -> None:
        old = make_certificate(tmp_path, begins=-10, ends=-1)
        found = doctor(*store, *self.settings(old))
        assert found.code == os.EX_CONFIG
        assert "renew" in found.the("certificate", "fail", "has expired on").remedy

    def test_one_that_expires_soon_or_is_another_s(
        self, store: tuple[object, ...], tmp_path: Path
    ) -> None:
        soon = make_certificate(tmp_path, ("mail.example.org",), ends=3)
        name = ("--lmtp-hostname", "mail.example.org")
        found = doctor(*store, *self.settings(soon), *name)
        found.the("certificate", "warn", "expires on")
        assert found.levels("certificate") == ["warn"]
        found = doctor(*store, *self.settings(soon), "--lmtp-hostname", "mx.example.net")
        found.the("certificate", "warn", "none is that of mx.example.net")

    def test_one_that_holds(self, store: tuple[object, ...], tmp_path: Path) -> None:
        good = make_certificate(tmp_path, ("*.example.org",), ends=300)
        name = ("--lmtp-hostname", "mail.example.org")
        found = doctor(*store, *self.settings(good), *name)
        assert found.levels("certificate") == ["ok"]

    def test_a_key_of_another(
        self, store: tuple[object, ...], tmp_path: Path, certificate: Certificate
    ) -> None:
        other = make_certificate(tmp_path)
        wrong = Certificate(other.cert_path, certificate.key_path)
        assert "fail" in doctor(*store, *self.settings(wrong)).levels("certificate")

    def test_a_key_that_others_can_read(self, store: tuple[object, ...], tmp_path: Path) -> None:
        open_one = make_certificate(tmp_path, ends=300)
        open_one.key_path.chmod(0o644)
        doctor(*store, *self.settings(open_one)).the(
            "configuration", "warn", "can be read by others: chmod 0600"
        )

    @pytest.mark.parametrize("is_tls_only", [False, True])
    def test_a_server_with_tls(
        self, tmp_path: Path, certificate: Certificate, is_tls_only: bool
    ) -> None:
        with Server(tmp_path, **tls_settings(certificate), lmtp_tls_only=is_tls_only) as server:
            only = ("--lmtp-tls-only", str(is_tls_only).lower())
            found = doctor(*here(server), *self.settings(certificate), *only)
        found.the("listener", "ok", "greets and takes LHLO, TLSv1.3")


class TestHooks:
    @pytest.mark.parametrize(
        ("hook", "settings"),
        [
            (
                "sql",
                {
                    "lmtp_sql_url": "postgresql+pg8000://lmtpd@127.0.0.1:{port}/mail",
                    "lmtp_sql_query": "SELECT mailbox FROM recipients WHERE address = :address",
                },
            ),
            (
                "ldap",
                {
                    "lmtp_ldap_url": "ldap://127.0.0.1:{port}",
                    "lmtp_ldap_base": "dc=example,dc=org",
                    "lmtp_ldap_filter": "(mail={{address}})",
                },
            ),
            ("tcp_table", {"lmtp_tcp_table": "127.0.0.1:{port}"}),
        ],
    )
    def test_one_whose_back_end_is_not_there(
        self, hook: str, settings: dict[str, str], store: tuple[object, ...]
    ) -> None:
        port = free_port()
        options = given({key: value.format(port=port) for key, value in settings.items()})
        found = doctor(*store, "--lmtp-recipient-hooks", f"maildirs;{hook}", *options)
        assert found.code == os.EX_TEMPFAIL
        assert found.levels("hooks") == ["ok", "fail"]
        down = found.the("hooks", "fail", f"hook {hook}: ")
        assert re.search(r"\([0-9.]+ ms\)$", down.text)
        assert down.remedy.startswith(f"is what lmtp-{hook.replace('_', '-')}")

    def test_one_that_says_nothing_is_not_waited_for(self, store: tuple[object, ...]) -> None:
        with closing(socket.create_server((LOOPBACK, 0))) as mute:
            table = f"{LOOPBACK}:{mute.getsockname()[1]}"
            settings = ("--lmtp-tcp-table", table, "--lmtp-hook-timeout", "0.5")
            found = doctor(*store, "--lmtp-recipient-hooks", "tcp_table", *settings)
        found.the("hooks", "fail", "no answer within")

    def test_one_that_does_not_load(self, store: tuple[object, ...]) -> None:
        found = doctor(*store, "--lmtp-recipient-hooks", "acme.none:Verifier")
        assert found.levels("hooks") == ["fail"]

    def test_a_postmaster_is_missed(self, server: Server) -> None:
        server.mailbox(ALICE)
        found = doctor(*here(server))
        assert found.levels("hooks") == ["ok", "note"]
        found.the("hooks", "note", "postmaster@example.org is unknown here")
        server.mailbox("postmaster@example.org")
        assert doctor(*here(server)).levels("hooks") == ["ok"]


class TestSend:
    def test_a_message_is_delivered_found_timed_and_removed(self, server: Server) -> None:
        mailbox = server.mailbox(ALICE)
        found = doctor(*here(server), "--send", ALICE)
        assert found.code == os.EX_OK
        assert found.levels("delivery") == ["ok"] * 4
        found.the("delivery", "ok", "is verified over")
        sent = found.the("delivery", "ok", "of it behind the dot")
        (name,) = re.findall(r" id ([0-9a-f]{16})", sent.text)
        assert f"{mailbox}/new/" in found.the("delivery", "ok", "found in").text
        assert f"id={name}" in server.log
        assert server.messages(ALICE) == []

    def test_what_comes_from_others_stays(self, server: Server) -> None:
        new = server.mailbox(ALICE) / "new"
        new.mkdir()
        (new / "another").write_text("Subject: another\n\n")
        assert doctor(*here(server), "--send", ALICE).code == os.EX_OK
        assert [file.name for file in new.iterdir()] == ["another"]

    def test_each_member_of_a_list(self, server: Server, tmp_path: Path) -> None:
        table = tmp_path / "table"
        table.write_text("team@example.org alice@example.org, bob@example.org\n")
        hooks = ("--lmtp-recipient-table", table, "--lmtp-recipient-hooks", "table;maildirs")
        settings = {"lmtp_recipient_table": table, "lmtp_recipient_hooks": "table;maildirs"}
        with Server(tmp_path / "other", **settings) as server:
            found = doctor(*here(server), *hooks, "--send", "team@example.org")
            assert found.levels("delivery") == ["ok"] * 6
            for member in (ALICE, "bob@example.org"):
                assert server.messages(member) == []

    def test_whoever_does_not_exist(self, server: Server) -> None:
        found = doctor(*here(server), "--send", NOBODY_THERE)
        assert found.code == os.EX_TEMPFAIL
        refused = found.the("delivery", "fail", "is refused")
        assert "550 5.1.1" in refused.text
        assert refused.remedy == f"lmtpd check-recipient {NOBODY_THERE}"

    def test_nobody_serves(self, store: tuple[object, ...]) -> None:
        doctor(*store, "--send", ALICE).the("delivery", "fail", "does not answer")

    def test_a_mailbox_that_takes_nothing(self, server: Server) -> None:
        (server.mailbox(ALICE) / "new").symlink_to("/nonexistent")
        doctor(*here(server), "--send", ALICE).the("delivery", "fail", "the message is refused: 4")

    def test_who_may_not_look_there_says_so(self) -> None:
        prefix = (*with_python_open(), *as_nobody())
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            Path(folder).chmod(0o755)
            with Server(Path(folder)) as server:
                server.mailbox(ALICE).chmod(0o700)
                found = doctor(*here(server), "--send", ALICE, prefix=prefix)
                found.the("delivery", "warn", "cannot be looked into")
                assert len(server.messages(ALICE)) == 1


@contextmanager
def other_server(port: object, folder: Path, address: str = LOOPBACK) -> Iterator[int]:
    """Python's own web server; its pid."""
    process = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", address],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: accepts(int(str(port))), 20, f"a web server on port {port}")
        yield process.pid
    finally:
        stop(process, 20)


def as_nobody() -> tuple[str, ...]:
    """A command that becomes nobody."""
    ids = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs")
    return ("setpriv", *ids, "--")
