"""How long a session waits: for the next octet, and for what it belongs to."""

from __future__ import annotations

import pytest

from lmtpd.patience import Patience
from lmtpd.protocol import replies
from lmtpd.protocol.limits import Limits

LIMITS = Limits(idle_s=10.0, command_s=25.0, data_s=100.0, transaction_s=150.0)


class Client:
    """A clock, and what the client is at."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.patience = Patience(LIMITS, lambda: self.now)

    def left_s(self, *, content: bool = False, transaction: bool = False) -> float:
        return self.patience.left_s(is_in_content=content, is_in_transaction=transaction)

    def drips(self, seconds: float, *, content: bool = False, transaction: bool = False) -> None:
        """An octet every nine seconds, for so long."""
        for _ in range(int(seconds // 9)):
            assert self.left_s(content=content, transaction=transaction) > 0
            self.now += 9


def test_silence() -> None:
    client = Client()
    assert client.left_s() == 10.0
    assert client.patience.last_words is replies.IDLE


def test_a_command_that_comes_by_octets() -> None:
    client = Client()
    client.drips(18)
    assert client.left_s() == 7.0
    assert client.patience.last_words is replies.TOO_SLOW
    client.now += 7
    with pytest.raises(TimeoutError):
        client.left_s()
    assert client.patience.last_words is replies.TOO_SLOW


def test_the_next_command_has_all_the_time_again() -> None:
    client = Client()
    for _ in range(10):
        client.drips(18)
        client.patience.restart()
    assert client.left_s() == 10.0


def test_the_text_has_more_time_and_an_end() -> None:
    client = Client()
    client.drips(18)
    client.drips(99, content=True)
    assert client.left_s(content=True) == 1.0
    client.now += 1
    with pytest.raises(TimeoutError):
        client.left_s(content=True)


def test_a_client_that_always_says_something_is_not_waited_for_either() -> None:
    """Its octets are there, but the command or the text that they belong to never ends."""
    client = Client()
    assert client.left_s() == 10.0
    client.now += 25
    with pytest.raises(TimeoutError):
        client.left_s()


def test_a_transaction_of_many_commands_has_an_end() -> None:
    client = Client()
    for _ in range(7):
        client.drips(18, transaction=True)
        client.patience.restart()
    client.now += 9
    client.drips(9, content=True, transaction=True)
    assert client.left_s(content=True, transaction=True) == 6.0
    client.now += 6
    with pytest.raises(TimeoutError):
        client.left_s(content=True, transaction=True)
    client.patience.restart()
    assert client.left_s() == 10.0
    client.patience.restart()
    assert client.left_s(transaction=True) == 10.0, "the next one has all the time again"
