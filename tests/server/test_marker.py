"""A store whose marker goes while the server runs: mail waits, and comes when it is back."""

from __future__ import annotations

import itertools
from pathlib import Path

from tests.support.client import Client
from tests.support.server import Server

MARKER = ".lmtpd-store"


def test_without_its_marker_nothing_is_taken(tmp_path: Path) -> None:
    numbers = itertools.count()
    (tmp_path / "maildirs").mkdir()
    marker = tmp_path / "maildirs" / MARKER
    marker.touch()
    with Server(tmp_path, lmtp_maildir_marker=MARKER) as server:

        def offered() -> int:
            """Each time to another, of whom nothing is remembered."""
            address = f"user{next(numbers)}@example.org"
            server.mailbox(address)
            with Client.tcp(server.port) as client:
                assert client.reply().code == 220
                for command in ("LHLO client.example", "MAIL FROM:<>"):
                    assert client.command(command).code == 250
                return client.command(f"RCPT TO:<{address}>").code

        assert offered() == 250
        marker.unlink()
        assert offered() == 451
        marker.touch()
        assert offered() == 250
