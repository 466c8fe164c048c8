"""Pool: connections are kept after a good answer, closed after any other, so many and no more."""

from __future__ import annotations

import gc
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lmtpd.recipients.pool import Pool


class Numbered:
    """A connection that is a number."""

    is_spent = False

    def __init__(self, number: int, closed: list[int]) -> None:
        self.number = number
        self._closed = closed

    def close(self) -> None:
        self._closed.append(self.number)


class Other:
    """The other side."""

    def __init__(self, most: int = 2, wait_s: float = 60.0) -> None:
        numbers = itertools.count(1)
        self.closed: list[int] = []
        self.pool = Pool(lambda: Numbered(next(numbers), self.closed), wait_s, most)

    def ask(self) -> int:
        """The connection that is used."""
        return self.pool.ask(number_of)


def number_of(one: Numbered) -> int:
    return one.number


def fail(error: BaseException) -> int:
    raise error


def test_a_connection_is_used_again() -> None:
    other = Other()
    assert [other.ask() for _ in range(3)] == [1, 1, 1]
    assert other.closed == []


def test_one_that_is_spent_is_not() -> None:
    other = Other()

    def spend(one: Numbered) -> int:
        one.is_spent = True
        return one.number

    assert [other.pool.ask(spend), other.ask()] == [1, 2]
    assert other.closed == [1]


@pytest.mark.parametrize("kind", [ValueError, TimeoutError, ConnectionError, KeyboardInterrupt])
def test_one_on_which_anything_went_wrong_is_not(kind: type[BaseException]) -> None:
    other = Other()
    with pytest.raises(kind):
        other.pool.ask(lambda _: fail(kind()))
    assert other.closed == [1]
    assert other.ask() == 2


def test_an_idle_one_that_was_lost_is_replaced_once() -> None:
    other = Other()
    other.ask()
    lost = ConnectionResetError()
    assert other.pool.ask(lambda one: fail(lost) if one.number == 1 else one.number) == 2
    assert other.closed == [1]
    with pytest.raises(ConnectionResetError):
        other.pool.ask(lambda _: fail(lost))
    assert other.closed == [1, 2, 3]


@pytest.mark.parametrize("kind", [ValueError, TimeoutError, KeyboardInterrupt])
def test_other_misfortunes_are_not_tried_again(kind: type[BaseException]) -> None:
    other = Other()
    other.ask()
    with pytest.raises(kind):
        other.pool.ask(lambda _: fail(kind()))
    assert other.closed == [1]
    assert other.ask() == 2


def test_no_connection_is_shared_and_there_are_no_more() -> None:
    other = Other()
    both = threading.Barrier(2, timeout=60)

    def meet(one: Numbered) -> int:
        both.wait()
        return one.number

    with ThreadPoolExecutor(8) as threads:
        seen = list(threads.map(lambda _: other.pool.ask(meet), range(8)))
    assert {*seen} == {1, 2}


def test_who_waits_too_long_is_told() -> None:
    other = Other(most=1, wait_s=0.01)
    with pytest.raises(TimeoutError, match=r"1 connections were busy for 0\.01 s"):
        other.pool.ask(lambda _: other.ask())
    assert other.ask() == 2


def test_with_the_pool_its_connections_end() -> None:
    other = Other()
    other.ask()
    closed = other.closed
    del other
    gc.collect()
    assert closed == [1]
