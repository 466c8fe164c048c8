"""What the workers tell, added up: nothing counted twice, nothing lost with a worker that ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lmtpd.histogram import SECONDS, SIZES
from lmtpd.status.history import MOST_RECENT, SLOT_SECONDS, SLOTS
from lmtpd.status.samples import ALIVE_SECONDS, Samples


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.set_by = 0.0

    def __call__(self) -> float:
        return self.now

    def ticks(self) -> float:
        return self.now - self.set_by


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def samples(clock: Clock) -> Samples:
    return Samples(clock, clock.ticks)


def sample(worker: int = 0, pid: int = 10, delivered: int = 0, **more: Any) -> dict[str, Any]:
    counts = [0] * (len(SECONDS) + 1)
    counts[3] = delivered
    seconds = {"counts": counts, "total": 0.1 * delivered}
    return {
        "worker": worker,
        "pid": pid,
        "started": 1_000_000.0,
        "outcomes": {"delivered": delivered},
        "replies": {"250": 3 * delivered},
        "histograms": {
            "delivery": seconds,
            "verification": seconds,
            "disk": seconds,
            "group": {"counts": [delivered] + [0] * len(SIZES), "total": delivered},
        },
        "hooks": [hook()],
        "recent": [],
        "refused": {},
        **more,
    }


def hook(**more: Any) -> dict[str, Any]:
    return {
        "name": "table",
        "is_up": True,
        "cause": "",
        "down_seconds": 0.0,
        "asked": 1,
        "faults": 0,
        "hits": 2,
        "remembered": 1,
        **more,
    }


def delivered(samples: Samples) -> list[int]:
    slots: Any = samples.told()["slots"]
    return [slot["delivered"] for slot in slots]


def test_counts_are_those_of_all_workers(samples: Samples) -> None:
    samples.take(sample(0, 10, 5))
    samples.take(sample(1, 11, 7))
    samples.take(sample(0, 10, 6))
    assert samples.counted("outcomes") == {"delivered": 13}
    assert samples.counted("replies") == {"250": 39}
    counts, total = samples.histogram("delivery")
    assert sum(counts) == 13
    assert total == pytest.approx(1.3)


def test_what_a_worker_did_stays_when_it_is_gone(samples: Samples, clock: Clock) -> None:
    samples.take(sample(0, 10, 5))
    clock.now += ALIVE_SECONDS
    samples.take(sample(0, 12, 1))
    assert samples.counted("outcomes") == {"delivered": 6}
    assert [one["pid"] for one in samples.alive()] == [12]


def test_an_old_worker_that_drains_beside_the_new_one_is_counted(samples: Samples) -> None:
    samples.take(sample(0, 10, 5))
    samples.take(sample(0, 20, 1, started=1_000_100.0))
    samples.take(sample(0, 10, 7))
    samples.take(sample(0, 20, 2, started=1_000_100.0))
    assert samples.counted("outcomes") == {"delivered": 9}
    assert [one["pid"] for one in samples.alive()] == [10, 20]
    assert sum(delivered(samples)) == 9


def test_a_process_id_that_comes_again_is_another_worker(samples: Samples) -> None:
    samples.take(sample(0, 10, 5))
    samples.take(sample(0, 10, 1, started=1_000_100.0))
    assert samples.counted("outcomes") == {"delivered": 6}


def test_a_clock_that_is_put_forward_silences_nobody(samples: Samples, clock: Clock) -> None:
    samples.take(sample())
    clock.now += 3600
    clock.set_by += 3600
    assert samples.alive()


def test_a_thousand_workers_that_die_fill_no_memory(samples: Samples, clock: Clock) -> None:
    samples.take(sample(1, 2000, 5))  # silent from here on, and nobody has come in its place
    for pid in range(1000):
        clock.now += 0.01
        started = 1_000_000.0 + pid
        samples.take(sample(0, pid, 2, hooks=[hook(asked=1)], started=started))
    assert len(samples.heard()) < 300
    samples.take(sample(1, 2000, 5))
    assert samples.counted("outcomes") == {"delivered": 2005}
    samples.take(sample(1, 2000, 0, started=1_000_001.0))
    assert sum(samples.histogram("group")[0]) == 2005
    assert samples.counted("replies") == {"250": 6015}
    assert samples.hook_counts()[0]["asked"] == 1002


def test_a_slot_has_what_happened_in_its_time(samples: Samples, clock: Clock) -> None:
    samples.take(sample(delivered=5))
    samples.take(sample(delivered=7))
    clock.now += 2 * SLOT_SECONDS
    samples.take(sample(delivered=8))
    slots = delivered(samples)
    assert len(slots) == SLOTS
    assert slots[-3:] == [7, 0, 1]
    clock.now += SLOT_SECONDS * SLOTS
    assert sum(delivered(samples)) == 0
    assert samples.told()["latency"] == {"delivery": None, "verification": None, "disk": None}


def test_a_clock_that_is_set_back_breaks_nothing(samples: Samples, clock: Clock) -> None:
    samples.take(sample(delivered=5))
    clock.now -= 10 * SLOT_SECONDS
    clock.set_by -= 10 * SLOT_SECONDS
    samples.take(sample(delivered=6))
    clock.now += 10 * SLOT_SECONDS
    clock.set_by = 0.0
    assert sum(delivered(samples)) == 6


def test_what_was_done_before_we_began_is_counted_and_is_not_of_now(samples: Samples) -> None:
    samples.take(sample(delivered=1000, started=900_000.0))
    assert samples.counted("outcomes") == {"delivered": 1000}
    assert sum(delivered(samples)) == 0
    samples.take(sample(delivered=1001, started=900_000.0))
    assert sum(delivered(samples)) == 1


def test_latencies(samples: Samples) -> None:
    samples.take(sample(delivered=4))
    latency: Any = samples.told()["latency"]
    assert SECONDS[2] < latency["delivery"]["p50"] <= latency["delivery"]["p99"] <= SECONDS[3]


def test_the_last_events_are_in_their_order(samples: Samples) -> None:
    samples.take(sample(recent=[{"time": 3.0}, {"time": 1.0}]))
    samples.take(sample(1, 11, recent=[{"time": 2.0}]))
    assert samples.told()["last"] == [{"time": 3.0}, {"time": 2.0}, {"time": 1.0}]
    samples.take(sample(recent=[{"time": float(number)} for number in range(100)]))
    last: Any = samples.told()["last"]
    assert len(last) == MOST_RECENT


def test_the_most_refused_of_the_hour(samples: Samples, clock: Clock) -> None:
    samples.take(sample(refused={f"{number}@x.org": number for number in range(1, 1500)}))
    clock.now += SLOT_SECONDS
    samples.take(sample(refused={"1@x.org": 10_000}))
    told: Any = samples.told()["most_refused"]
    assert told[0] == {"recipient": "1@x.org", "count": 10_001}
    assert len(told) == 10


def test_a_successor_goes_on_where_the_one_before_ended(samples: Samples, clock: Clock) -> None:
    samples.take(sample(0, 10, 5, recent=[{"time": 1.0}], refused={"x@x.org": 3}))
    for pid in range(100, 400):
        samples.take(sample(1, pid, 1, started=1_000_000.0 + pid))
    clock.now += 2 * SLOT_SECONDS
    successor = Samples(clock, clock.ticks)
    successor.restore(json.loads(json.dumps(samples.kept())))
    assert successor.counted("outcomes") == samples.counted("outcomes") == {"delivered": 305}
    assert successor.told() == samples.told()
    assert successor.started == samples.started
    assert successor.heard() == samples.heard()
    successor.take(sample(0, 10, 9))
    assert successor.counted("outcomes") == {"delivered": 309}
    assert delivered(successor)[-3:] == [305, 0, 4], "what was done meanwhile is of now"


def test_a_hook_is_down_where_one_worker_holds_it_for_down(samples: Samples, clock: Clock) -> None:
    down = hook(is_up=False, cause="refused", down_seconds=4.0, faults=5)
    samples.take(sample(0, 10))
    samples.take(sample(1, 11, hooks=[down]))
    (found,) = samples.hooks()
    assert found["asked"] == 2
    assert found["faults"] == 5
    assert found["hits"] == 4
    assert not found["is_up"]
    assert found["cause"] == "refused"
    clock.now += 2 * ALIVE_SECONDS
    samples.take(sample(0, 10))
    (found,) = samples.hooks()
    assert found["is_up"]
    assert found["faults"] == 5, "a count never falls, whoever is gone"


def test_a_hook_that_a_reload_took_away_goes_with_its_last_worker(
    samples: Samples, clock: Clock
) -> None:
    samples.take(sample(0, 10, hooks=[hook(), hook(name="ldap")]))
    samples.take(sample(0, 11, started=1_000_001.0))
    assert [one["name"] for one in samples.hooks()] == ["table", "ldap"]
    clock.now += ALIVE_SECONDS
    assert [one["name"] for one in samples.hooks()] == ["table", "ldap"], "nobody is alive"
    samples.take(sample(0, 11, started=1_000_001.0))
    assert [one["name"] for one in samples.hooks()] == ["table"]
    assert [one["name"] for one in samples.hook_counts()] == ["table", "ldap"]
