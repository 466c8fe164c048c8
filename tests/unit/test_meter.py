"""What a worker counts, and what it tells of it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from lmtpd.meter import MOST_RECENT, MOST_REFUSED, Meter
from lmtpd.protocol import replies
from lmtpd.protocol.envelope import Peer
from lmtpd.recipients.guard import Health
from lmtpd.server.sampling import LONGEST, Sampler

PEER = Peer("192.0.2.1")


def happened(meter: Meter, event: str = "delivered", recipient: object = "a@x.org") -> None:
    meter.happened(event, "id", PEER, "s@x.org", recipient, replies.RESET)


def test_what_has_happened_is_told_once_and_counted_for_ever() -> None:
    meter = Meter(lambda: 7.0)
    happened(meter)
    happened(meter, "failed")
    recent, _ = meter.news()
    assert [one.event for one in recent] == ["delivered", "failed"]
    assert recent[0].seconds_since_1970 == 7.0
    assert meter.news() == ([], {})
    assert meter.outcomes == {"delivered": 1, "failed": 1}


def test_the_last_events_are_kept_and_no_more() -> None:
    meter = Meter()
    for number in range(MOST_RECENT + 5):
        happened(meter, recipient=number)
    recent, _ = meter.news()
    assert [one.recipient for one in recent] == [*range(5, MOST_RECENT + 5)]


def test_one_who_guesses_names_fills_no_memory() -> None:
    meter = Meter()
    for number in range(MOST_REFUSED + 5):
        meter.refused(number)
    meter.refused(0)
    _, refused = meter.news()
    assert len(refused) == MOST_REFUSED
    assert refused["0"] == 2


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    yield theirs, ours
    theirs.close()
    ours.close()


def sampler(feed: socket.socket, meter: Meter) -> Sampler:
    hook = Health("table", False, "ConnectionError: no", 2.0, 5, 3, 7, 1)
    return Sampler(feed, 1, meter, lambda: [hook], lambda: {"connections": 3})


def test_a_sample_says_everything(ends: tuple[socket.socket, socket.socket]) -> None:
    theirs, ours = ends
    meter = Meter()
    meter.delivery.add(0.5)
    meter.replies[250] += 2
    meter.refused("nobody@x.org")
    happened(meter, recipient="<script>\n\u202e")
    sampler(ours, meter).send()
    sample = json.loads(theirs.recv(1 << 20))
    assert sample["worker"] == 1
    assert sample["connections"] == 3
    assert sample["outcomes"] == {"delivered": 1}
    assert sample["replies"] == {"250": 2}
    assert sum(sample["histograms"]["delivery"]["counts"]) == 1
    assert sample["refused"] == {"nobody@x.org": 1}
    assert sample["hooks"][0]["cause"] == "ConnectionError: no"
    (recent,) = sample["recent"]
    assert recent["recipient"] == "<script>\n\u202e"
    assert recent["reply"] == str(replies.RESET)
    assert recent["peer"] == "192.0.2.1"


def test_nobody_waits_for_one_who_does_not_read(ends: tuple[socket.socket, socket.socket]) -> None:
    theirs, ours = ends
    meter = Meter()
    for _ in range(1000):
        sampler(ours, meter).send()
    theirs.close()
    sampler(ours, meter).send()


def test_news_that_are_too_long_for_a_datagram_are_left_out(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    theirs, ours = ends
    meter = Meter()
    for number in range(MOST_REFUSED):
        meter.refused(f"{number}{'𐍈' * 300}")
        happened(meter, recipient="𐍈" * 300)
    sampler(ours, meter).send()
    octets = theirs.recv(1 << 20)
    assert len(octets) <= LONGEST
    sample = json.loads(octets)
    assert sample["outcomes"] == {"delivered": MOST_REFUSED}
    assert sample["recent"] == []
