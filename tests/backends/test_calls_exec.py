"""The hook `exec`: how programs are kept, heard, killed and started again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmtpd.recipients.verdict import Kind
from tests.support.answering_program import ProgramFile
from tests.support.backend_contract import ALICE, Asking
from tests.support.client import Client
from tests.support.server import Server
from tests.support.waiting import wait_for

_SOON_S = 20.0


@pytest.fixture
def program(tmp_path: Path) -> Iterator[ProgramFile]:
    file = ProgramFile(tmp_path)
    file.start()
    yield file
    file.stop()


def said(asking: Asking) -> str:
    return "\n".join(asking.lines)


def test_one_program_answers_all_questions(program: ProgramFile, tmp_path: Path) -> None:
    asking = Asking(tmp_path, program)
    for address in [ALICE, "nobody@example.org"] * 5:
        asking.verdict(address)
    assert len(program.started()) == 1


def test_what_it_writes_to_standard_error_is_logged_within_bounds(
    program: ProgramFile, tmp_path: Path
) -> None:
    asking = Asking(tmp_path, program)
    asking.verdict("talking@example.org")
    wait_for(lambda: asking.verdict(ALICE) and "asked for" in said(asking), _SOON_S, "its words")
    assert all(line.startswith("program-says hook=exec text=") for line in asking.lines)
    assert max(map(len, asking.lines)) < 600


def test_its_last_words_are_logged_and_its_next_start_waits(
    program: ProgramFile, tmp_path: Path
) -> None:
    asking = Asking(tmp_path, program)
    assert asking.verdict("dying@wrong.example").kind is Kind.DEFER
    assert "these are my last words" in said(asking)
    verdict = asking.verdict(ALICE)
    assert "started again in" in verdict.reason
    assert len(program.started()) == 1
    wait_for(lambda: asking.verdict(ALICE).is_accepted, _SOON_S, "the next start")


def test_nonsense_right_after_the_start_makes_nobody_wait(
    program: ProgramFile, tmp_path: Path
) -> None:
    asking = Asking(tmp_path, program)
    asking.verdict("dying@wrong.example")
    wait_for(
        lambda: "AnswerError" in asking.verdict("nonsense@wrong.example").reason,
        _SOON_S,
        "the next start",
    )
    assert asking.verdict(ALICE).is_accepted


def test_it_has_no_descriptor_of_ours_that_can_be_inherited(
    program: ProgramFile, tmp_path: Path
) -> None:
    asking = Asking(tmp_path, program)
    listening = os.open(tmp_path, os.O_RDONLY)
    try:
        os.set_inheritable(listening, True)
        wait_for(
            lambda: asking.verdict("descriptors@example.org") and "descriptors: " in said(asking),
            _SOON_S,
            "its count of descriptors",
        )
    finally:
        os.close(listening)
    assert "descriptors: 3" in said(asking), "the standard streams alone"


def test_one_that_hangs_is_killed(program: ProgramFile, tmp_path: Path) -> None:
    asking = Asking(tmp_path, program, lmtp_hook_timeout=3)
    wait_for(lambda: asking.verdict(ALICE).is_accepted, _SOON_S, "an answer in time")
    assert asking.verdict("mute@wrong.example").kind is Kind.DEFER
    wait_for(lambda: not program.running(), _SOON_S, "the end of the program")


def test_through_the_server_it_is_killed_and_has_no_socket_of_ours(
    program: ProgramFile, tmp_path: Path
) -> None:
    settings = {
        "lmtp_workers": 1,
        "lmtp_recipient_hooks": "exec",
        "lmtp_hook_timeout": 5,
        "lmtp_verify_negative_ttl": 0,
        **program.settings,
    }
    with Server(tmp_path, **settings) as server, Client.tcp(server.port) as client:

        def rcpt(address: str) -> int:
            return client.command(f"RCPT TO:<{address}>").code

        client.send(b"LHLO client.example\r\nMAIL FROM:<>\r\n")
        assert [reply.code for reply in client.replies(3)] == [220, 250, 250]
        assert rcpt("descriptors@example.org") == 550
        wait_for(
            lambda: rcpt("nobody@example.org") and "descriptors: 3" in server.log,
            _SOON_S,
            "a program with the standard streams alone",
        )
        assert len(program.started()) == 1
        assert rcpt("mute@wrong.example") == 451
        wait_for(lambda: not program.running(), _SOON_S, "the end of the program")
        assert rcpt(ALICE) == 250, "one that has answered is started again at once"
    wait_for(lambda: not program.running(), _SOON_S, "the end with the server")
