"""Which workers there are, and what is said of those that are not."""

from __future__ import annotations

from typing import Any

from lmtpd.status.roster import ALIVE_SECONDS, Standing, Worker, roster

_LONG = 100.0


def heard(number: int, pid: int, age: float = 0.5, started: float = 1.0) -> tuple[float, Any]:
    return age, {"worker": number, "pid": pid, "started": started}


def seen(*samples: tuple[float, Any], there: tuple[int, ...] = ()) -> list[Worker]:
    return [*roster(2, samples, _LONG, there.__contains__)]


def standings(*samples: tuple[float, Any], there: tuple[int, ...] = ()) -> list[tuple[int, str]]:
    return [(one.index, str(one.standing)) for one in seen(*samples, there=there)]


def test_all_work() -> None:
    assert standings(heard(0, 10), heard(1, 11)) == [(0, "working"), (1, "working")]


def test_one_that_tells_nothing_hangs_while_its_process_is_there() -> None:
    found = standings(heard(0, 10), heard(1, 11, ALIVE_SECONDS), there=(11,))
    assert found == [(0, "working"), (1, "silent")]
    (worker,) = [one for one in seen(heard(0, 10), heard(1, 11, 12.0), there=(11,)) if one.index]
    assert worker.trouble() == "worker 1 (process 11) has told nothing for 12 s: it hangs"


def test_one_whose_process_is_gone_is_missing() -> None:
    assert standings(heard(0, 10), heard(1, 11, _LONG)) == [(0, "working"), (1, "missing")]


def test_one_that_never_told_anything_is_missing_after_a_moment() -> None:
    assert standings(heard(0, 10)) == [(0, "working"), (1, "missing")]
    (_, worker) = seen(heard(0, 10))
    assert worker.trouble() == "worker 1 is missing for 2 min: the log says why it ended"
    assert [*roster(2, [], ALIVE_SECONDS - 1, bool)] == []


def test_behind_a_reload_the_old_ones_drain() -> None:
    found = standings(heard(0, 20, started=2.0), heard(1, 21, started=2.0), heard(1, 11))
    assert found == [(0, "working"), (1, "working"), (1, "draining")]
    fewer = standings(heard(0, 20), heard(1, 21), heard(2, 12), heard(2, 2, started=2.0))
    assert fewer[2:] == [(2, "draining"), (2, "draining")]


def test_an_old_one_that_is_done_is_no_trouble() -> None:
    samples = heard(0, 20, started=2.0), heard(0, 10, _LONG), heard(1, 11)
    assert standings(*samples, there=(10,)) == [(0, "working"), (1, "working")]


def test_a_new_one_that_dies_is_missed_while_the_old_one_drains() -> None:
    found = standings(heard(0, 20, _LONG, started=2.0), heard(0, 10), heard(1, 11))
    assert found == [(0, "missing"), (1, "working"), (0, "draining")]


def test_only_what_is_wrong_is_a_trouble() -> None:
    for standing in (Standing.WORKING, Standing.DRAINING):
        assert Worker(0, standing).trouble() is None
