"""The server under what its unit asks of the kernel: it works, and what it may not is refused."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lmtpd.server import landlock
from tests.support.certificates import Certificate
from tests.support.client import Client
from tests.support.components import require
from tests.support.homes import deliver
from tests.support.nobody import NOBODY, give, with_python_open
from tests.support.server import PROJECT, Server

_ALICE = "alice@example.org"
_AS_NOBODY = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Which nobody can use."""
    with TemporaryDirectory(prefix="lmtpd-", dir="/tmp") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def confined(folder: Path, **settings: object) -> Server:
    """As systemd would start it."""
    require("units")
    launcher, unit = PROJECT / "tests/support/under_unit.py", PROJECT / "init/lmtpd.service"
    prefix = (*with_python_open(), *_AS_NOBODY, sys.executable, str(launcher), str(unit))
    server = Server(folder, prefix=prefix, lmtp_workers=2, **settings)
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


def _transaction(client: Client, subject: bytes) -> None:
    client.send(b"LHLO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<" + _ALICE.encode())
    client.send(b">\r\nDATA\r\n")
    assert [reply.code for reply in client.replies(4)] == [250, 250, 250, 354]
    # More than is kept in memory, and than a pipe or a socket holds.
    client.send(b"Subject: " + subject + b"\r\n\r\n" + b"text\r\n" * 400_000 + b".\r\n")
    assert client.reply().code == 250
