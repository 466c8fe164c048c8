"""What an envelope's parts are called in the log."""

from __future__ import annotations

import pytest

from lmtpd.protocol.envelope import Peer


@pytest.mark.parametrize(
    ("peer", "told"),
    [
        (Peer("192.0.2.1", 25), "192.0.2.1"),
        (Peer(""), "local"),
        (Peer("", user="104"), "local:104"),
    ],
)
def test_a_peer_is_its_address(peer: Peer, told: str) -> None:
    assert str(peer) == told
