"""The command line as a person or a script meets it: words, streams and exit codes."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lmtpd.settings import Config
from tests.support.certificates import Certificate, make_certificate
from tests.support.command_line import lmtpd
from tests.support.processes import LOOPBACK
from tests.support.server import Server
from tests.support.waiting import wait_for


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty mail store."""
    path = tmp_path / "maildirs"
    path.mkdir()
    return path


@pytest.fixture
def store(root: Path) -> tuple[str, str]:
    """The option that names it."""
    return "--lmtp-maildir-root", str(root)


def test_help_is_for_a_person() -> None:
    result = lmtpd("--help")
    assert result.returncode == 0
    for word in ("serve", "check-config", "check-recipient", "mailbox", "lmtpd.py mailbox add"):
        assert word in result.stdout
    for row in Config.settings():
        assert row.option in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [("frobnicate",), ("--no-such-option",), ("check-recipient",), ("mailbox",), ("mailbox", "x")],
)
def test_wrong_usage_is_64(arguments: tuple[str, ...]) -> None:
    result = lmtpd(*arguments)
    assert result.returncode == os.EX_USAGE
    assert "--help" in result.stderr


@pytest.mark.parametrize("option", ["--lmtp-sql-url", "--lmtp-sql-uri"])
@pytest.mark.parametrize("hooks", ["sql", "maildirs"])
def test_a_password_is_not_repeated(option: str, hooks: str, store: tuple[str, str]) -> None:
    url = "postgresql://user:secret@host/db"
    result = lmtpd("check-config", *store, "--lmtp-recipient-hooks", hooks, option, url)
    assert result.returncode in (os.EX_CONFIG, os.EX_USAGE)
    assert option in result.stderr
    assert "secret" not in result.stdout + result.stderr


class TestMailboxes:
    def test_add_makes_what_list_shows(self, root: Path, store: tuple[str, str]) -> None:
        result = lmtpd("mailbox", "add", *store, "Alice@Example.org", "<bob@bücher.example>")
        assert result.returncode == 0, result.stderr
        for folder in ("example.org/alice", "xn--bcher-kva.example/bob"):
            assert {path.name for path in (root / folder).iterdir()} == {"tmp", "new", "cur"}
            assert (root / folder).stat().st_mode & 0o777 == 0o700
        listed = lmtpd("mailbox", "list", *store).stdout.splitlines()
        assert [line.split()[0] for line in listed] == [
            "alice@example.org",
            "bob@xn--bcher-kva.example",
        ]

    def test_add_twice_hurts_nothing(self, root: Path, store: tuple[str, str]) -> None:
        lmtpd("mailbox", "add", *store, "alice@example.org")
        message = root / "example.org/alice/new/message"
        message.touch()
        assert lmtpd("mailbox", "add", *store, "alice@example.org").returncode == 0
        assert message.exists()

    @pytest.mark.parametrize(
        ("address", "code"),
        [('"../x"@example.org', os.EX_CANTCREAT), ("not an address", os.EX_USAGE)],
    )
    def test_add_refuses(self, address: str, code: int, root: Path, store: tuple[str, str]) -> None:
        result = lmtpd("mailbox", "add", *store, address)
        assert result.returncode == code
        assert result.stderr.startswith("lmtpd: ")
        assert "Traceback" not in result.stderr
        assert not list(root.iterdir())


