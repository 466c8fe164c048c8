"""The bridge as MTAs run it, in front of the real server: what arrives, and the exit codes."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pytest

from tests.server.conftest import tls_settings
from tests.support.certificates import Certificate
from tests.support.messages import as_stored, put_in_front
from tests.support.peer import converse, hear
from tests.support.peer import server as peer
from tests.support.processes import LOOPBACK, free_port
from tests.support.server import PROJECT, Server

ALICE, BOB = "alice@example.org", "bob@example.org"
MESSAGE = (
    b"From: Zo\xc3\xab <zoe@example.net>\nSubject: \xff\n\n"
    b".\n..\n.dot\nbare \r in it\n" + b"x" * 5000 + b"\nFrom here\n\n.\n\n"
)
_TIMEOUT_S = 60

Run = subprocess.CompletedProcess[bytes]


def bridge(
    *arguments: object,
    message: bytes | IO[bytes] = MESSAGE,
    environment: dict[str, str] | None = None,
    program: Sequence[str] = ("lmtpd.py", "bridge"),
    prefix: Sequence[str] = (),
) -> Run:
    """Run it to its end, with no more of an environment than Sendmail gives."""
    source = {"input": message} if isinstance(message, bytes) else {"stdin": message}
    return subprocess.run(
        [*prefix, sys.executable, *program, *map(str, arguments)],
        cwd=PROJECT,
        env=environment or {},
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
        **source,  # type: ignore[arg-type]
    )


def received(server: Server, address: str, message: bytes = MESSAGE) -> bytes:
    """The one message in a mailbox is this one; the fields in front of it."""
    (found,) = server.messages(address)
    return put_in_front(found, as_stored(message))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that leave it alive; fates.example has every fate."""
    hooks = "tests.support.fates:Fates;maildirs"
    with Server(tmp_path_factory.mktemp("shared"), lmtp_recipient_hooks=hooks) as running:
        yield running


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    """The shared server, where no mailbox exists yet."""
    yield shared
    for path in shared.root.iterdir():
        shutil.rmtree(path)


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Server]:
    """A server of one's own."""
    with Server(tmp_path) as running:
        yield running


def to(server: Server) -> str:
    return f"--to={LOOPBACK}:{server.port}"


