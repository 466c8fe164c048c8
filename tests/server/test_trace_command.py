"""`lmtpd.py trace` from what a client was told to the file, by any log and without one."""

from __future__ import annotations

import gzip
import json
import os
import re
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmtpd.tools.log_lines import parsed
from tests.support.accounts import Account, Accounts
from tests.support.command_line import lmtpd
from tests.support.components import require
from tests.support.processes import LOOPBACK
from tests.support.server import PROJECT, Server
from tests.support.waiting import wait_for

ALICE, BOB = "alice@example.org", "bob@example.org"
QUEUE_ID = "4dPZx91Q7Yz9rxk"
REMOTE = "/lib/systemd/systemd-journal-remote"


def send(server: Server, *recipients: str, ident: str = QUEUE_ID) -> str:
    """Deliver, as Postfix would; the id in the 250."""
    with smtplib.LMTP(LOOPBACK, server.port) as client:
        client.ehlo_or_helo_if_needed()
        client.docmd("XFORWARD", f"NAME=mx.example.net IDENT={ident}")
        client.mail("me@example.net")
        for recipient in recipients:
            client.rcpt(recipient)
        client.putcmd("DATA")
        assert client.getreply()[0] == 354
        client.send("Subject: traced\r\n\r\nbody\r\n.\r\n")
        code, text = client.getreply()
    assert code == 250
    (found,) = re.findall(rb"id ([0-9a-f]{16})", text)
    wait_for(lambda: f" delivered id={found.decode()} " in server.log, 10, "the line of the log")
    return found.decode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path, lmtp_dns=False, lmtp_xforward=True) as running:
        running.mailbox(ALICE)
        yield running


def trace(server: Server, *arguments: object) -> tuple[int, str]:
    """The exit code, and what was said."""
    result = lmtpd("trace", *arguments, "--lmtp-maildir-root", server.root)
    assert "Traceback" not in result.stderr
    return result.returncode, result.stdout + result.stderr


def log_of(server: Server, path: Path) -> Path:
    path.write_text(server.log)
    return path


def test_from_the_reply_to_the_file(server: Server, tmp_path: Path) -> None:
    other, earlier = send(server, ALICE, ident="other1"), send(server, ALICE)
    wanted = send(server, BOB, ALICE)
    log = log_of(server, tmp_path / "log")
    code, text = trace(server, wanted, "--log", log)
    assert code == 0, text
    events = re.findall(r"^\S+Z (\w+)$", text, re.M)
    assert events == ["delivered", "refused", "delivered"], "the same message of the MTA's"
    (path,) = [one for one in server.message_files(ALICE) if wanted in one.name]
    assert f"file {path} " in text
    assert f"client_ident  {QUEUE_ID}" in text
    assert text.count("(the MTA's own number of the message: its queue id)") == 1
    assert earlier in text
    assert other not in text
    # By the MTA's number all of it is found, and what was refused, which does not bear it, too.
    assert trace(server, QUEUE_ID, "--log", log) == (code, text)
    assert text.count("\nfile ") == 2


def test_a_reader_has_been_there(server: Server, tmp_path: Path) -> None:
    wanted = send(server, ALICE)
    log = log_of(server, tmp_path / "log")
    (path,) = server.message_files(ALICE)
    archive = path.parent.parent / ".Archive" / "cur"
    archive.mkdir(parents=True)
    moved = path.rename(archive / f"{path.name}:2,RS")
    assert f"file {moved} " in trace(server, wanted, "--log", log)[1]
    moved.unlink()
    code, text = trace(server, wanted, "--log", log)
    assert code == 0
    assert "1 of 1 files not there any more" in text


def test_without_a_log_the_store_is_searched(server: Server, tmp_path: Path) -> None:
    send(server, ALICE)
    wanted = send(server, ALICE)
    (tmp_path / "empty").touch()
    code, text = trace(server, wanted, "--log", tmp_path / "empty")
    assert code == 0
    (path,) = [one for one in server.message_files(ALICE) if wanted in one.name]
    assert text.startswith(f"file {path} ")
    code, text = trace(server, "0123456789abcdef", "--log", tmp_path / "empty")
    assert (code, text) == (os.EX_NOINPUT, "lmtpd: nothing is known of 0123456789abcdef\n")


def test_from_a_line_of_postfix(server: Server, tmp_path: Path) -> None:
    wanted = send(server, ALICE)
    line = (
        f"Nov 26 11:00:01 mx postfix/lmtp[77]: {QUEUE_ID}: to=<{ALICE}>, relay=127.0.0.1:11200,"
        f" delay=0.1, dsn=2.0.0, status=sent (250 2.0.0 <{ALICE}> Delivered, id {wanted})"
    )
    mail = tmp_path / "mail.log.gz"
    first = f"Nov 26 11:00:00 mx postfix/qmgr[5]: {QUEUE_ID}: from=<me@example.net>, size=9"
    others = "Nov 26 11:00:00 mx postfix/qmgr[5]: 4dPZx91Q7Yz9rxkX: from=<x@example.net>"
    with gzip.open(mail, "wt") as file:
        file.write(f"{first}\n{others}\n{line}\n")
    code, text = trace(server, line, "--log", mail, "--log", log_of(server, tmp_path / "log"))
    assert code == 0, text
    assert text.startswith(f"{first}\n{line}\n")
    assert "9rxkX" not in text
    assert f"file {server.message_files(ALICE)[0]} " in text


