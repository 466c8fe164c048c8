"""The contract of all back-ends that are called, in memory and through the running server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lmtpd.recipients.verdict import Kind
from tests.support.answering_program import ProgramFile
from tests.support.back_ends import HttpService, SocketmapService, TcpTableService
from tests.support.backend_contract import ALICE, MUTE, Asking, BackEnd
from tests.support.client import Client
from tests.support.other_servers import (
    OtherPostfix,
    OtherPostfixWithTls,
    OtherServer,
    OtherServerWithTls,
)
from tests.support.server import Server
from tests.support.waiting import wait_for

_SOON_S = 20.0

BACK_ENDS: dict[str, type[BackEnd]] = {
    "http": HttpService,
    "socketmap": SocketmapService,
    "tcp_table": TcpTableService,
    "exec": ProgramFile,
    "callout-lmtp": OtherServer,
    "callout-smtp": OtherPostfix,
    "callout-lmtp-tls": OtherServerWithTls,
    "callout-smtp-tls": OtherPostfixWithTls,
}
SAID = [(name, address) for name, kind in BACK_ENDS.items() for address in kind.answers]
WRONG = [(name, address) for name, kind in BACK_ENDS.items() for address in kind.wrong]
NONSENSE = [(name, address) for name, address in WRONG if not address.startswith(("mute", "dying"))]


@pytest.fixture(params=BACK_ENDS)
def absent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BackEnd]:
    """A back-end that does not run."""
    made = BACK_ENDS[request.param](tmp_path)
    yield made
    made.stop()


@pytest.fixture
def back_end(absent: BackEnd) -> BackEnd:
    """A back-end that runs."""
    absent.start()
    return absent


@pytest.mark.parametrize(("absent", "address"), SAID, indirect=["absent"])
def test_what_it_says_is_the_verdict(address: str, back_end: BackEnd, tmp_path: Path) -> None:
    asking = Asking(tmp_path, back_end)
    said, due = asking.verdict(address), back_end.answers[address]
    assert said.kind is due.kind
    assert (said.mailboxes, said.is_catch_all) == (due.mailboxes, due.is_catch_all)
    assert due.text in said.text
    assert due.reason in said.reason


@pytest.mark.parametrize(("absent", "address"), WRONG, indirect=["absent"])
def test_what_goes_wrong_is_a_fault_and_the_next_answer_is_right(
    address: str, back_end: BackEnd, tmp_path: Path
) -> None:
    patience = {"lmtp_hook_timeout": 2} if address == MUTE else {}
    asking = Asking(tmp_path, back_end, **patience)
    verdict = asking.verdict(address)
    assert verdict.kind is Kind.DEFER
    assert f"hook {back_end.hook}: " in verdict.reason
    assert back_end.wrong[address] in verdict.reason
    wait_for(lambda: asking.verdict(ALICE).is_accepted, _SOON_S, "an answer")


@pytest.mark.parametrize(("absent", "address"), NONSENSE, indirect=["absent"])
def test_nonsense_about_one_address_concerns_no_other(
    address: str, back_end: BackEnd, tmp_path: Path
) -> None:
    asking = Asking(tmp_path, back_end, lmtp_hook_faults=1)
    for _ in range(3):
        assert asking.verdict(address).kind is Kind.DEFER
        assert asking.verdict(ALICE).is_accepted
    assert "hook-down" not in "".join(asking.lines)


def test_one_that_is_down_at_start_is_found_when_it_comes(absent: BackEnd, tmp_path: Path) -> None:
    asking = Asking(tmp_path, absent)
    assert asking.verdict(ALICE).kind is Kind.DEFER
    absent.start()
    wait_for(lambda: asking.verdict(ALICE).is_accepted, _SOON_S, "an answer")


def test_one_that_was_started_again_is_no_fault(back_end: BackEnd, tmp_path: Path) -> None:
    """The kept connection died; nobody shall notice."""
    asking = Asking(tmp_path, back_end)
    assert asking.verdict(ALICE).is_accepted
    back_end.stop()
    back_end.start()
    assert asking.verdict(ALICE).is_accepted


def test_through_the_server(back_end: BackEnd, tmp_path: Path) -> None:
    settings = {
        "lmtp_workers": 1,
        "lmtp_recipient_hooks": back_end.hook,
        "lmtp_verify_positive_ttl": 0,
        "lmtp_verify_negative_ttl": 0,
        "lmtp_verify_stale": 0,
        **back_end.settings,
    }
    with Server(tmp_path, **settings) as server, Client.tcp(server.port) as client:

        def rcpt(address: str) -> int:
            return client.command(f"RCPT TO:<{address}>").code

        client.send(b"LHLO client.example\r\nMAIL FROM:<>\r\n")
        assert [reply.code for reply in client.replies(3)] == [220, 250, 250]
        assert [rcpt(ALICE), rcpt("nobody@example.org"), rcpt(ALICE)] == [250, 550, 250]
        back_end.stop()
        assert [rcpt(ALICE), rcpt("nobody@example.org")] == [451, 451]
        back_end.start()
        wait_for(lambda: rcpt(ALICE) == 250, _SOON_S, "an acceptance")
        assert rcpt("nobody@example.org") == 550
        client.send(b"DATA\r\nSubject: x\r\n\r\n.\r\n")
        wait_for(lambda: f"hook {back_end.hook}: " in server.log, _SOON_S, "a line in the log")
