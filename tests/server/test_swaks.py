"""swaks, the administrator's tool for trying a mail server out, against the running server.

Asserted is what the administrator sees, which is swaks' transcript and exit status, and what then
lies in the mailbox.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.certificates import Certificate
from tests.support.components import require
from tests.support.messages import as_stored, put_in_front
from tests.support.processes import LOOPBACK, PROGRAMS_PATH
from tests.support.server import Server

ALICE = "alice@example.org"
UNKNOWN = "nobody@example.org"
MESSAGE = b"Subject: A try\r\n\r\n.\r\nOne line, and dots around it.\r\n..\r\n"

# swaks' manual, EXIT CODES.
SUCCESS, NO_RECIPIENT, TLS_FAILED = 0, 24, 29

_TIMEOUT_S = 30


class Run(NamedTuple):
    """What swaks left behind."""

    status: int
    transcript: str


Swaks = Callable[..., Run]


@pytest.fixture
def swaks(tmp_path: Path) -> Swaks:
    """Runs swaks with some options; all messages are MESSAGE from one sender."""
    require("swaks")

    def run(port: int, *options: str, recipients: str = ALICE) -> Run:
        command = ["swaks", "--protocol", "LMTP", "--server", LOOPBACK, "--port", str(port)]
        command += ["--helo", "client.example.net", "--from", "sender@example.net"]
        command += ["--to", recipients, "--data", "-", *options]
        done = subprocess.run(
            command,
            # A home of its own, or the options in somebody's ~/.swaksrc would count.
            env={"PATH": PROGRAMS_PATH, "HOME": str(tmp_path)},
            # It ends the last line itself.
            input=MESSAGE.removesuffix(b"\r\n"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_S,
            check=False,
        )
        return Run(done.returncode, done.stdout.decode("utf-8", "replace"))

    return run


def added_in_front(server: Server) -> bytes:
    """The server's own fields on the one message that has to be in Alice's mailbox."""
    [message] = server.messages(ALICE)
    return put_in_front(message, as_stored(MESSAGE))


def test_in_clear_text(server: Server, swaks: Swaks) -> None:
    server.mailbox(ALICE)
    run = swaks(server.port)
    assert run.status == SUCCESS, run.transcript
    assert " -> LHLO client.example.net\n" in run.transcript
    assert "<-  250-PIPELINING\n" in run.transcript
    assert "<-  250 2.0.0 " in run.transcript
    assert "<-  221 2.0.0 " in run.transcript
    assert b" with LMTP " in added_in_front(server)


def test_with_everything_sent_at_once(server: Server, swaks: Swaks) -> None:
    server.mailbox(ALICE)
    run = swaks(server.port, "--pipeline")
    assert run.status == SUCCESS, run.transcript
    added_in_front(server)


def test_with_starttls(starttls_server: Server, swaks: Swaks, certificate: Certificate) -> None:
    starttls_server.mailbox(ALICE)
    run = swaks(
        starttls_server.port, "-tls", "--tls-verify", "--tls-ca-path", str(certificate.cert_path)
    )
    assert run.status == SUCCESS, run.transcript
    assert "<-  250-STARTTLS\n" in run.transcript
    assert "=== TLS started with cipher TLSv1." in run.transcript
    assert "<~  250 2.0.0 " in run.transcript
    # It is not offered a second time (RFC 3207 4.2).
    assert "<~  250-STARTTLS\n" not in run.transcript
    assert b" with LMTPS " in added_in_front(starttls_server)


def test_with_tls_from_the_first_octet(
    tls_server: Server, swaks: Swaks, certificate: Certificate
) -> None:
    tls_server.mailbox(ALICE)
    run = swaks(
        tls_server.port, "-tlsc", "--tls-verify", "--tls-ca-path", str(certificate.cert_path)
    )
    assert run.status == SUCCESS, run.transcript
    assert "<~  220 " in run.transcript
    assert "<~  250 2.0.0 " in run.transcript
    assert "STARTTLS" not in run.transcript
    assert b" with LMTPS " in added_in_front(tls_server)


def test_starttls_is_not_there_without_a_certificate(server: Server, swaks: Swaks) -> None:
    server.mailbox(ALICE)
    run = swaks(server.port, "-tls")
    assert run.status == TLS_FAILED, run.transcript
    assert server.messages(ALICE) == []


def test_one_of_two_recipients_is_unknown(server: Server, swaks: Swaks) -> None:
    server.mailbox(ALICE)
    run = swaks(server.port, recipients=f"{ALICE},{UNKNOWN}")
    # For swaks a session in which somebody got the message is a success.
    assert run.status == SUCCESS, run.transcript
    assert f"<** 550 5.1.1 <{UNKNOWN}> " in run.transcript
    # One final reply, for the one recipient that was accepted (RFC 2033 4.2).
    _, _, behind_the_dot = run.transcript.partition("\n -> .\n")
    assert [line[:7] for line in behind_the_dot.splitlines() if line[:1] == "<"] == [
        "<-  250",
        "<-  221",
    ]
    added_in_front(server)
    assert server.messages(UNKNOWN) == []


def test_an_unknown_recipient_alone(server: Server, swaks: Swaks) -> None:
    before = server.files()
    run = swaks(server.port, recipients=UNKNOWN)
    assert run.status == NO_RECIPIENT, run.transcript
    assert f"<** 550 5.1.1 <{UNKNOWN}> " in run.transcript
    assert server.files() == before
