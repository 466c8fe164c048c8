"""Peers that are trusted by name: resolved behind the scenes, and never waited for."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from tests.support.client import Client, Reply
from tests.support.command_line import lmtpd
from tests.support.name_server import NameServer, serving
from tests.support.processes import LOOPBACK
from tests.support.server import Server
from tests.support.waiting import wait_for

MTA, STRANGER = "127.0.0.7", "127.0.0.8"
RECORDS = {
    ("mx1.example.org.", "A"): [MTA],
    ("example.org.", "MX"): ["10 alias.example.org."],
    ("alias.example.org.", "CNAME"): ["mx1.example.org."],
    ("null.example.", "MX"): ["0 ."],
}
_SOON_S = 30.0


@pytest.fixture
def names() -> Iterator[NameServer]:
    with serving(NameServer(dict(RECORDS))) as running:
        yield running


def settings(names: NameServer, trusted: str) -> dict[str, object]:
    address = f"127.0.0.1:{names.address[1]}"
    return {"lmtp_trusted_ips": trusted, "lmtp_dns_server": address, "lmtp_dns": False}


def greeting(server: Server, source: str) -> Reply:
    connection = socket.create_connection(
        (LOOPBACK, server.port), timeout=_SOON_S, source_address=(source, 0)
    )
    with Client(connection) as client:
        return client.reply()


def refused(query: dns.message.Message) -> bytes:
    response = dns.message.make_response(query)
    response.set_rcode(dns.rcode.REFUSED)
    return response.to_wire()


def silent(_: dns.message.Message) -> None:
    return None


@pytest.mark.parametrize(
    "trusted", ["MX1.example.org.", "mx:example.org", "mx:null.example;mx1.example.org"]
)
def test_a_host_by_its_name(trusted: str, names: NameServer, tmp_path: Path) -> None:
    with Server(tmp_path, **settings(names, trusted)) as server:
        wait_for(lambda: greeting(server, MTA).code == 220, _SOON_S, "the name to be known")
        wait_for(lambda: greeting(server, STRANGER).code == 554, _SOON_S, "all to be known")
        line = f'not-trusted peer={STRANGER} reply="554 5.7.1 '
        wait_for(lambda: line in server.log, _SOON_S, "the line of the log")


def test_while_the_dns_fails_nobody_is_turned_away_for_good(
    names: NameServer, tmp_path: Path
) -> None:
    names.answer = refused
    trusted = settings(names, "mx1.example.org;127.0.0.1")
    with Server(tmp_path, lmtp_workers=1, **trusted) as server:
        assert greeting(server, LOOPBACK).code == 220
        for source in (MTA, STRANGER):
            reply = greeting(server, source)
            assert (reply.code, reply.text[:5]) == (421, "4.4.3")
        fails = "trusted-name-fails name=mx1.example.org cause="
        wait_for(lambda: fails in server.log, _SOON_S, "the line of the log")
        names.answer = names.truth
        wait_for(lambda: greeting(server, MTA).code == 220, _SOON_S, "the DNS to be asked again")
        answers = "trusted-name-answers name=mx1.example.org"
        wait_for(lambda: answers in server.log, _SOON_S, "the line of the log")
        assert greeting(server, STRANGER).code == 554
        assert server.log.count(fails) == server.log.count(answers) == 1


def test_a_silent_name_server_keeps_nobody_waiting(names: NameServer, tmp_path: Path) -> None:
    names.answer = silent
    with Server(tmp_path, **settings(names, "mx1.example.org;mx:example.org;127.0.0.1")) as server:
        wait_for(lambda: names.queries.total() >= 2, _SOON_S, "questions to be on their way")
        begun = time.monotonic()
        assert greeting(server, LOOPBACK).code == 220
        assert greeting(server, MTA).code == 421
        assert time.monotonic() - begun < 2


def test_check_config_tells_what_does_not_resolve(names: NameServer, tmp_path: Path) -> None:
    command = ["check-config", "--lmtp-maildir-root", str(tmp_path)]
    command += ["--lmtp-dns-server", f"127.0.0.1:{names.address[1]}", "--lmtp-trusted-ips"]
    trusted = "mx1.example.org;gone.example.org;mx:null.example;10.0.0.1"
    result = lmtpd(*command, trusted)
    assert result.returncode == 0
    assert result.stderr.splitlines() == [
        f"warning: lmtp-trusted-ips: {name} has no address, and so trusts nobody"
        for name in ("gone.example.org", "mx:null.example")
    ]
    names.answer = refused
    result = lmtpd(*command, trusted)
    assert result.returncode == 0
    assert result.stderr.count("cannot be resolved: NoNameservers: ") == 3
