"""MTAs that run the bridge for each message, with the lines of their pages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.messages import as_stored
from tests.support.mta import ALICE, BOB, DOMAIN, HEADER, SENDER, Mta
from tests.support.mtas import mtas
from tests.support.relay import Relay
from tests.support.sendmail import Sendmail
from tests.support.server import Server

MESSAGE = HEADER + b".\r\n..dots\r\nand \xfc\r\n"
LONG = HEADER + b"".join(b"line %d of a long message\r\n" % number for number in range(20_000))
_UNKNOWN = f"nobody@{DOMAIN}"
_END_S = 20.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Sendmail's local mailer leaves the domain out, so the server has one."""
    with Server(tmp_path, lmtp_default_domain=DOMAIN) as running:
        for address in ALICE, BOB, SENDER:
            running.mailbox(address)
        yield running


@mtas("bridge")
def test_through_the_bridge_each_recipient_has_its_own_fate(
    kind: type[Mta], server: Server
) -> None:
    with kind(server.port, "bridge") as mta:
        mta.submit([ALICE, _UNKNOWN, BOB], MESSAGE)
        mta.wait_until_empty()
    for address in ALICE, BOB:
        [stored] = server.messages(address)
        assert stored.startswith(f"Return-Path: <{SENDER}>\nDelivered-To: {address}\n".encode())
        assert stored.endswith(as_stored(MESSAGE))
    [bounce] = server.messages(SENDER)
    assert bounce.startswith(b"Return-Path: <>\n")
    assert b"No such mailbox here" in bounce


@mtas("bridge")
def test_through_the_bridge_mail_waits_for_a_server_that_is_away_or_dies(
    kind: type[Mta], server: Server
) -> None:
    octets = 0
    killed = threading.Event()

    def kill_at_half(piece: bytes) -> bool:
        nonlocal octets
        before, octets = octets, octets + len(piece)
        if before <= len(LONG) // 2 < octets:
            server.kill_all()
            killed.set()
        return True

    with Relay(server.port, kill_at_half) as relay, kind(relay.port, "bridge") as mta:
        mta.submit([ALICE], LONG)
        mta.wait_until_deferred()
        assert killed.wait(_END_S)
        mta.submit([BOB], MESSAGE)
        mta.wait_until_deferred(2)
        assert mta.waiting() == 2
        server.start()
        mta.drain()
    for address, message in (ALICE, LONG), (BOB, MESSAGE):
        [stored] = server.messages(address)
        assert stored.endswith(as_stored(message))
    assert server.messages(SENDER) == []


@pytest.mark.parametrize("kind", [Sendmail], indirect=True, ids=["sendmail"])
def test_local_lmtp_with_the_address_inside_the_path_only_delays(
    kind: type[Mta], server: Server
) -> None:
    """The whole of it is taken for the name of the program, as docs/mta/sendmail.md says."""
    mta = kind(server.port, "bridge")
    two = mta.lines.replace("lmtp.py', `lmtp.py ", "lmtp.py ")
    assert two != mta.lines
    mta.lines = two
    with mta:
        mta.submit([ALICE], MESSAGE)
        mta.wait_until_deferred()
        assert mta.waiting() == 1
    assert server.messages(ALICE) == []
