"""Troubles: what a person should look at, in words, although mail is delivered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .roster import Worker
from .words import duration, many

FAILED_LATELY_SECONDS = 600
FAILED_SHARE = 0.01
"""A mailbox that is full is no reason for alarm."""
EXPIRES_SOON_SECONDS = 14 * 86400


def troubles(told: Mapping[str, Any], workers: Iterable[Worker]) -> Iterator[str]:
    """All of them.

    Args:
        told: what the status tells: `now`, `slots`, `certificates`.
        workers: those that are there, and those that should be.
    """
    now = told["now"]
    yield from filter(None, (worker.trouble() for worker in workers))
    lately = [slot for slot in told["slots"] if slot["time"] > now - FAILED_LATELY_SECONDS]
    failed = sum(slot["failed"] for slot in lately)
    every = failed + sum(slot["delivered"] + slot["repeated"] for slot in lately)
    if failed > FAILED_SHARE * every:
        yield f"{failed:,} of {many(every, 'delivery', 'deliveries')} failed in the last 10 min"
    for one in told["certificates"]:
        left = one["not_after"] - now
        if left < 0:
            yield f"the certificate {one['file']} has expired"
        elif left < EXPIRES_SOON_SECONDS:
            yield f"the certificate {one['file']} expires in {duration(left)}"
