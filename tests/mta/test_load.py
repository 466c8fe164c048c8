"""Much mail at once, and how long a message takes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.mta import DOMAIN, SENDER, Mta
from tests.support.mtas import mtas
from tests.support.server import Server
from tests.support.sniffer import Segment, Sniffer

HEADER = b"From: Sender <sender@example.org>\r\nSubject: One of many\r\n\r\n"
_CONNECTIONS = 10
_EACH = 50
_MESSAGES = 9
_DELAYED_ACK_S = 0.030


@mtas()
def test_five_hundred_messages_over_ten_connections_arrive_once(server: Server, mta: Mta) -> None:
    recipients = [f"user{number}@{DOMAIN}" for number in range(_CONNECTIONS)]
    for recipient in recipients:
        server.mailbox(recipient)

    def send_all(recipient: str) -> None:
        with mta.client() as client:
            for number in range(_EACH):
                mta.open(client, [recipient])
                mta.finish(client, HEADER + b"message %d\r\n" % number)

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        list(pool.map(send_all, recipients))
    mta.wait_until_empty()
    for recipient in recipients:
        last_lines = sorted(one.splitlines()[-1] for one in server.messages(recipient))
        assert last_lines == sorted(b"message %d" % number for number in range(_EACH))
    assert server.messages(SENDER) == []


def from_354_to_the_end(segments: list[Segment]) -> list[float]:
    """For each message the time from 354, or the chunk, to the final reply."""
    times = []
    for client in {segment.client_port for segment in segments}:
        begun = 0.0
        for segment in segments:
            if segment.client_port != client:
                continue
            if segment.is_from_server and b"Delivered, id" in segment.text:
                times.append(segment.seconds - begun)
            elif b"354 " in segment.text or b"BDAT " in segment.text:
                begun = segment.seconds
    return times


@mtas()
@pytest.mark.parametrize("lines", [3, 400])
def test_no_message_waits_for_a_delayed_acknowledgement(
    server: Server, mta: Mta, lines: int
) -> None:
    recipient = f"alice@{DOMAIN}"
    server.mailbox(recipient)
    message = HEADER + b"one line of a short message\r\n" * lines
    with Sniffer(server.port) as sniffer:
        for _ in range(_MESSAGES):
            mta.submit([recipient], message)
            mta.wait_until_empty()
    times = from_354_to_the_end(sniffer.segments)
    assert len(times) == _MESSAGES
    # A delayed ACK would hold back every one of them; a busy machine does so with many.
    assert min(times) < _DELAYED_ACK_S
