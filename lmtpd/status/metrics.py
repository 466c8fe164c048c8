"""Metrics: the samples in the words of Prometheus. Import it where somebody asks for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder

from .. import __version__
from ..histogram import SECONDS, SIZES
from .roster import Sample, Standing
from .state import State

_HISTOGRAMS = (
    ("delivery", "lmtpd_delivery_seconds", "From the final dot to its replies.", SECONDS),
    ("verification", "lmtpd_verification_seconds", "What a RCPT waited for its verdict.", SECONDS),
    ("disk", "lmtpd_commit_seconds", "To make a group durable and visible.", SECONDS),
    ("group", "lmtpd_commit_copies", "Copies that were made durable together.", SIZES),
)
_GAUGES = (
    ("connections", "lmtpd_connections", "Connections that are open."),
    ("waiting", "lmtpd_waiting_messages", "Messages that wait for their delivery."),
    ("memory_held", "lmtpd_message_memory_bytes", "What messages under way hold in memory."),
)


def exposition(state: State, accept: str) -> tuple[bytes, str]:
    """What /metrics answers: the text and its media type.

    Args:
        state: what is told.
        accept: of the one who asks; OpenMetrics is for those who know it.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(state))
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type


class _Collector:
    def __init__(self, state: State) -> None:
        self._state = state

    def describe(self) -> list[Metric]:
        """Nothing before somebody asks."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families, as of now."""
        samples = self._state.samples
        yield _gauge("lmtpd_build_info", "The version.", {("version", __version__): 1})
        yield _counter(
            "lmtpd_recipients",
            "Recipients by what became of them.",
            "outcome",
            samples.counted("outcomes"),
        )
        yield _counter("lmtpd_replies", "Replies by code.", "code", samples.counted("replies"))
        for name, family, help_, bounds in _HISTOGRAMS:
            yield _histogram(family, help_, bounds, *samples.histogram(name))
        alive = samples.alive()
        for key, family, help_ in _GAUGES:
            yield _gauge(family, help_, _by_worker(alive, key))
        yield _gauge(
            "lmtpd_worker_start_time_seconds",
            "When each worker was started.",
            {
                ("worker", str(one["worker"])): one["started"]
                for one in sorted(alive, key=lambda one: float(one["started"]))
            },
        )
        yield from self._of_workers()
        yield from _of_threads(alive)
        yield from _of_hooks(samples.hooks(), samples.hook_counts())
        yield from self._of_disk()
        yield _gauge(
            "lmtpd_certificate_expiry_timestamp_seconds",
            "When each certificate expires.",
            {("file", one["file"]): one["not_after"] for one in self._state.certificates()},
        )

    def _of_workers(self) -> Iterator[Metric]:
        yield _gauge(
            "lmtpd_workers_wanted", "As lmtp-workers says.", {(): self._state.workers_wanted}
        )
        standings = Counter(worker.standing for worker in self._state.workers())
        yield _gauge(
            "lmtpd_workers",
            "Workers by how they are.",
            {("state", str(one)): standings[one] for one in Standing},
        )

    def _of_disk(self) -> Iterator[Metric]:
        disk = self._state.disk()
        if disk:
            yield _gauge(
                "lmtpd_store_size_bytes", "Of the store's file system.", {(): disk["size"]}
            )
            yield _gauge(
                "lmtpd_store_free_bytes", "Of the store's file system.", {(): disk["free"]}
            )
            yield _gauge(
                "lmtpd_store_free_files", "Of the store's file system.", {(): disk["free_files"]}
            )


def _of_threads(alive: Sequence[Sample]) -> Iterator[Metric]:
    for key, name, help_ in (
        ("threads_busy", "lmtpd_threads_busy", "Threads that are at work, and calls that wait."),
        ("threads_most", "lmtpd_threads_limit", "Threads that there can be."),
    ):
        family = GaugeMetricFamily(name, help_, labels=("worker", "pool"))
        figures: Counter[tuple[str, str]] = Counter()
        for one in alive:
            for pool, number in one.get(key, {}).items():
                figures[str(one["worker"]), pool] += number
        for labels, figure in figures.items():
            family.add_metric(labels, figure)
        yield family


def _of_hooks(
    hooks: Sequence[Mapping[str, Any]], counts: Sequence[Mapping[str, Any]]
) -> Iterator[Metric]:
    yield _gauge(
        "lmtpd_hook_up",
        "Whether a hook is asked; 0 while its back-end is held to be down.",
        {("hook", one["name"]): int(one["is_up"]) for one in hooks},
    )
    yield _gauge(
        "lmtpd_hook_remembered_answers",
        "Answers in memory.",
        {("hook", one["name"]): one["remembered"] for one in hooks},
    )
    for key, family, help_ in (
        ("asked", "lmtpd_hook_questions", "Questions that a hook was asked itself."),
        ("faults", "lmtpd_hook_faults", "Questions that a hook did not answer."),
        ("hits", "lmtpd_hook_remembered", "Questions that memory has answered in a hook's place."),
    ):
        yield _counter(family, help_, "hook", {one["name"]: one[key] for one in counts})


def _by_worker(alive: Sequence[Sample], key: str) -> Mapping[tuple[str, str] | tuple[()], float]:
    """The sums over those of one number: behind a reload the old one drains beside the new."""
    found: Counter[tuple[str, str] | tuple[()]] = Counter()
    for one in alive:
        found["worker", str(one["worker"])] += one[key]
    return found


def _counter(family: str, help_: str, label: str, counts: Mapping[str, float]) -> Metric:
    metric = CounterMetricFamily(family, help_, labels=(label,))
    for value, count in sorted(counts.items()):
        metric.add_metric((value,), count)
    return metric


def _gauge(family: str, help_: str, figures: Mapping[tuple[str, str] | tuple[()], float]) -> Metric:
    """A figure for each value of one label, or one figure without a label."""
    names = {labels[0] for labels in figures if labels}
    metric = GaugeMetricFamily(family, help_, labels=tuple(names))
    for labels, figure in figures.items():
        metric.add_metric(labels[1:], figure)
    return metric


def _histogram(
    family: str, help_: str, bounds: Sequence[float], counts: Sequence[int], total: float
) -> Metric:
    metric = HistogramMetricFamily(family, help_)
    seen, buckets = 0, []
    for bound, count in zip(
        (*map(str, bounds), "+Inf"), counts or [0] * (len(bounds) + 1), strict=True
    ):
        seen += count
        buckets.append((bound, seen))
    metric.add_metric((), buckets, total)
    return metric
