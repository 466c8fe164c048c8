"""What a service manager hears (sd_notify(3)), and the pid file for those who have none."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lmtpd.server.service_manager import ServiceManager
from tests.support.command_line import lmtpd
from tests.support.server import Server
from tests.support.waiting import wait_for

_SOON_S = 30.0
# Less than it is waited for.
_A_MOMENT_S = 0.3


class Manager:
    """The socket of a service manager."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(_SOON_S)

    def hear(self) -> dict[str, str]:
        """The next datagram that is no sign of life."""
        while (said := self._said()) == {"WATCHDOG": "1"}:
            pass
        return said

    def is_alive(self) -> bool:
        """Whether a sign of life comes next."""
        return self._said() == {"WATCHDOG": "1"}

    def is_there(self) -> bool:
        """Whether anything comes in time."""
        try:
            return bool(self._said())
        except TimeoutError:
            return False

    def _said(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Manager]:
    """It listens where the environment says."""
    path = str(tmp_path / "notify")
    name, address = (path, path) if request.param == "path" else (f"@{path}", f"\0{path}")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    manager = Manager(address)
    with manager.socket:
        yield manager


def test_it_hears_of_each_change(tmp_path: Path, manager: Manager) -> None:
    with Server(tmp_path, lmtp_workers=2) as server:
        ready = manager.hear()
        assert ready["READY"] == "1"
        assert ready["STATUS"].startswith("Taking mail with 2 workers since ")
        wait_for(lambda: server.log.count("worker-started") == 2, _SOON_S, "two workers")
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        for number in (signal.SIGHUP, signal.SIGUSR2):
            os.kill(server.pid, number)
            reloading = manager.hear()
            assert reloading["RELOADING"] == "1"
            assert int(reloading["MONOTONIC_USEC"]) > now
            assert manager.hear()["READY"] == "1"
        server.terminate()
        assert manager.hear()["STOPPING"] == "1"


def test_one_with_much_to_read_misses_nothing(manager: Manager) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as others:
        others.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                others.sendto(b"WATCHDOG=1", manager.socket.getsockname())
    with ThreadPoolExecutor() as pool:
        telling = pool.submit(ServiceManager(os.environ).ready, "Taking mail")
        with pytest.raises(TimeoutError):
            telling.result(_A_MOMENT_S)
        assert manager.hear() == {"READY": "1", "STATUS": "Taking mail"}
        telling.result()


def test_the_watchdog_hears_that_it_lives(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    with Server(tmp_path) as server:
        assert manager.hear()["READY"] == "1"
        assert all(manager.is_alive() for _ in range(5))
        os.kill(server.pid, signal.SIGSTOP)
        try:
            manager.socket.settimeout(1.0)  # five times as long as it should take
            while manager.is_there():
                pass
        finally:
            os.kill(server.pid, signal.SIGCONT)


def test_another_process_is_watched(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    with Server(tmp_path):
        assert manager.hear()["READY"] == "1"
        manager.socket.settimeout(0.5)
        assert not manager.is_there()


def test_one_that_is_gone_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with Server(tmp_path) as server:
        assert server.stop() == 0


def test_the_pid_file(tmp_path: Path) -> None:
    path, other = tmp_path / "pid", tmp_path / "other"
    path.symlink_to(other)
    with Server(tmp_path, lmtp_pid_file=path) as server:
        wait_for(path.is_file, _SOON_S, "the file")  # the sockets are bound a moment before
        assert int(path.read_text()) == server.pid
        assert not path.is_symlink()
        assert path.stat().st_mode & 0o777 == 0o644
    assert not path.exists()
    assert not other.exists()


def test_a_pid_file_that_is_anothers_by_now_stays(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with Server(tmp_path, lmtp_pid_file=path):
        wait_for(path.is_file, _SOON_S, "the file")
        path.write_text("1\n")
    assert path.read_text() == "1\n"


def test_a_pid_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "pid"
    done = lmtpd("serve", "--lmtp-pid-file", path, "--lmtp-maildir-root", tmp_path)
    assert done.returncode == os.EX_OSERR
    assert f"lmtp-pid-file: cannot write {path}: No such file or directory" in done.stderr


def test_the_pid_file_follows_the_configuration(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    file = tmp_path / "lmtpd.conf"
    file.write_text(f"lmtp-pid-file = {before}\n")
    with Server(tmp_path, config=file) as server:
        file.write_text(f"lmtp-pid-file = {after}\n")
        os.kill(server.pid, signal.SIGHUP)
        wait_for(lambda: " reloaded" in server.log, _SOON_S, "the reload")
        assert int(after.read_text()) == server.pid
        assert not before.exists()