class TestCheckRecipient:
    def test_agrees_with_rcpt(self, store: tuple[str, str]) -> None:
        lmtpd("mailbox", "add", *store, "alice@example.org")
        known = lmtpd("check-recipient", *store, "alice+news@example.org")
        assert known.returncode == 0
        assert known.stdout.startswith("250 2.1.5 <alice+news@example.org> ")
        assert "example.org/alice" in known.stdout
        unknown = lmtpd("check-recipient", *store, "bob@example.org")
        assert unknown.returncode == os.EX_NOUSER
        assert unknown.stdout.startswith("550 5.1.1 <bob@example.org> ")

    def test_it_walks_the_chain(self, store: tuple[str, str]) -> None:
        lmtpd("mailbox", "add", *store, "alice@example.org")
        hooks = ("--lmtp-recipient-hooks", "tests.support.fates:Fates;maildirs")
        walked = lmtpd(
            "check-recipient", *store, *hooks, "Alice+x@example.org", "alice@example.org"
        )
        steps = [
            line[2:].rsplit(",", 1)[0] for line in walked.stdout.splitlines() if "hook " in line
        ]
        fates = "hook tests.support.fates:Fates on"
        assert steps == [
            f"{fates} alice+x@example.org: no opinion (itself",
            "hook maildirs on alice+x@example.org: no opinion (itself",
            f"{fates} alice@example.org: no opinion (itself",
            "hook maildirs on alice@example.org: accept alice@example.org (itself",
            f"{fates} alice@example.org: no opinion (the cache",
            "hook maildirs on alice@example.org: accept alice@example.org (the cache",
        ]
        assert walked.stdout.count(" ms)") == 6

    def test_a_hook_that_is_down_is_75_and_says_why(self, store: tuple[str, str]) -> None:
        hooks = ("--lmtp-recipient-hooks", "tests.support.fates:Fates")
        result = lmtpd("check-recipient", *store, *hooks, "x@fates.example", "full@fates.example")
        assert result.returncode == os.EX_TEMPFAIL
        assert "hook tests.support.fates:Fates: ConnectionError" in result.stdout
        assert "452 4.2.2 <full@fates.example>" in result.stdout

    def test_a_hook_that_hangs_is_left_behind(self, store: tuple[str, str]) -> None:
        options = ("--lmtp-recipient-hooks", "tests.support.slow_hooks:Waiting")
        quick = ("--lmtp-hook-timeout", "0.2")
        result = lmtpd("check-recipient", *store, *options, *quick, "x@waiting.example")
        assert result.returncode == os.EX_TEMPFAIL
        assert "no answer within 0.2 s" in result.stdout


class TestConfiguration:
    def test_every_fault_is_named_and_nothing_is_bound(self, tmp_path: Path) -> None:
        file = tmp_path / "lmtpd.conf"
        file.write_text("lmtp-port = smtp\nlmtp-prot = 1\n", "utf-8")
        result = lmtpd("serve", "--config", file, LMTP_IDLE_TIMEOUT="soon")
        assert result.returncode == os.EX_CONFIG
        for part in (f"{file}:1: lmtp-port", f"{file}:2: lmtp-prot", "LMTP_IDLE_TIMEOUT"):
            assert part in result.stderr
        assert "listening" not in result.stdout

    def test_strength_of_the_sources(self, tmp_path: Path, store: tuple[str, str]) -> None:
        file = tmp_path / "lmtpd.conf"
        file.write_text("lmtp-port = 25\n", "utf-8")
        assert "lmtp-port" in lmtpd("check-config", "--config", file, *store).stderr
        file.write_text("lmtp-hook-timeout = 20\nlmtp-verify-timeout = 26\n", "utf-8")
        environment = {"LMTP_VERIFY_TIMEOUT": "15"}
        wrong = lmtpd("check-config", "--config", file, *store, **environment)
        assert wrong.returncode == os.EX_CONFIG
        options = ("--lmtp-verify-timeout", "24")
        right = lmtpd("check-config", "--config", file, *store, *options, **environment)
        assert right.returncode == 0, right.stderr
        assert right.stdout == "the configuration is sound\n"

    @pytest.mark.parametrize("command", ["serve", "check-config"])
    @pytest.mark.parametrize(
        ("hooks", "said"),
        [
            ("nosuch", "hook nosuch: unknown; shipped are callout, dns, exec"),
            ("no.such.module:Hook", "hook no.such.module:Hook: ModuleNotFoundError"),
            ("os:getcwd", "hook os:getcwd: TypeError"),
            ("builtins:str", "hook builtins:str: has no method verify"),
            ("tests.support.backend:Timeless", "positive_ttl_s = 'long' is no number of seconds"),
        ],
    )
    def test_a_hook_that_cannot_be_loaded_stops_the_start(
        self, command: str, hooks: str, said: str, store: tuple[str, str]
    ) -> None:
        result = lmtpd(command, *store, "--lmtp-recipient-hooks", hooks)
        assert result.returncode == os.EX_CONFIG
        assert said in result.stderr

    def test_a_table_with_faults_stops_the_start(
        self, tmp_path: Path, store: tuple[str, str]
    ) -> None:
        table = tmp_path / "table"
        table.write_text("alice@example.org\n@@\n", "utf-8")
        options = ("--lmtp-recipient-hooks", "table", "--lmtp-recipient-table", str(table))
        result = lmtpd("serve", *store, *options)
        assert result.returncode == os.EX_CONFIG
        assert f"{table}:2: " in result.stderr

    def test_a_key_of_another_certificate_is_named(
        self, tmp_path: Path, certificate: Certificate, store: tuple[str, str]
    ) -> None:
        other = make_certificate(tmp_path)
        options = ("--lmtp-cert-path", certificate.cert_path, "--lmtp-key-path", other.key_path)
        for command in ("serve", "check-config"):
            result = lmtpd(command, *store, *options)
            assert result.returncode == os.EX_CONFIG
            assert str(other.key_path) in result.stderr
            assert "Traceback" not in result.stderr

    def test_an_exposed_address_in_clear_is_warned_of(self, store: tuple[str, str]) -> None:
        result = lmtpd("check-config", *store, "--lmtp-bind-addr", "0.0.0.0")
        assert result.returncode == 0
        assert "lmtp-cert-path" in result.stderr
        assert "lmtp-trusted-ips" in result.stderr


