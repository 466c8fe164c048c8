"""Connections: kept after a good answer, closed after anything else, so many and no more."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lmtpd.recipients.connections import Connections


class GoneError(Exception):
    """The other side is no longer there."""


class Other:
    """The other side: connections are numbers."""

    def __init__(self, most: int = 2, wait_s: float = 60.0) -> None:
        self.numbers = itertools.count(1)
        self.closed: list[int] = []
        self.pool = Connections(
            lambda: next(self.numbers),
            self.closed.append,
            lambda error: isinstance(error, GoneError),
            most,
            wait_s,
        )


def fail(error: BaseException) -> int:
    raise error


def test_a_connection_is_used_again() -> None:
    other = Other()
    assert [other.pool.ask(lambda one: one) for _ in range(3)] == [1, 1, 1]
    assert other.closed == []


@pytest.mark.parametrize("kind", [ValueError, GoneError, KeyboardInterrupt])
def test_one_on_which_anything_went_wrong_is_not(kind: type[BaseException]) -> None:
    other = Other()
    with pytest.raises(kind):
        other.pool.ask(lambda _: fail(kind()))
    assert other.closed == [1]
    assert other.pool.ask(lambda one: one) == 2


def test_an_idle_one_that_was_lost_is_replaced_once() -> None:
    other = Other()
    other.pool.ask(lambda one: one)
    assert other.pool.ask(lambda one: fail(GoneError()) if one == 1 else one) == 2
    assert other.closed == [1]
    with pytest.raises(GoneError):
        other.pool.ask(lambda _: fail(GoneError()))
    assert other.closed == [1, 2, 3]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_other_misfortunes_are_not_tried_again(kind: type[BaseException]) -> None:
    other = Other()
    other.pool.ask(lambda one: one)
    with pytest.raises(kind):
        other.pool.ask(lambda _: fail(kind()))
    assert other.closed == [1]
    assert other.pool.ask(lambda one: one) == 2


def test_no_connection_is_shared_and_there_are_no_more() -> None:
    other = Other()
    both = threading.Barrier(2, timeout=60)

    def meet(one: int) -> int:
        both.wait()
        return one

    with ThreadPoolExecutor(8) as threads:
        seen = list(threads.map(lambda _: other.pool.ask(meet), range(8)))
    assert {*seen} == {1, 2}


def test_who_waits_too_long_is_told() -> None:
    other = Other(most=1, wait_s=0.01)
    with pytest.raises(TimeoutError, match=r"1 connections were busy for 0\.01 s"):
        other.pool.ask(lambda _: other.pool.ask(lambda one: one))
    assert other.pool.ask(lambda one: one) == 2