class TestPipe:
    def test_delivers_the_message_as_it_is(self, server: Server, tmp_path: Path) -> None:
        server.mailbox(ALICE)
        server.mailbox(BOB)
        run = bridge("pipe", to(server), "-f", "zoe@example.net", "--", ALICE, f"<{BOB}>")
        assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
        assert b"Return-Path: <zoe@example.net>\n" in received(server, ALICE)
        received(server, BOB)
        # From a file its SIZE is told, and the server refuses it before it is sent.
        file = tmp_path / "large"
        with file.open("wb+") as large:
            large.truncate(60 * 1024 * 1024)
            run = bridge("pipe", to(server), ALICE, message=large)
        assert run.returncode == os.EX_UNAVAILABLE
        assert b": 552 5.3.4 Message is" in run.stderr  # a final reply would name the recipient

    @pytest.mark.parametrize("message", [b"", b"no end of line", b".", b"a\r\nb\r\n", b"\n\n.\r"])
    def test_odd_messages(self, message: bytes, server: Server) -> None:
        server.mailbox(ALICE)
        run = bridge("pipe", to(server), ALICE, message=message)
        assert run.returncode == 0, run.stderr
        whole = message if message.endswith(b"\n") or not message else message + b"\r\n"
        assert b"Return-Path: <>\n" in received(server, ALICE, whole)

    @pytest.mark.parametrize(
        ("line", "is_taken_off"),
        [(b"From zoe@example.net Tue Jan  6 12:00:00 2026\n", True), (b"From: zoe\n", False)],
    )
    def test_the_line_that_begins_an_mbox(
        self, line: bytes, is_taken_off: bool, server: Server
    ) -> None:
        server.mailbox(ALICE)
        assert bridge("pipe", to(server), ALICE, message=line + MESSAGE).returncode == 0
        received(server, ALICE, MESSAGE if is_taken_off else line + MESSAGE)

    def test_the_message_is_never_in_memory_whole(self, server: Server, tmp_path: Path) -> None:
        server.mailbox(ALICE)
        file = tmp_path / "large"
        line = b"y" * 1023 + b"\n"
        file.write_bytes(line * 1024 * 48)
        with file.open("rb") as large:
            limit = ("prlimit", f"--data={40 * 1024 * 1024}")
            run = bridge("pipe", to(server), ALICE, message=large, prefix=limit)
        assert run.returncode == 0, run.stderr
        received(server, ALICE, line * 1024 * 48)

    @pytest.mark.parametrize(
        ("local", "code", "said"),
        [
            ("unknown", os.EX_NOUSER, "550 5.1.1"),
            ("rejected", os.EX_NOPERM, "550 5.7.1"),
            ("full", os.EX_TEMPFAIL, "452 4.2.2"),
            ("deferred", os.EX_TEMPFAIL, "451 4.4.3"),
        ],
    )
    def test_exit_codes(self, local: str, code: int, said: str, server: Server) -> None:
        run = bridge("pipe", to(server), f"{local}@fates.example")
        assert run.returncode == code
        assert f"<{local}@fates.example>: {said} " in run.stderr.decode()

    @pytest.mark.parametrize(
        ("others", "code"),
        [
            (["unknown"], os.EX_NOUSER),
            (["rejected", "unknown"], os.EX_NOPERM),
            (["unknown", "full"], os.EX_TEMPFAIL),
        ],
    )
    def test_one_refusal_keeps_the_message_from_all(
        self, others: list[str], code: int, server: Server
    ) -> None:
        server.mailbox(ALICE)
        server.mailbox(BOB)
        run = bridge("pipe", to(server), ALICE, *(f"{one}@fates.example" for one in others), BOB)
        assert run.returncode == code
        assert len(run.stderr.splitlines()) == len(others) + 2
        assert server.messages(ALICE) == server.messages(BOB) == []

    def test_of_final_replies_a_transient_one_outweighs_all(self, server: Server) -> None:
        """Whoever has the message gets a second copy; the other way it would be lost."""
        server.mailbox(ALICE)
        looping = b"Delivered-To: " + BOB.encode() + b"\n" + MESSAGE
        run = bridge("pipe", to(server), ALICE, BOB, message=looping)
        assert run.returncode == os.EX_NOUSER
        (server.mailbox(BOB) / "new").mkdir()
        run = bridge("pipe", to(server), ALICE, BOB, message=looping)
        assert run.returncode == os.EX_UNAVAILABLE
        assert b"554 5.4.6" in run.stderr
        received(server, ALICE, looping)
        (server.mailbox("carol@example.org") / "tmp").write_text("no directory")
        run = bridge("pipe", to(server), ALICE, BOB, "carol@example.org", message=looping)
        assert run.returncode == os.EX_TEMPFAIL
        assert len(server.messages(ALICE)) == 2
        assert server.messages(BOB) == []

    @pytest.mark.parametrize(
        ("written", "mailbox"),
        [('"a b"@example.org', "a b"), ("a b@example.org", "a b"), ("b@ü", ""), ("a@b c", "")],
    )
    def test_addresses_as_shells_leave_them(
        self, written: str, mailbox: str, server: Server
    ) -> None:
        server.mailbox(f"{mailbox}@example.org")
        run = bridge("pipe", to(server), written)
        if mailbox:
            assert run.returncode == 0, run.stderr
            received(server, f"{mailbox}@example.org")
        else:
            assert run.returncode == os.EX_NOUSER, run.stderr

    @pytest.mark.parametrize(
        ("sender", "path"),
        [
            ("<zoe@example.net>", b"<zoe@example.net>"),
            ("<>", b"<>"),
            ("odd..dots@example.net", b'<"odd..dots"@example.net>'),
            ("zoe@not,a,domain", b"<zoe@not,a,domain>"),
        ],
    )
    def test_senders(self, sender: str, path: bytes, server: Server) -> None:
        server.mailbox(ALICE)
        assert bridge("pipe", to(server), f"-f{sender}", "-i", "-oi", ALICE).returncode == 0
        assert b"Return-Path: " + path + b"\n" in received(server, ALICE)

    def test_a_sender_cannot_say_a_command(self, server: Server) -> None:
        server.mailbox(ALICE)
        run = bridge("pipe", to(server), "-f", "a\r\nRSET", ALICE)
        assert run.returncode == os.EX_NOUSER
        assert b"501 5.1.7" in run.stderr

    def test_killed_in_the_middle(self, mortal: Server) -> None:
        mortal.mailbox(ALICE)
        command = [sys.executable, "lmtpd.py", "bridge", "pipe", to(mortal), ALICE]
        with subprocess.Popen(
            command, cwd=PROJECT, env={}, stdin=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            # More than all buffers between us and the server hold.
            process.stdin.write(b"x" * 32 * 1024 * 1024)
            mortal.kill_all()
            _, errors = process.communicate(timeout=_TIMEOUT_S)
        assert process.returncode == os.EX_TEMPFAIL
        assert b"421 4.4.2" in errors
        assert mortal.messages(ALICE) == []

    def test_a_caller_that_writes_much_learns_the_exit_code(self, server: Server) -> None:
        """Not a broken pipe, which many take for a failure of their own."""
        run = bridge("pipe", to(server), ALICE, message=b"x" * 1024 * 1024)
        assert run.returncode == os.EX_NOUSER


class TestTransports:
    def test_unix_socket(self, tmp_path: Path) -> None:
        path = tmp_path / "lmtp"
        with Server(tmp_path, lmtp_socket_path=path) as server:
            server.mailbox(ALICE)
            assert bridge("pipe", "--to", path, ALICE).returncode == 0
            received(server, ALICE)

    @pytest.mark.parametrize("mode", ["may", "encrypt"])
    def test_starttls(self, mode: str, starttls_server: Server, certificate: Certificate) -> None:
        starttls_server.mailbox(ALICE)
        believed = f"--ca-path={certificate.cert_path}"
        run = bridge("pipe", to(starttls_server), f"--tls={mode}", believed, ALICE)
        assert run.returncode == 0, run.stderr
        assert b"with LMTPS" in received(starttls_server, ALICE)

    def test_implicit(self, tls_server: Server) -> None:
        tls_server.mailbox(ALICE)
        run = bridge("pipe", to(tls_server), "--tls", "implicit", ALICE)
        assert run.returncode == 0, run.stderr
        assert b"with LMTPS" in received(tls_server, ALICE)

    def test_tls_that_cannot_be_had_is_temporary(
        self, server: Server, tmp_path: Path, certificate: Certificate
    ) -> None:
        server.mailbox(ALICE)
        run = bridge("pipe", to(server), "--tls=encrypt", ALICE)
        assert run.returncode == os.EX_TEMPFAIL
        assert b"454 4.7.4" in run.stderr
        with Server(tmp_path, **tls_settings(certificate)) as secure:
            options = (f"--ca-path={certificate.cert_path}", "--tls-name=other.example")
            run = bridge("pipe", to(secure), "--tls=encrypt", *options, ALICE)
        assert run.returncode == os.EX_TEMPFAIL
        assert b"other.example" in run.stderr
        assert server.messages(ALICE) == []


class TestQmail:
    ENVIRONMENT = {  # noqa: RUF012
        "SENDER": "zoe@example.net",
        "RECIPIENT": f"lmtp-{ALICE}",
        "LOCAL": "lmtp-alice",
        "EXT": "alice",
        "HOST": "example.org",
    }

    def test_extension_and_host_are_the_recipient(self, server: Server) -> None:
        server.mailbox(ALICE)
        run = bridge("qmail", to(server), environment=self.ENVIRONMENT)
        assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
        assert b"Return-Path: <zoe@example.net>\n" in received(server, ALICE)

    @pytest.mark.parametrize(
        ("changes", "options", "address"),
        [
            ({"EXT": "", "LOCAL": "alice"}, [], ALICE),
            ({"EXT": "news", "LOCAL": "alice-news"}, ["--recipient=local"], "alice-news@x.example"),
            ({"EXT": "a b"}, [], "a b@x.example"),
            ({"EXT": 'a"b\\'}, [], 'a"b\\@x.example'),
        ],
    )
    def test_other_recipients(
        self, changes: dict[str, str], options: list[str], address: str, server: Server
    ) -> None:
        server.mailbox(address)
        environment = {**self.ENVIRONMENT, "HOST": address.rpartition("@")[2], **changes}
        run = bridge("qmail", to(server), *options, environment=environment)
        assert run.returncode == 0, run.stderr
        received(server, address)

    @pytest.mark.parametrize(
        ("sender", "path"),
        [
            ("", b"<>"),
            ("#@[]", b"<>"),
            ("a b@example.net", b'<"a b"@example.net>'),
            ("list-owner-@example.net-@[]", b'<"list-owner-@example.net-"@[]>'),
        ],
    )
    def test_senders(self, sender: str, path: bytes, server: Server) -> None:
        server.mailbox(ALICE)
        run = bridge("qmail", to(server), environment={**self.ENVIRONMENT, "SENDER": sender})
        assert run.returncode == 0, run.stderr
        assert b"Return-Path: " + path + b"\n" in received(server, ALICE)

    @pytest.mark.parametrize(
        ("local", "code"), [("unknown", 100), ("rejected", 100), ("full", 111), ("broken", 111)]
    )
    def test_exit_codes(self, local: str, code: int, server: Server) -> None:
        environment = {**self.ENVIRONMENT, "EXT": local, "HOST": "fates.example"}
        run = bridge("qmail", to(server), environment=environment)
        assert run.returncode == code
        assert f"<{local}@fates.example>: " in run.stderr.decode()

    def test_in_the_place_of_qmail_local(self, server: Server) -> None:
        server.mailbox(ALICE)
        server.mailbox(BOB)
        envelope = ["--", "alice", "/home/alice", "alice", "", "", "example.org", "z@example.net"]
        run = bridge("qmail-local", to(server), *envelope, "./Maildir/")
        assert run.returncode == 0, run.stderr
        received(server, ALICE)
        envelope = ["--", "vmail", "/", "lmtp-bob", "-", "bob", "example.org", ""]
        run = bridge("qmail-local", to(server), "--recipient=ext", *envelope, "./Maildir/")
        assert run.returncode == 0, run.stderr
        received(server, BOB)
        envelope = ["--", "u", "/", "unknown", "", "", "fates.example", ""]
        assert bridge("qmail-local", to(server), *envelope, "").returncode == 100


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["pipe", ALICE], os.EX_TEMPFAIL),
        (["qmail"], 111),
        (["lmtp"], os.EX_TEMPFAIL),
        (["qmail-local", "--", "a", "/", "a", "", "", "example.org", "", ""], 111),
    ],
)
def test_nobody_is_there(arguments: list[str], code: int) -> None:
    where = f"{LOOPBACK}:{free_port()}"
    command = [arguments[0], f"--to={where}", *arguments[1:]]
    run = bridge(*command, environment=TestQmail.ENVIRONMENT)
    assert run.returncode == code
    assert b"421 4.4.1 The LMTP server cannot be reached" in run.stdout + run.stderr
    assert b"Connection refused" in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], os.EX_TEMPFAIL, "none of lmtp, qmail"),
        (["qmial"], os.EX_TEMPFAIL, "none of lmtp, qmail"),
        (["pipe"], os.EX_TEMPFAIL, "needs a recipient"),
        (["pipe", "--to=nowhere", ALICE], os.EX_TEMPFAIL, "'nowhere' is no server"),
        (["pipe", "--tls=yes", ALICE], os.EX_TEMPFAIL, "--tls is none, may"),
        (["pipe", "--ca-path=/x", ALICE], os.EX_TEMPFAIL, "--ca-path needs --tls"),
        (["pipe", "--tls=may", "--tls-name=x", ALICE], os.EX_TEMPFAIL, "--tls-name needs"),
        (["pipe", "--recipient=ext", ALICE], os.EX_TEMPFAIL, "--recipient not recognized"),
        (["lmtp", "a:1", "b:1"], os.EX_TEMPFAIL, "takes one server"),
        (["qmail"], 111, "SENDER, LOCAL, HOST not set"),
        (["qmail", ALICE], 111, "takes no recipients"),
        (["qmail-local", "--", "a"], 111, "takes 8 arguments"),
        (["qmail-local", "--recipient=x", "--", *"abcdefgh"], 111, "--recipient is ext or local"),
    ],
)
def test_wrong_usage_bounces_nothing(arguments: list[str], code: int, said: str) -> None:
    run = bridge(*arguments)
    assert run.returncode == code
    assert said in (run.stderr + run.stdout).decode()
    assert b"Traceback" not in run.stderr


