"""Sampling: what a worker tells of itself every second to the process that serves the status page.

A sample is one datagram that nobody waits for. Counts are those since the worker's start, so that a
sample that is lost loses nothing; only the last events and refusals are news of a second.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict

from ..histogram import Histogram
from ..meter import Happening, Meter
from ..recipients.guard import Health

SAMPLE_SECONDS = 1.0
MOST_REFUSED = 200
"""Addresses that a sample names."""
LONGEST = 128 * 1024
"""Octets of a sample: the kernel takes a little more at one time."""
LONGEST_TEXT = 300
"""Characters of a text that a peer or a hook chose."""


class Sampler:
    """Tells of one worker."""

    def __init__(
        self,
        feed: socket.socket,
        index: int,
        meter: Meter,
        health: Callable[[], Iterable[Health]],
        gauges: Callable[[], Mapping[str, object]],
    ) -> None:
        """One that has told nothing yet.

        Args:
            feed: takes datagrams, and makes nobody wait.
            index: the worker's number.
            meter: its counts.
            health: how its hooks are.
            gauges: figures of the moment.
        """
        self._feed = feed
        self._index = index
        self._meter = meter
        self._health = health
        self._gauges = gauges

    def send(self) -> None:
        """A sample of now; one that finds no room, or nobody, is lost."""
        sample = self._sample()
        octets = json.dumps(sample).encode("ascii")
        if len(octets) > LONGEST:
            octets = json.dumps({**sample, "recent": [], "refused": {}}).encode("ascii")
        with suppress(OSError):
            self._feed.send(octets)

    def _sample(self) -> dict[str, object]:
        meter = self._meter
        recent, refused = meter.news()
        return {
            "worker": self._index,
            "pid": os.getpid(),
            "started": meter.started,
            "time": time.time(),
            "outcomes": meter.outcomes,
            "replies": meter.replies,
            "histograms": {
                "delivery": _told(meter.delivery),
                "verification": _told(meter.verification),
                "disk": _told(meter.sync),
                "group": _told(meter.group),
            },
            "hooks": [asdict(hook) for hook in self._health()],
            "recent": [*map(_words, recent)],
            "refused": {
                _short(address): count for address, count in refused.most_common(MOST_REFUSED)
            },
            **self._gauges(),
        }


def _told(histogram: Histogram) -> dict[str, object]:
    return {"counts": histogram.counts, "total": histogram.total}


def _words(happening: Happening) -> dict[str, object]:
    return {
        "time": happening.seconds_since_1970,
        "event": happening.event,
        "id": happening.id,
        "peer": str(happening.peer),
        "sender": _short(f"<{happening.reverse_path}>"),
        "recipient": _short(happening.recipient),
        "size": happening.size,
        "seconds": happening.seconds,
        "reply": _short(happening.reply),
        "cause": _short(happening.cause or ""),
    }


def _short(text: object) -> str:
    return str(text)[:LONGEST_TEXT]
