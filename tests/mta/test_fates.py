"""Each recipient has a fate of its own, known, unknown or not just now; and its sender is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.marked import DEFERRED, GONE
from tests.support.messages import as_stored, field_names, put_in_front
from tests.support.mta import ALICE, BOB, DOMAIN, HEADER, SENDER, Mta, offer
from tests.support.mtas import mtas
from tests.support.opensmtpd import OpenSmtpd
from tests.support.server import Server
from tests.support.waiting import wait_for

_BOUNCE_S = 30.0
_FINAL_RECIPIENT = re.compile(rb"^Final-Recipient: *rfc822; *<?([^>\s]+)", re.I | re.M)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The server, with a hook by which a test defers a recipient, or takes it away."""
    hooks = "tests.support.marked:Marked;maildirs"
    with Server(tmp_path, lmtp_recipient_hooks=hooks) as running:
        running.mailbox(SENDER)
        yield running


def failed_recipients(bounce: bytes) -> list[str]:
    """Whom the delivery status of a bounce names (RFC 3464 2.3)."""
    failed = (group for group in bounce.split(b"\n\n") if b"\nAction: failed" in b"\n" + group)
    return [one.decode() for group in failed for one in _FINAL_RECIPIENT.findall(group)]


@mtas()
def test_mail_for_a_known_recipient_arrives_once_and_whole(server: Server, mta: Mta) -> None:
    server.mailbox(ALICE)
    message = HEADER + b"One line,\r\n\r\nand after an empty one the last.\r\n\r\n"
    mta.submit([ALICE], message)
    mta.wait_until_empty()
    [stored] = server.messages(ALICE)
    added = put_in_front(stored, as_stored(message))
    assert added.startswith(f"Return-Path: <{SENDER}>\nDelivered-To: {ALICE}\n".encode())
    assert field_names(added).count("return-path") == 1


@mtas("unix")
def test_mail_comes_over_a_unix_socket(kind: type[Mta], open_folder: Path) -> None:
    folder = open_folder / kind.name
    folder.mkdir()
    settings = {"lmtp_socket_path": folder / "lmtp", "lmtp_socket_mode": "0666"}
    with (
        Server(folder, **settings) as server,
        kind(server.port, "unix", folder) as mta,
    ):
        server.mailbox(ALICE)
        mta.probe([ALICE])
        mta.submit([ALICE], HEADER + b"not over TCP\r\n")
        mta.wait_until_empty()
        [stored] = server.messages(ALICE)
        assert b" (local socket)\n" in stored


@mtas("verify")
def test_an_unknown_recipient_is_refused_at_smtp_time(server: Server, mta: Mta) -> None:
    before = server.files()
    with mta.client() as client:
        [reply] = offer(client, [BOB])
    assert reply.code == 550
    # The MTA quotes the server's own reply behind its own words.
    assert f"550 5.1.1 <{BOB}>" in reply.text
    assert server.files() == before


@mtas("verify")
def test_a_probe_for_a_known_recipient_leaves_nothing_behind(server: Server, mta: Mta) -> None:
    server.mailbox(ALICE)
    before = server.files()
    with mta.client() as client:
        [reply] = offer(client, [ALICE])
    assert reply.code == 250
    assert server.files() == before


@mtas("verify")
def test_while_the_server_is_away_a_recipient_is_told_to_come_back(
    server: Server, mta: Mta
) -> None:
    server.mailbox(ALICE)
    server.stop()
    with mta.client() as client:
        [reply] = offer(client, [ALICE])
    assert reply.code // 100 == 4


@mtas("bounce")
def test_mail_for_a_recipient_that_is_gone_comes_back_once_with_our_words(
    server: Server, mta: Mta
) -> None:
    mailbox = server.mailbox(BOB)
    with mta.client() as client:
        mta.open(client, [BOB])
        (mailbox / GONE).touch()
        mta.finish(client, HEADER + b"to one who left meanwhile\r\n")
    wait_for(lambda: server.messages(SENDER), _BOUNCE_S, "a bounce")
    mta.wait_until_empty()
    [bounce] = server.messages(SENDER)
    assert bounce.startswith(b"Return-Path: <>\n")
    assert b"5.1.1" in bounce
    assert b"No such mailbox here" in bounce


@mtas(without="bounce")
def test_mail_for_an_unknown_recipient_stays_queued(server: Server, mta: Mta) -> None:
    mta.submit([BOB], HEADER + b"to one who was never here\r\n")
    mta.wait_until_deferred()
    assert "550 5.1.1 <bob@example.org> No such mailbox here" in mta.log
    assert mta.waiting() == 1
    assert server.messages(SENDER) == []


@mtas()
def test_twenty_recipients_have_a_fate_each(server: Server, mta: Mta) -> None:
    names = [f"user{number}@{DOMAIN}" for number in range(20)]
    mailboxes = {name: server.mailbox(name) for name in names}
    gone, deferred, broken = names[3:6], names[9], names[14]
    mta.probe(names)
    with mta.client() as client:
        mta.open(client, names)
        for name in gone:
            (mailboxes[name] / GONE).touch()
        (mailboxes[deferred] / DEFERRED).touch()
        (mailboxes[broken] / "tmp").touch()
        mta.finish(client, HEADER + b"to twenty\r\n")
    settled = set(names) - {*gone, deferred, broken}
    wait_for(lambda: all(server.messages(name) for name in settled), _BOUNCE_S, "the others' mail")
    mta.wait_until_deferred(2)
    (mailboxes[deferred] / DEFERRED).unlink()
    (mailboxes[broken] / "tmp").unlink()
    if isinstance(mta, OpenSmtpd):
        mta.flush()
        # The three that are gone stay in its queue: it takes every refusal for temporary.
        wait_for(lambda: len(mta.envelopes().splitlines()) == len(gone), _BOUNCE_S, "three left")
        assert server.messages(SENDER) == []
    else:
        mta.drain()
        told = [one for bounce in server.messages(SENDER) for one in failed_recipients(bounce)]
        assert sorted(told) == sorted(gone)
    assert {name: len(server.messages(name)) for name in names} == {
        name: int(name not in gone) for name in names
    }
