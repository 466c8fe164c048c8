"""The breaker: when a back-end is down, and how it is tried again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lmtpd.recipients.breaker import Breaker, Ticket


def opened(faults: int = 3, longest_pause_s: float = 10.0) -> Breaker:
    """One that opened at second 100."""
    breaker = Breaker(faults, longest_pause_s, trial_s=5.0)
    results = [breaker.failed(admitted(breaker, 100.0), 100.0, "down") for _ in range(faults)]
    assert results == [False] * (faults - 1) + [True]
    return breaker


def admitted(breaker: Breaker, now: float) -> Ticket:
    ticket = breaker.admit(now)
    assert ticket is not None
    return ticket


def test_so_many_faults_in_a_row_open_it() -> None:
    breaker = Breaker(2, 10.0, 5.0)
    assert not breaker.failed(admitted(breaker, 1.0), 1.0, "first")
    assert not breaker.answered(admitted(breaker, 2.0))
    assert not breaker.failed(admitted(breaker, 3.0), 3.0, "second")
    assert not breaker.is_open
    assert breaker.failed(admitted(breaker, 4.0), 4.0, "third")
    assert breaker.is_open
    assert (breaker.since, breaker.cause, breaker.next_trial) == (4.0, "third", 5.0)


def test_while_it_is_open_nothing_goes_through() -> None:
    breaker = opened()
    assert breaker.admit(100.0) is None
    assert breaker.admit(100.9) is None


def test_one_question_at_a_time_tries() -> None:
    breaker = opened()
    trial = admitted(breaker, 101.0)
    assert breaker.admit(101.0) is None
    assert breaker.admit(105.9) is None
    assert breaker.answered(trial)
    assert not breaker.is_open
    assert admitted(breaker, 106.0) == admitted(breaker, 106.0)


def test_after_the_trial_it_takes_as_many_faults_again() -> None:
    breaker = opened()
    breaker.answered(admitted(breaker, 101.0))
    assert not breaker.failed(admitted(breaker, 102.0), 102.0, "x")
    assert not breaker.failed(admitted(breaker, 102.0), 102.0, "x")
    assert breaker.failed(admitted(breaker, 102.0), 102.0, "x")
    assert breaker.next_trial == 103.0


def test_the_pause_doubles_up_to_a_bound() -> None:
    breaker, now, pauses = opened(longest_pause_s=10.0), 100.0, []
    for _ in range(6):
        pauses.append(breaker.next_trial - now)
        now = breaker.next_trial
        assert not breaker.failed(admitted(breaker, now), now, "still")
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert (breaker.since, breaker.cause) == (100.0, "still")


def test_a_trial_that_never_comes_back_blocks_nobody() -> None:
    breaker = opened()
    lost = admitted(breaker, 101.0)
    trial = admitted(breaker, 106.0)
    assert not breaker.answered(lost)
    assert breaker.is_open
    assert breaker.answered(trial)


def test_questions_from_before_it_opened_change_nothing() -> None:
    breaker = Breaker(2, 10.0, 5.0)
    tickets = [admitted(breaker, 100.0) for _ in range(10)]
    results = [breaker.failed(ticket, 100.0, "down") for ticket in tickets[:8]]
    assert results == [False, True, *[False] * 6]
    assert breaker.next_trial == 101.0
    trial = admitted(breaker, 101.0)
    assert not breaker.failed(tickets[8], 101.5, "late")
    assert not breaker.answered(tickets[9])
    assert breaker.admit(105.0) is None
    assert breaker.answered(trial)


@given(st.lists(st.tuples(st.sampled_from("aafff-"), st.floats(0, 20))))
def test_a_mended_back_end_is_asked_again_in_bounded_time(steps: list[tuple[str, float]]) -> None:
    breaker, now = Breaker(2, 10.0, 5.0), 0.0
    for step, pause in steps:
        now += pause
        ticket = breaker.admit(now)
        if ticket is not None and step == "a":
            breaker.answered(ticket)
            assert not breaker.is_open
        elif ticket is not None and step == "f":
            breaker.failed(ticket, now, "down")
        assert breaker.next_trial <= now + 10.0
    breaker.answered(admitted(breaker, now + 10.0))
    assert not breaker.is_open
