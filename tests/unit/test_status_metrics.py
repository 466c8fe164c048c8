"""Metrics while a reload has two workers of one number, and for those who know OpenMetrics."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lmtpd import config, wiring
from lmtpd.status.metrics import exposition
from lmtpd.status.samples import Samples
from lmtpd.status.state import State
from tests.unit.test_status_samples import Clock, hook, sample

_GAUGES = {
    "connections": 3,
    "waiting": 1,
    "memory_held": 100,
    "threads_busy": {"disk": 1, "hooks": 2},
    "threads_most": {"disk": 8, "hooks": 16},
    "certificates": [],
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def samples(clock: Clock) -> Samples:
    return Samples(clock, clock.ticks)


@pytest.fixture
def state(samples: Samples, tmp_path: Path) -> State:
    settings = config.load(None, {}, {"lmtp-maildir-root": str(tmp_path), "lmtp-workers": "1"})
    return State(settings, wiring.tree(settings), samples)


def figures(state: State) -> dict[str, float]:
    """All samples by their name and labels; each comes once."""
    families = text_string_to_metric_families(exposition(state, "")[0].decode())
    found = [(_name(one.name, one.labels), one.value) for each in families for one in each.samples]
    assert max(Counter(name for name, _ in found).values()) == 1, "Prometheus refuses all of it"
    return dict(found)


def of(told: State, name: str, /, **labels: str) -> float:
    return figures(told)[_name(name, labels)]


def _name(name: str, labels: dict[str, str]) -> str:
    return f"{name}{sorted(labels.items())}"


def test_what_drains_is_added_to_its_successor(
    state: State, samples: Samples, clock: Clock
) -> None:
    samples.take(sample(0, 10, 5, **_GAUGES))
    samples.take(sample(0, 20, 1, **_GAUGES, started=1_000_100.0))
    assert of(state, "lmtpd_connections", worker="0") == 6
    assert of(state, "lmtpd_threads_busy", worker="0", pool="hooks") == 4
    assert of(state, "lmtpd_threads_limit", worker="0", pool="disk") == 16
    assert of(state, "lmtpd_worker_start_time_seconds", worker="0") == 1_000_100
    assert of(state, "lmtpd_workers", state="working") == 1
    assert of(state, "lmtpd_workers", state="draining") == 1
    assert of(state, "lmtpd_recipients_total", outcome="delivered") == 6
    clock.now += 10
    samples.take(sample(0, 20, 2, **_GAUGES, started=1_000_100.0))
    assert of(state, "lmtpd_connections", worker="0") == 3
    assert of(state, "lmtpd_workers", state="draining") == 0
    assert of(state, "lmtpd_recipients_total", outcome="delivered") == 7


def test_no_counter_ever_falls(state: State, samples: Samples, clock: Clock) -> None:
    seen: dict[str, float] = {}
    for pid in range(400):
        clock.now += 1.0
        hooks = [hook(name="table"), *([hook(name="ldap")] if pid < 200 else [])]
        samples.take(sample(pid % 2, pid, pid % 7, hooks=hooks, **_GAUGES, started=clock.now))
        if pid % 20 == 0:
            now = figures(state)
            counts = {name: now.get(name, -1.0) for name in seen if "_total" in name}
            assert all(counts[name] >= seen[name] for name in counts)
            seen = now
    assert samples.counted("outcomes")["delivered"] == sum(pid % 7 for pid in range(400))
