"""A final reply that is lost: the message comes again, and the mailbox holds one copy."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.server import Server
from tests.support.waiting import wait_for

ALICE, BOB = "alice@example.org", "bob@example.org"
TEXT = b"Message-ID: <1@example.net>\r\nSubject: x\r\n\r\nbody\r\n"
_SOON_S = 10.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as running:
        running.mailbox(ALICE)
        running.mailbox(BOB)
        yield running


def sent(
    server: Server,
    *,
    text: bytes = TEXT,
    sender: str = "s@example.net",
    recipients: tuple[str, ...] = (ALICE,),
    more: bytes = b"",
) -> Client:
    """A client that could have read the final replies, and has not gone on."""
    client = Client.tcp(server.port)
    assert client.reply().code == 220
    assert client.command("LHLO client.example").code == 250
    assert client.command(f"MAIL FROM:<{sender}>").code == 250
    for recipient in recipients:
        assert client.command(f"RCPT TO:<{recipient}>").code == 250
    assert client.command("DATA").code == 354
    client.send(text + b".\r\n" + more)
    assert {reply.code for reply in client.replies(len(recipients))} == {250}
    return client


def test_the_reply_was_lost(server: Server) -> None:
    for _ in range(3):
        sent(server).leave()
    assert len(server.messages(ALICE)) == 1
    (file,) = server.message_files(ALICE)
    # Each line of the log leads to the copy.
    wait_for(lambda: server.log.count(f'file="{file.name}"') == 3, _SOON_S, "three lines")
    assert server.log.count(" repeated ") == 2


def test_the_client_went_on(server: Server) -> None:
    """Whoever says anything after the reply has heard it: what comes again is another message."""
    for word in ("QUIT", "RSET", "NOOP"):
        with sent(server) as client:
            client.command(word)
            client.leave()
    assert len(server.messages(ALICE)) == 3


def test_what_was_said_before_the_reply_proves_nothing(server: Server) -> None:
    for _ in range(2):
        sent(server, more=b"QUIT\r\n").leave()
    assert len(server.messages(ALICE)) == 1


def test_the_same_octets_over_connections_that_stand(server: Server) -> None:
    clients = [sent(server) for _ in range(3)]
    assert len(server.messages(ALICE)) == 3
    for client in clients:
        client.close()


@pytest.mark.parametrize(
    "another",
    [
        {"text": TEXT + b"another\r\n"},
        {"text": TEXT.replace(b"Subject: x", b"Subject: y")},
        {"sender": "another@example.net"},
        {"recipients": ("alice+another@example.org",)},
    ],
    ids=["content", "header", "sender", "recipient"],
)
def test_another_message(server: Server, another: dict[str, Any]) -> None:
    """The Message-ID alone says nothing."""
    sent(server).leave()
    sent(server, **another).leave()
    assert len(server.messages(ALICE)) == 2


def test_of_many_recipients_those_that_were_served(server: Server) -> None:
    sent(server, recipients=(ALICE, BOB)).leave()
    (file,) = server.message_files(BOB)
    file.unlink()  # or moved to a folder; we cannot know what became of it
    sent(server, recipients=(BOB, ALICE)).leave()
    assert [len(server.messages(one)) for one in (ALICE, BOB)] == [1, 1]


def test_a_copy_that_was_read_meanwhile(server: Server) -> None:
    """IMAP servers move a message into cur/ and add flags to its name."""
    sent(server).leave()
    (file,) = server.message_files(ALICE)
    cur = file.parents[1] / "cur"
    file.rename(cur / f"{file.name}:2,S")
    sent(server).leave()
    assert server.messages(ALICE) == []
    assert len(list(cur.iterdir())) == 1


def test_a_large_message(server: Server) -> None:
    for _ in range(2):
        sent(server, text=TEXT + b"x" * 70 + b"\r\n" * 300_000).leave()
    assert len(server.messages(ALICE)) == 1


def test_a_worker_dies_before_it_can_reply(tmp_path: Path) -> None:
    with Server(tmp_path, lmtp_workers=2) as server:
        server.mailbox(ALICE)
        client = sent(server)
        for worker in server.workers():
            os.kill(worker, signal.SIGKILL)
        client.close()
        sent(server).leave()
        assert len(server.messages(ALICE)) == 1


def test_the_whole_server_dies(server: Server) -> None:
    """What it did last is remembered by the names of the files, through a power cut too."""
    client = sent(server)
    server.kill_all()
    client.close()
    server.start()
    sent(server).leave()
    assert len(server.messages(ALICE)) == 1


def test_what_was_done_long_before_the_end_is_confirmed(server: Server) -> None:
    with sent(server) as client:
        assert client.command("QUIT").code == 221
    (file,) = server.message_files(ALICE)
    seconds, rest = file.name.split(".", 1)
    file.rename(file.with_name(f"{int(seconds) - 3600}.{rest}"))
    with sent(server, text=b"Subject: the last\r\n\r\n") as client:
        assert client.command("QUIT").code == 221
    server.stop()
    server.start()
    sent(server).leave()
    assert len(server.messages(ALICE)) == 3


def test_after_a_day_it_is_another_message(server: Server) -> None:
    sent(server).leave()
    (file,) = server.message_files(ALICE)
    seconds, rest = file.name.split(".", 1)
    file.rename(file.with_name(f"{int(seconds) - 25 * 3600}.{rest}"))
    sent(server).leave()
    assert len(server.messages(ALICE)) == 2


def test_off(tmp_path: Path) -> None:
    with Server(tmp_path, lmtp_repetition_window=0) as server:
        server.mailbox(ALICE)
        for _ in range(2):
            sent(server).leave()
        assert len(server.messages(ALICE)) == 2
        assert not any("D" in file.name for file in server.message_files(ALICE))
