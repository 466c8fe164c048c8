"""Places: who has waited longest is next, and no place is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from lmtpd.recipients.places import Places
from tests.support.waiting import wait_for

_LONG_S = 60.0


class Stop(BaseException):
    """What ends a wait from outside, as a greenlet's time-out does."""


@pytest.fixture
def alarm() -> Iterator[None]:
    previous = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


def is_free(places: Places) -> bool:
    try:
        with places.taken(0):
            return True
    except TimeoutError:
        return False


def test_there_are_so_many() -> None:
    places = Places(2)
    with places.taken(0):
        with places.taken(0):
            assert not is_free(places)
        assert is_free(places)


def test_an_error_gives_the_place_back() -> None:
    places = Places(1)
    with pytest.raises(ValueError, match="x"), places.taken(0):
        raise ValueError("x")
    assert is_free(places)


def test_who_comes_again_comes_last() -> None:
    places, order = Places(1), list[int]()

    def come(number: int) -> None:
        with places.taken(_LONG_S):
            order.append(number)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(3)]
    with places.taken(0):
        for number, thread in enumerate(threads, 1):
            thread.start()
            wait_for(lambda: len(places._waiting) == number, _LONG_S, "one more who waits")  # noqa: B023
    come(3)  # at once: others are not awake yet
    for thread in threads:
        thread.join(_LONG_S)
    assert order == [0, 1, 2, 3]


@pytest.mark.usefixtures("alarm")
def test_who_is_thrown_out_waits_no_more() -> None:
    def stop(_: int, __: FrameType | None) -> None:
        raise Stop

    signal.signal(signal.SIGALRM, stop)
    places = Places(1)
    with places.taken(0):
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(Stop), places.taken(_LONG_S):
            pytest.fail("there is no place")
    assert is_free(places)


@pytest.mark.usefixtures("alarm")
def test_who_is_thrown_out_when_his_turn_comes_passes_it_on() -> None:
    places = Places(1)
    first = places.taken(0)
    first.__enter__()

    def leave_and_stop(_: int, __: FrameType | None) -> None:
        first.__exit__(None, None, None)
        raise Stop

    signal.signal(signal.SIGALRM, leave_and_stop)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    with pytest.raises(Stop), places.taken(_LONG_S):
        pytest.fail("he was thrown out")
    assert is_free(places)
