"""`lmtpd.py doctor`: what it prints; ports and sockets, and who has them; names. All for real."""

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

from tests.support.doctor import doctor, given, here, run
from tests.support.nobody import as_nobody, give, with_python_open
from tests.support.processes import LOOPBACK, accepts, free_port, stop
from tests.support.server import PROJECT, Server
from tests.support.waiting import wait_for

ALICE = "alice@example.org"
LINE = re.compile(r"(?:ok  |note|WARN|FAIL) [a-z][a-z ]{12} \S.*| {5}-> \S.*")


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

    def test_warnings_of_the_configuration(self, idle: tuple[object, ...]) -> None:
        found = doctor(*idle, "--lmtp-bind-addr", "0.0.0.0")
        found.the("configuration", "warn", "only loopback peers are trusted")

    def test_no_systemd_no_word(self, idle: tuple[object, ...]) -> None:
        is_booted = Path("/run/systemd/system").is_dir()
        assert bool(doctor(*idle).levels("unit")) == is_booted

    def test_whoever_is_no_address(self) -> None:
        done = run("--send", "alice@@")
        assert done.returncode == os.EX_USAGE
        assert "is no address" in done.stderr

    def test_a_clock_that_is_before_our_time(
        self, tmp_path: Path, idle: tuple[object, ...]
    ) -> None:
        shutil.copytree(PROJECT / "lmtpd", tmp_path / "later" / "lmtpd")
        module = tmp_path / "later" / "lmtpd" / "doctor" / "machine.py"
        os.utime(module, (time.time() + 7 * 86400,) * 2)
        done = subprocess.run(
            [sys.executable, "-m", "lmtpd", "doctor", *map(str, idle)],
            cwd=tmp_path / "later",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "UTC here, before lmtpd was installed" in done.stdout, done.stdout + done.stderr


class TestPlaces:
    def test_a_port_that_another_has(self, idle: tuple[object, ...], tmp_path: Path) -> None:
        with other_server(idle[1], tmp_path) as pid:
            found = doctor(*idle)
        assert found.code == os.EX_TEMPFAIL
        taken = found.the("listener", "fail", f"{LOOPBACK}:{idle[1]} is taken by ")
        assert f"http.server {idle[1]}" in taken.text
        assert f"(pid {pid}, user " in taken.text
        assert "lmtp-port" in taken.remedy
        found.the("server", "fail", "no server runs here")

    def test_one_that_has_it_everywhere(self, idle: tuple[object, ...], tmp_path: Path) -> None:
        with other_server(idle[1], tmp_path, "0.0.0.0"):
            doctor(*idle).the("listener", "fail", f"{LOOPBACK}:{idle[1]} is taken by ")
        with other_server(idle[1], tmp_path, "::"):
            doctor(*idle).the("listener", "fail", f"{LOOPBACK}:{idle[1]} is taken by ")

    def test_nobody_serves(self, idle: tuple[object, ...]) -> None:
        found = doctor(*idle)
        assert found.code == os.EX_TEMPFAIL
        assert "systemctl start lmtpd" in found.the("server", "fail", "no server runs").remedy
        found.the("listener", "note", f"{LOOPBACK}:{idle[1]}, and it is free")

    def test_an_address_of_another_machine(self, idle: tuple[object, ...]) -> None:
        found = doctor(*idle, "--lmtp-bind-addr", "192.0.2.1")
        found.the("listener", "fail", "Cannot assign requested address")

    def test_a_port_that_is_not_ours_to_take(self) -> None:
        # Containers let everybody have any port; a new network is as the kernel makes it.
        network = ("unshare", "--net", "sh", "-ec", 'ip link set lo up; exec "$@"', "sh")
        prefix = (*network, *with_python_open(), *as_nobody())
        found = doctor("--lmtp-maildir-root", "/tmp", "--lmtp-port", 1023, prefix=prefix)
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
                found.the("store", "ok", "looked at as nobody")
                os.chown(server.root, 0, 0)
                server.root.chmod(0o755)
                found = doctor(*here(server), prefix=with_python_open())
                mended = found.the("store", "fail", "nobody may not write there")
                assert mended.remedy.startswith("chown nobody ")
                # Who is not root sees less, and says so.
                found = doctor(*here(server), prefix=prefix)
                found.the("server", "ok", "runs, and obeys")


class TestNames:
    def test_a_name_that_others_cannot_use(self, idle: tuple[object, ...]) -> None:
        found = doctor(*idle, "--lmtp-hostname", "mail")
        found.the("host name", "warn", "mail is not fully qualified")
        found = doctor(*idle, "--lmtp-hostname", "mail.invalid")
        assert "/etc/hosts" in found.the("host name", "warn", "has no address").remedy
        doctor(*idle, "--lmtp-hostname", "localhost").the("host name", "ok", "localhost is ")


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