class TestServe:
    def test_a_taken_port_is_named(self, store: tuple[str, str]) -> None:
        with socket.create_server((LOOPBACK, 0)) as taken:
            port = taken.getsockname()[1]
            result = lmtpd("serve", *store, "--lmtp-port", port)
        assert result.returncode == os.EX_OSERR
        assert f"cannot listen on 127.0.0.1:{port}: in use by another process" in result.stderr

    def test_both_suggested_commands_deliver_as_they_are_pasted(self, tmp_path: Path) -> None:
        server = Server(tmp_path)
        server.mailbox("alice@example.org")
        with server:
            wait_for(lambda: "or: " in server.output, 5.0, "the welcome")
            assert f"listening on 127.0.0.1:{server.port}" in server.output
            assert "mailboxes: alice@example.org" in server.output
            lines = dict(line.split(": ", 1) for line in server.output.splitlines() if ": " in line)
            assert lines["try it"].startswith("swaks --protocol LMTP ")
            # The Python of the tests may not be called python3.
            command = [sys.executable, *shlex.split(lines["or"])[1:]]
            subprocess.run(command, check=True, timeout=30)
            assert len(server.messages("alice@example.org")) == 1

    def test_an_empty_store_is_told_how_to_fill_it(self, tmp_path: Path) -> None:
        with Server(tmp_path) as server:
            wait_for(lambda: "mailboxes:" in server.output, 5.0, "the welcome")
            assert "mailbox add" in server.output
            assert "swaks" not in server.output


class TestSetup:
    def test_prints_the_lines_for_an_mta(self) -> None:
        result = lmtpd("setup", "postfix", "--lmtp-default-domain", "example.org")
        assert result.returncode == 0
        assert "virtual_mailbox_domains = example.org\n" in result.stdout

    def test_what_the_mta_cannot_do_is_78(self) -> None:
        result = lmtpd("setup", "exim", "--lmtp-bind-addr", "::1")
        assert result.returncode == os.EX_CONFIG
        assert result.stdout == ""
        assert "lmtp-bind-addr" in result.stderr

    def test_an_unknown_mta_is_64(self) -> None:
        assert lmtpd("setup", "carrier-pigeon").returncode == os.EX_USAGE
