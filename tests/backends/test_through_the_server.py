"""The back-ends behind the running server, as an MTA and an operator see them."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.backends.conftest import QUERY, BackEnd, ldap_settings, sql_url
from tests.support.certificates import Certificate
from tests.support.client import Client, Reply
from tests.support.population import ALICE, BOB
from tests.support.processes import LOOPBACK
from tests.support.server import PROJECT, Server
from tests.support.waiting import wait_for

_SOON_S = 20.0


def server(folder: Path, back_end: BackEnd, **settings: object) -> Server:
    """With one worker, so that there is one memory."""
    hooks = {"lmtp_recipient_hooks": back_end.hook, "lmtp_workers": 1}
    return Server(folder, **{**hooks, **back_end.settings, **settings})


def begun(server: Server) -> Client:
    """A client in a transaction."""
    client = Client.tcp(server.port)
    client.send(b"LHLO client.example\r\nMAIL FROM:<>\r\n")
    assert [reply.code for reply in client.replies(3)] == [220, 250, 250]
    return client


def rcpt(client: Client, address: str) -> Reply:
    return client.command(f"RCPT TO:<{address}>")


def test_found_not_found_down_and_back(tmp_path: Path, back_end: BackEnd) -> None:
    with server(tmp_path, back_end, lmtp_hook_timeout=2) as running, begun(running) as client:
        assert rcpt(client, "Team+news@example.org").code == 250
        assert rcpt(client, "nobody@example.org").text.startswith("5.1.1")
        assert rcpt(client, "closed@example.org").text.startswith("5.7.1")
        assert rcpt(client, "full@example.org").code == 452
        client.send(b"DATA\r\nSubject: x\r\n\r\n.\r\n")
        assert [reply.code for reply in client.replies(2)] == [354, 250]
        assert [len(running.messages(one)) for one in (ALICE, BOB)] == [1, 1]
        back_end.fate.leave()
        client.send(b"MAIL FROM:<>\r\n")
        assert client.reply().code == 250
        assert rcpt(client, "user1@example.org").text.startswith("4.4.3")
        back_end.fate.hang()
        line = f"hook {back_end.hook}: "
        wait_for(lambda: line in running.log, _SOON_S, "the cause in the log")
        back_end.fate.recover()
        wait_for(lambda: rcpt(client, "user2@example.org").code == 250, _SOON_S, "an answer")
        assert "quite secret" not in running.log


def test_it_is_not_there_when_the_server_starts(tmp_path: Path, back_end: BackEnd) -> None:
    back_end.fate.leave()
    with server(tmp_path, back_end) as running, begun(running) as client:
        assert rcpt(client, ALICE).code == 451
        back_end.fate.recover()
        wait_for(lambda: rcpt(client, ALICE).code == 250, _SOON_S, "an answer")


def test_one_that_hangs_delays_nobody_else(tmp_path: Path, back_end: BackEnd) -> None:
    """More ask than there are connections: those who wait for one are late as well, not later."""
    settings = {
        "lmtp_recipient_hooks": f"maildirs;{back_end.hook}",
        "lmtp_hook_timeout": 3,
        "lmtp_hook_faults": 1000,
    }
    with server(tmp_path, back_end, **settings) as running, ExitStack() as clients:
        running.mailbox(BOB)
        *asking, other = (clients.enter_context(begun(running)) for _ in range(21))
        assert rcpt(asking[0], "sales@example.org").code == 250
        back_end.fate.hang()
        for number, client in enumerate(asking):
            client.send(f"RCPT TO:<user{number}@example.org>\r\n".encode())
        assert rcpt(other, BOB).code == 250
        assert {client.reply().code for client in asking} == {451}
        back_end.fate.recover()
        for number, client in enumerate(asking):
            client.send(f"RCPT TO:<user{number}@example.org>\r\n".encode())
        assert {client.reply().code for client in asking} == {250}
        gate = back_end.gate
        if gate:
            # Those that hung may still be on their way out.
            wait_for(lambda: gate.inside <= 4, _SOON_S, "no more connections than there may be")


def test_nonsense_without_end_is_cut_off(tmp_path: Path, back_end: BackEnd) -> None:
    with server(tmp_path, back_end, lmtp_hook_timeout=5) as running, begun(running) as client:
        assert rcpt(client, ALICE).code == 250
        back_end.fate.babble()
        assert rcpt(client, "user1@example.org").code == 451
        assert rcpt(client, ALICE).code == 250, "what is in memory still holds"


@pytest.mark.parametrize("kind", ["postgresql", "mariadb", "starttls", "ldaps"])
def test_tls(
    kind: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    password_file: Path,
    certificate: Certificate,
) -> None:
    """gevent has TLS sockets of its own."""
    hook = "ldap" if kind in ("starttls", "ldaps") else "sql"
    daemon = request.getfixturevalue("slapd" if hook == "ldap" else kind)
    settings: dict[str, object] = {f"lmtp_{hook}_ca_file": certificate.cert_path}
    if kind == "ldaps":
        settings |= ldap_settings(f"ldaps://{LOOPBACK}:{daemon.tls_port}", password_file)
    elif hook == "ldap":
        settings |= ldap_settings(f"ldap://{LOOPBACK}:{daemon.port}", password_file)
        settings["lmtp_ldap_starttls"] = True
    else:
        settings |= {
            "lmtp_sql_url": sql_url(kind, daemon.port),
            "lmtp_sql_password_file": password_file,
            "lmtp_sql_query": QUERY,
        }
    with (
        Server(tmp_path, lmtp_workers=1, lmtp_recipient_hooks=hook, **settings) as running,
        begun(running) as client,
    ):
        assert rcpt(client, ALICE).code == 250
        assert rcpt(client, "nobody@example.org").code == 550
        assert rcpt(client, "long@example.org").code == 451
        wait_for(lambda: "65536 octets" in running.log, _SOON_S, "the cause in the log")


@pytest.mark.parametrize(("hook", "package"), [("sql", "sqlalchemy"), ("ldap", "ldap3")])
def test_a_package_that_is_not_installed(hook: str, package: str, tmp_path: Path) -> None:
    (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError(name={package!r})\n")
    options = {
        "--lmtp-maildir-root": tmp_path,
        "--lmtp-recipient-hooks": hook,
        "--lmtp-sql-url": f"sqlite:///{tmp_path}/x",
        "--lmtp-sql-query": "SELECT :address",
        "--lmtp-ldap-url": "ldaps://x",
        "--lmtp-ldap-base": "dc=x",
        "--lmtp-ldap-filter": "(mail={address})",
    }
    words = [str(word) for pair in options.items() for word in pair]
    ended = subprocess.run(
        [sys.executable, "lmtpd.py", "check-config", *words],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == os.EX_CONFIG
    assert f"hook {hook}: needs {package}: pip install lmtpd[{hook}]" in ended.stderr
