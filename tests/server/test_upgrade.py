"""Another version takes the running one's place, in the same process, and nobody notices."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

import pytest

from tests.support.client import Client
from tests.support.command_line import Result, lmtpd
from tests.support.nobody import NOBODY, give, with_python_open
from tests.support.processes import accepts, free_port
from tests.support.server import PROJECT, Server
from tests.support.steady import SteadyClients
from tests.support.waiting import wait_for

ALICE = "alice@example.org"
_FAILING = """\
    def run(self, plan, ready):
        open({!r}, "w").close()
        self.run_really(plan, ready)

    def run_really("""
"""The trial is over: the workers that come now do not start."""
_SOON_S = 30.0


class Installed(Server):
    """A server whose program lies below `folder`, where another version can be put in its place."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.program = folder / "installed"
        shutil.copytree(PROJECT / "lmtpd", self.program / "lmtpd")
        shutil.copy(PROJECT / "lmtpd.py", self.program)
        super().__init__(
            folder, program=[str(self.program / "lmtpd.py")], lmtp_workers=2, **settings
        )
        self.mailbox(ALICE)

    def change(self, module: str, old: str, new: str) -> None:
        """Have another text in one of its modules."""
        file = self.program / "lmtpd" / module
        text = file.read_text("utf-8")
        assert old in text
        file.write_text(text.replace(old, new), "utf-8")

    def wait_for_workers(self, count: int) -> None:
        wait_for(lambda: self.log.count("worker-started") == count, _SOON_S, f"{count} workers")

    def upgrade(self) -> Result:
        return lmtpd("upgrade", "--lmtp-port", self.port, "--lmtp-maildir-root", self.root)


def begin(client: Client) -> None:
    assert client.reply().code == 220
    for line, code in (
        ("LHLO client.example", 250),
        ("MAIL FROM:<>", 250),
        (f"RCPT TO:<{ALICE}>", 250),
        ("DATA", 354),
    ):
        assert client.command(line).code == code


def test_another_version_takes_over(tmp_path: Path) -> None:
    """What has begun before ends well, in a worker of the old version."""
    with Installed(tmp_path) as server:
        server.wait_for_workers(2)
        pid, before = server.pid, server.workers()
        with Client.tcp(server.port) as client:
            begin(client)
            server.change("__init__.py", '__version__ = "', '__version__ = "9.')
            done = server.upgrade()
            assert done.returncode == 0, done.stderr
            assert re.fullmatch(r"lmtpd (\S+) has become lmtpd 9\.\1\n", done.stdout)
            client.send(b"Subject: from before\r\n\r\n.\r\n")
            assert client.reply().code == 250
        wait_for(lambda: {*before}.isdisjoint(server.workers()), _SOON_S, "the old workers' end")
        assert server.pid == pid
        assert len(server.workers()) == 2
        with Client.tcp(server.port) as client:
            begin(client)
    assert len(server.messages(ALICE)) == 1


def test_nobody_is_refused_or_cut_off_meanwhile(tmp_path: Path) -> None:
    with Installed(tmp_path) as server, SteadyClients(lambda: server.port, ALICE) as clients:
        server.wait_for_workers(2)
        for number in range(1, 4):
            clients.go_on(3)
            os.kill(server.pid, signal.SIGUSR2)
            server.wait_for_workers(2 + 2 * number)
        clients.go_on()
    assert len(server.message_files(ALICE)) == clients.delivered


@pytest.mark.parametrize(
    ("module", "old", "new", "fault"),
    [
        ("session.py", "import", "this is no Python; import", "SyntaxError"),
        ("settings/limits.py", "lmtp_workers", "lmtp_helpers", "--lmtp-workers"),
    ],
    ids=["cannot-be-imported", "does-not-take-the-configuration"],
)
def test_one_that_cannot_serve_changes_nothing(
    tmp_path: Path, module: str, old: str, new: str, fault: str
) -> None:
    with Installed(tmp_path) as server:
        server.wait_for_workers(2)
        before = server.workers()
        server.change(module, old, new)
        done = server.upgrade()
        assert done.returncode == os.EX_CONFIG
        assert fault in done.stderr
        assert done.stderr.endswith("nothing has changed\n")
        assert "upgrade-refused" in server.log
        assert server.workers() == before
        with Client.tcp(server.port) as client:
            begin(client)


def test_one_that_fails_only_later_has_the_old_workers_until_it_can(tmp_path: Path) -> None:
    """The trial went well, and then the new workers do not start."""
    with Installed(tmp_path) as server:
        server.wait_for_workers(2)
        before = server.workers()
        fault = tmp_path / "fault"
        server.change(
            "server/worker.py",
            "        self._certificates = certificates_of",
            f"        assert not __import__('os').path.exists({str(fault)!r})\n"
            "        self._certificates = certificates_of",
        )
        server.change("server/supervisor.py", "    def run(", _FAILING.format(str(fault)))
        os.kill(server.pid, signal.SIGUSR2)
        wait_for(lambda: "upgrade-failed" in server.log, _SOON_S, "the new workers to fail")
        assert {*before} <= {*server.workers()}
        with Client.tcp(server.port) as client:
            begin(client)
        fault.unlink()
        server.wait_for_workers(4)
        wait_for(lambda: {*before}.isdisjoint(server.workers()), _SOON_S, "the old workers' end")


def test_a_reply_that_was_lost_before_is_a_repetition_after(tmp_path: Path) -> None:
    """The memory of unconfirmed deliveries goes from the old program to the new one."""
    message = b"Subject: once\r\n\r\n.\r\n"
    with Installed(tmp_path) as server:
        server.wait_for_workers(2)
        with Client.tcp(server.port) as client:
            begin(client)
            os.kill(server.pid, signal.SIGUSR2)
            server.wait_for_workers(4)
            # By a worker of before, when the new program knows since when it is there.
            client.send(message)
            wait_for(lambda: "delivered" in server.log, _SOON_S, "the delivery")
        with Client.tcp(server.port) as client:
            begin(client)
            client.send(message)
            assert client.reply().code == 250
        wait_for(lambda: " repeated " in server.log, _SOON_S, "the line of the log")
    assert len(server.messages(ALICE)) == 1


def test_the_status_goes_on(tmp_path: Path) -> None:
    """The process that tells it is the new program's too."""
    port = free_port()
    with Installed(tmp_path, lmtp_status_addr=f"127.0.0.1:{port}") as server:
        server.wait_for_workers(2)
        wait_for(lambda: accepts(port), _SOON_S, "the status")
        before = {*server.workers()}
        os.kill(server.pid, signal.SIGUSR2)
        server.wait_for_workers(4)

        def tells_of_both() -> bool:
            with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/status.json") as answer:
                told = {one["pid"] for one in json.load(answer)["workers"]}
                # The process that tells it is a child of the parent too.
                return len(told) == 2 and told <= {*server.workers()} - before
            return False

        wait_for(tells_of_both, _SOON_S, "the new workers in the status")
        assert "companion-ended" not in server.log


def test_the_workers_user_stays() -> None:
    """Root's capabilities are those that the parent has kept, before and after."""
    with TemporaryDirectory(prefix="lmtpd-", dir="/tmp") as name, ExitStack() as stack:
        Path(name).chmod(0o755)
        server = Installed(Path(name), prefix=with_python_open(), lmtp_user="nobody")
        give(server, ALICE)
        stack.enter_context(server)
        server.wait_for_workers(2)
        before = _status(server.pid)
        os.kill(server.pid, signal.SIGUSR2)
        server.wait_for_workers(4)
        wait_for(lambda: len(server.workers()) == 2, _SOON_S, "the old workers' end")
        assert _status(server.pid) == before
        for worker in server.workers():
            assert _status(worker)["Uid"].split() == [str(NOBODY)] * 4
            assert int(_status(worker)["CapPrm"], 16) == 0


def _status(pid: int) -> dict[str, str]:
    """Who a process is, and what it may do."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    names = ("Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
    return {name: fields[name] for name in names}
