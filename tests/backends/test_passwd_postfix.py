"""Postfix in front of users' homes: what is not there yet is waited for, and nothing bounces."""

from __future__ import annotations

from tests.support.homes import Site, root_server
from tests.support.messages import as_stored
from tests.support.mta import HEADER, SENDER, offer
from tests.support.postfix import Postfix

MESSAGE = HEADER + b"for a home that is away\r\n"


def test_mail_waits_for_a_home(site: Site) -> None:
    away = site.folder / "away"
    with root_server(site) as server, Postfix(server.port) as mta:
        with mta.client() as client:
            mta.open(client, [site.alice.address])
            site.alice.home.rename(away)
            mta.finish(client, MESSAGE)
        mta.wait_until_deferred()
        assert mta.waiting() == 1
        away.rename(site.alice.home)
        mta.drain()
        assert server.messages(SENDER) == []
    (file,) = site.alice.messages()
    assert file.read_bytes().endswith(as_stored(MESSAGE))
    assert file.stat().st_uid == site.alice.uid


def test_what_is_said_at_smtp_time(site: Site) -> None:
    site.bob.home.rmdir()
    with root_server(site) as server, Postfix(server.port) as mta, mta.client() as client:
        everybody = [site.alice.address, site.bob.address, "daemon@example.org"]
        there, away, system = offer(client, everybody)
    assert (there.code, away.code, system.code) == (250, 450, 550)
    assert "550 5.1.1 <daemon@example.org>" in system.text
    assert not list(site.alice.home.iterdir())