def test_a_journal(server: Server, tmp_path: Path) -> None:
    require("journal")
    wanted = send(server, ALICE)
    entries = (
        f"__REALTIME_TIMESTAMP={1_700_000_000_123_000 + number}\n"
        f"__MONOTONIC_TIMESTAMP={number + 1}\n_BOOT_ID={'0' * 31}1\n_SYSTEMD_UNIT=lmtpd.service\n"
        f"MESSAGE={line.partition(' ')[2]}\n\n"
        for number, line in enumerate(server.log.splitlines())
    )
    journal = tmp_path / "lmtpd.journal"
    subprocess.run(
        [REMOTE, f"--output={journal}", "-"],
        input="".join(entries).encode(),
        check=True,
        capture_output=True,
    )
    code, text = trace(server, wanted, "--log", journal)
    assert code == 0, text
    assert text.startswith("2023-11-14T22:13:20.123Z delivered\n")
    assert f"file {server.message_files(ALICE)[0]} " in text


def test_json_and_standard_input(server: Server) -> None:
    wanted = send(server, ALICE)
    (text,) = [one for one in server.log.splitlines() if wanted in one]
    line = parsed(text)
    entry = json.dumps({"time": line.time, "event": line.event, **line.fields})
    command = [sys.executable, "lmtpd.py", "trace"]
    result = subprocess.run(
        [*command, wanted, "--log", "-", "--lmtp-maildir-root", str(server.root)],
        cwd=PROJECT,
        input=f"nonsense {wanted[:-1]}\n{entry}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{line.time} delivered\n    id            {wanted}")
    assert f"file {server.message_files(ALICE)[0]} " in result.stdout


def test_a_home(tmp_path: Path) -> None:
    with Accounts() as accounts:
        mallory: Account = accounts.add("m")
        hooks = {"lmtp_recipient_hooks": "passwd", "lmtp_passwd_domains": "example.org"}
        with Server(accounts.folder / "server", lmtp_dns=False, lmtp_xforward=True, **hooks) as one:
            wanted = send(one, mallory.address)
            options = [f"--{key.replace('_', '-')}={value}" for key, value in hooks.items()]
            code, text = trace(one, wanted, "--log", log_of(one, tmp_path / "log"), *options)
        assert code == 0, text
        assert f"file {mallory.messages()[0]} " in text


def test_nothing_in_a_log_acts_on_the_terminal(server: Server, tmp_path: Path) -> None:
    log = tmp_path / "log"
    wanted = "0123456789abcdef"
    log.write_bytes(
        f"evil \x1b[2J id {wanted}\n".encode() + b'x id=%s a="\\u001b[2J\xff"\n' % wanted.encode()
    )
    code, text = trace(server, wanted, "--log", log)
    assert code == 0
    assert "\x1b" not in text
    assert r"evil \x1b[2J" in text
    assert r"a             \x1b[2J\udcff" in text


@pytest.mark.parametrize("log", ["/nonexistent", "/dev/null/x.gz", "/etc/passwd.gz", "/x.journal"])
def test_a_log_that_cannot_be_read(log: str, server: Server) -> None:
    code, text = trace(server, "0123456789abcdef", "--log", log)
    assert code == os.EX_NOINPUT
    assert text.startswith("lmtpd: ")


def test_no_id(server: Server) -> None:
    assert trace(server, "what is this?")[0] == os.EX_USAGE


@pytest.mark.parametrize(
    ("text", "event", "fields"),
    [
        ('2026-01-01T00:00:00.000Z x a=1 b="2 c=3"', "x", {"a": "1", "b": "2 c=3"}),
        (r'Nov 1 h lmtpd[1]: not-y a="\u001b\" =" b=', "", {}),
        (r'Nov 1 h lmtpd[1]: not-y a="\u001b\" ="', "not-y", {"a": '\x1b" ='}),
        ("postfix/qmgr[5]: A1: from=<x>, size=9", "", {}),
        ("{", "", {}),
        ('{"event": "x", "id": 1}', "x", {"id": "1"}),
        ('{"MESSAGE": [120, 32, 97, 61, 49]}', "x", {"a": "1"}),
        ("[" * 100_000, "", {}),
        ('{"a":' * 100_000, "", {}),
    ],
)
def test_lines(text: str, event: str, fields: dict[str, str]) -> None:
    line = parsed(text)
    assert (line.event, line.fields) == (event, fields)
