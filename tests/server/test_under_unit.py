"""The server under what its unit asks of the kernel: it works, and what it may not is refused."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lmtpd.server import landlock
from tests.support.accounts import Accounts
from tests.support.certificates import Certificate
from tests.support.client import Client
from tests.support.components import require
from tests.support.homes import deliver, settings
from tests.support.nobody import NOBODY, give, with_python_open
from tests.support.server import PROJECT, Server

_ALICE = "alice@example.org"
_INIT = PROJECT / "init"
_LAUNCHER = (sys.executable, str(PROJECT / "tests/support/under_unit.py"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """Which nobody can use."""
    with TemporaryDirectory(prefix="lmtpd-", dir="/tmp") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def under(unit: Path, user: int, group: int, capabilities: str = "") -> tuple[str, ...]:
    """A command that runs a program as systemd would."""
    require("units")
    if tuple(map(int, platform.release().split(".")[:2])) < (6, 3):
        pytest.skip("this kernel has no PR_SET_MDWE: it is before Linux 6.3")
    ids = (f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs")
    kept = [f"--{kind}=-all{capabilities}" for kind in ("inh-caps", "bounding-set", "ambient-caps")]
    return (*with_python_open(), "setpriv", *ids, *kept, "--", *_LAUNCHER, str(unit))


def confined(folder: Path, **more: object) -> Server:
    """With the unit as it is."""
    prefix = under(_INIT / "lmtpd.service", NOBODY, NOBODY)
    server = Server(folder, prefix=prefix, lmtp_workers=2, **more)
    give(server, _ALICE)
    return server


def test_what_it_asks_for_is_in_force(folder: Path) -> None:
    """In the parent and in each worker; else all below would say nothing."""
    with confined(folder) as server:
        for pid in (server.pid, *server.workers()):
            status = Path(f"/proc/{pid}/status").read_text()
            assert "Seccomp:\t2\n" in status
            assert "CapBnd:\t0000000000000000\n" in status
            assert f"Uid:\t{NOBODY}\t" in status


@pytest.mark.parametrize("commit", ["fsync", "syncfs"])
def test_it_delivers(folder: Path, certificate: Certificate, commit: str) -> None:
    """By port and socket, with TLS, a program and a data base to ask, and Landlock on top."""
    program = folder / "program"
    program.write_text("#!/bin/sh\nwhile read -r line; do echo null; done\n")
    program.chmod(0o755)
    with sqlite3.connect(folder / "base") as base:
        base.execute("CREATE TABLE people (mailbox TEXT)")
        base.execute("INSERT INTO people VALUES (?)", (_ALICE,))
    for path in (certificate.cert_path, certificate.key_path):
        os.chown(shutil.copy(path, folder), NOBODY, NOBODY)
    with confined(
        folder,
        lmtp_commit=commit,
        lmtp_socket_path=folder / "socket",
        lmtp_cert_path=folder / certificate.cert_path.name,
        lmtp_key_path=folder / certificate.key_path.name,
        lmtp_sandbox="required" if landlock.abi() >= landlock.LEAST_ABI else "auto",
        lmtp_recipient_hooks="exec;sql",
        lmtp_exec_command=program,
        lmtp_sql_url=f"sqlite:///{folder}/base",
        lmtp_sql_query="SELECT mailbox FROM people WHERE mailbox = :address",
    ) as server:
        assert deliver(server, _ALICE) == ["250 2.0.0"]
        with Client.tcp(server.port) as client:
            client.reply()
            assert client.command("STARTTLS").code == 220
            client.start_tls(certificate.client_context())
            _transaction(client, b"tls")
        with Client.unix(folder / "socket") as client:
            client.reply()
            _transaction(client, b"socket")
        assert len(server.message_files(_ALICE)) == 3
        assert "worker-ended" not in server.log
        assert server.stop() == 0
    assert not (folder / "socket").exists()


def test_it_delivers_into_homes(tmp_path: Path) -> None:
    """With the other file beside it, which opens what that needs."""
    unit = tmp_path / "lmtpd.service"
    files = ("lmtpd.service", "lmtpd-homes.conf")
    unit.write_text("".join((_INIT / name).read_text("utf-8") for name in files), "utf-8")
    with Accounts() as accounts:
        alice, vmail = accounts.add("a"), accounts.add("v")
        Path(shutil.copy(unit, accounts.folder)).chmod(0o644)
        prefix = under(accounts.folder / unit.name, vmail.uid, vmail.gid, ",+setuid,+setgid")
        server = Server(vmail.home, prefix=prefix, **settings())
        os.chown(server.root, vmail.uid, vmail.gid)
        with server:
            assert deliver(server, alice.address) == ["250 2.0.0"]
            (file,) = alice.messages()
            assert file.stat().st_uid == alice.uid
            (worker,) = server.workers()
            assert "Seccomp:\t2\n" in Path(f"/proc/{worker}/status").read_text()


def _transaction(client: Client, subject: bytes) -> None:
    client.send(b"LHLO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<" + _ALICE.encode())
    client.send(b">\r\nDATA\r\n")
    assert [reply.code for reply in client.replies(4)] == [250, 250, 250, 354]
    # More than is kept in memory, and than a pipe or a socket holds.
    client.send(b"Subject: " + subject + b"\r\n\r\n" + b"text\r\n" * 400_000 + b".\r\n")
    assert client.reply().code == 250