@pytest.mark.parametrize(("shape", "code"), [("pipe", os.EX_TEMPFAIL), ("qmail", 111)])
def test_a_library_that_is_missing_bounces_nothing(shape: str, code: int) -> None:
    program = (
        f"import sys; sys.modules['idna'] = None; sys.argv[1:] = ['bridge', {shape!r}];"
        "from lmtpd.__main__ import main; sys.exit(main())"
    )
    run = bridge(program=("-c", program))
    assert run.returncode == code
    assert b"ModuleNotFoundError" in run.stderr


def test_help_is_for_a_person() -> None:
    for arguments in (["--help"], ["pipe", "--help"]):
        run = bridge(*arguments)
        assert run.returncode == 0
        for word in (b"lmtp", b"qmail", b"qmail-local", b"pipe", b"--to", b"--tls", b"BRIDGE.md"):
            assert word in run.stdout


@pytest.mark.parametrize("shape", ["lmtp", "qmail", "pipe"])
def test_it_imports_nothing_that_costs_time(shape: str) -> None:
    """It is run for each message."""
    where = f"--to={LOOPBACK}:{free_port()}"
    program = ("-X", "importtime", "lmtpd.py", "bridge")
    arguments = [shape, where, *([ALICE] if shape == "pipe" else [])]
    run = bridge(*arguments, program=program, environment=TestQmail.ENVIRONMENT)
    imported = set(re.findall(r"import time:.*\| +(\S+)\n", run.stderr.decode()))
    assert "lmtpd.client.connection" in imported
    costly = {"gevent", "configobj", "asyncio", "ssl", "argparse", "dns", "logging", "subprocess"}
    assert not imported & (costly | {"lmtpd.cli", "lmtpd.config", "lmtpd.settings", "lmtpd.log"})


