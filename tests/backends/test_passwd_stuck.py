"""A home that hangs, as one on NFS whose server is gone: all other homes get their mail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.homes import DELIVERED, Site, deliver, settings
from tests.support.messages import as_stored
from tests.support.server import Server
from tests.support.strict_load import message
from tests.support.waiting import wait_for

_SOON_S = 20.0


@pytest.mark.parametrize("call", ["create", "sync"])
def test_a_home_that_hangs_stops_no_other(call: str, site: Site) -> None:
    file = site.folder / "hangs"
    program = ("-m", "tests.support.hanging", call, str(site.alice.maildir), str(file))
    everybody = (site.alice.address, site.bob.address, "carol@example.org")
    with Server(site.vmail.home, program=program, **settings(lmtp_mailbox_patience=2)) as server:
        carol = server.mailbox("carol@example.org")
        try:
            assert deliver(server, *everybody) == [DELIVERED] * 3
            file.touch()
            content = message("hangs")
            found = deliver(server, *everybody, content=content)
            assert found == ["450 4.2.0", DELIVERED, DELIVERED]
            assert deliver(server, *everybody, content=message("at RCPT")) == found
        finally:
            file.unlink()
        wait_for(lambda: "mailbox-answers" in server.log, _SOON_S, "the thread to come back")
        assert deliver(server, *everybody, content=message("after")) == [DELIVERED] * 3
    assert len(site.alice.messages()) == 2
    assert len(site.bob.messages()) == 4
    for folder in (site.alice.maildir, site.bob.maildir, Path(carol)):
        assert list((folder / "tmp").iterdir()) == []
    assert not any(one.read_bytes().endswith(as_stored(content)) for one in site.alice.messages())
    assert {one.stat().st_uid for one in site.alice.messages()} == {site.alice.uid}