_LMTP = ("lmtpd.py", "bridge", "lmtp")


class Relay:
    """`bridge lmtp`, spoken to as Sendmail does."""

    def __init__(self, *arguments: object, program: Sequence[str] = _LMTP) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *program, *map(str, arguments)],
            cwd=PROJECT,
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.replace("\n", "\r\n").encode())
        self.process.stdin.flush()

    def reply(self) -> str:
        """The last line of the next reply."""
        assert self.process.stdout is not None
        while (line := self.process.stdout.readline().decode())[3:4] == "-":
            pass
        return line

    def end(self) -> tuple[int, bytes]:
        """Close standard input; the exit code, and what else was said."""
        out, errors = self.process.communicate(timeout=_TIMEOUT_S)
        assert errors == b""
        return self.process.returncode, out

    def deliver(self) -> list[str]:
        """One message to alice and to nobody; the replies from the greeting on."""
        replies = [self.reply()]
        commands = ("LHLO localhost\n", "MAIL From:<>\n", f"RCPT To:<{ALICE}>\n")
        for command in (*commands, "RCPT To:<nobody@example.org>\n", "DATA\n", "A: b\n\n..\n.\n"):
            self.say(command)
            replies.append(self.reply())
        return replies


class TestRelay:
    CODES = ["220", "250", "250", "250", "550", "354", "250"]  # noqa: RUF012

    @pytest.mark.parametrize("program", [_LMTP, ("init/lmtp.py",)], ids=" ".join)
    def test_a_session(self, program: tuple[str, ...], server: Server) -> None:
        server.mailbox(ALICE)
        with Relay(f"{LOOPBACK}:{server.port}", program=program) as relay:
            assert [reply[:3] for reply in relay.deliver()] == self.CODES
            relay.say("QUIT\n")
            assert relay.reply() == "221 2.0.0 Bye\r\n"
            assert relay.end() == (0, b"")
        received(server, ALICE, b"A: b\n\n.\n")

    @pytest.mark.parametrize("mode", ["implicit", "may", "encrypt"])
    def test_under_tls(self, mode: str, tmp_path: Path, certificate: Certificate) -> None:
        settings = {**tls_settings(certificate), "lmtp_tls_only": mode == "implicit"}
        with Server(tmp_path, **settings) as server:
            server.mailbox(ALICE)
            with Relay(to(server), f"--tls={mode}") as relay:
                assert [reply[:3] for reply in relay.deliver()] == self.CODES
                relay.say("QUIT\n")
                assert relay.end()[0] == 0
            fields = received(server, ALICE, b"A: b\n\n.\n")
            assert b"with LMTPS" in fields

    def test_tls_that_is_not_offered(self, server: Server) -> None:
        with Relay(to(server), "--tls=encrypt") as relay:
            assert relay.reply().startswith("454 4.7.4 ")
            assert relay.end() == (os.EX_TEMPFAIL, b"")

    def test_sendmail_goes_without_quit(self, server: Server) -> None:
        server.mailbox(ALICE)
        with Relay(to(server)) as relay:
            assert [reply[:3] for reply in relay.deliver()] == self.CODES
            code, said = relay.end()
        assert code == os.EX_TEMPFAIL
        assert said.startswith(b"421 4.4.2 ")

    def test_the_server_is_stopped(self, mortal: Server) -> None:
        with Relay(to(mortal)) as relay:
            relay.reply()
            mortal.terminate()
            assert relay.reply().startswith("421 4.3.2 ")
            assert relay.process.wait(_TIMEOUT_S) == os.EX_TEMPFAIL
            assert relay.end()[1] == b""

    def test_the_server_is_killed(self, mortal: Server) -> None:
        mortal.mailbox(ALICE)
        with Relay(to(mortal)) as relay:
            relay.deliver()
            mortal.kill_all()
            assert relay.reply().startswith("421 4.4.2 ")
            assert relay.process.wait(_TIMEOUT_S) == os.EX_TEMPFAIL

    @pytest.mark.parametrize("half", [b"250 2.0", b"250-2.0.0 a\r\n", b"250-a\r\n250 b", b"2"])
    def test_half_a_reply_is_none(self, half: bytes) -> None:
        def serve(connection: socket.socket) -> None:
            converse(connection, b"220 Hi\r\n")
            connection.sendall(b"250 2.0.0 Ok\r\n" + half)

        with peer(serve) as target, Relay(target) as relay:
            assert relay.reply() == "220 Hi\r\n"
            relay.say("LHLO localhost\n")
            assert relay.reply() == "250 2.0.0 Ok\r\n"
            assert relay.reply().startswith("421 4.4.2 ")
            assert relay.end() == (os.EX_TEMPFAIL, b"")

    def test_a_reply_without_end(self) -> None:
        def serve(connection: socket.socket) -> None:
            connection.sendall(b"220-" + b"x" * 1024 * 1024)

        with peer(serve) as target, Relay(target) as relay:
            assert relay.reply().startswith("421 4.4.2 ")
            assert relay.end() == (os.EX_TEMPFAIL, b"")

    def test_octets_pass_as_they_are(self) -> None:
        text = bytes(range(256)) * 100 + b"\r\n"
        heard: list[bytes] = []

        def serve(connection: socket.socket) -> None:
            connection.sendall(b"220-\xff\xfe odd\r\n220\r\n")
            heard.append(hear(connection, text))
            connection.sendall(b"221 Bye\r\n")

        with peer(serve) as target:
            run = bridge("lmtp", target, message=text)
        assert heard == [text]
        assert run.stdout == b"220-\xff\xfe odd\r\n220\r\n221 Bye\r\n"
        assert run.returncode == 0
