"""Meter: what a worker has done, counted where it happens; others read it now and then.

Counting costs about a microsecond for each recipient. Nothing is computed, formatted or sent here:
a neighbour that draws the status page must not slow the mail down.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from .histogram import SECONDS, SIZES, Histogram
from .protocol.envelope import Peer
from .protocol.reply import Reply

MOST_RECENT = 50
"""Events that are kept until somebody asks."""
MOST_REFUSED = 1000
"""Addresses that are counted until somebody asks: who guesses names has no end of them."""


@dataclass(frozen=True, slots=True)
class Happening:
    """What became of one recipient; texts are made of it when it is read."""

    seconds_since_1970: float
    event: str
    id: str
    peer: Peer
    reverse_path: object
    recipient: object
    size: int
    seconds: float
    reply: Reply
    cause: object


class Meter:
    """The counts of one process, from its start on."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Nothing has happened yet.

        Args:
            clock: seconds since 1970.
        """
        self._clock = clock
        self.started = clock()
        self.outcomes: Counter[str] = Counter()
        """By event: delivered, repeated, failed, refused."""
        self.replies: Counter[int] = Counter()
        """By code (RFC 5321 4.2)."""
        self.delivery = Histogram(SECONDS)
        """From the final dot to its replies."""
        self.sync = Histogram(SECONDS)
        """Of it, for making durable and visible."""
        self.verification = Histogram(SECONDS)
        """Of a recipient."""
        self.group = Histogram(SIZES)
        """Copies that were made durable together."""
        self._recent: deque[Happening] = deque(maxlen=MOST_RECENT)
        self._refused: Counter[str] = Counter()

    def happened(
        self,
        event: str,
        id_: str,
        peer: Peer,
        reverse_path: object,
        recipient: object,
        reply: Reply,
        size: int = 0,
        seconds: float = 0.0,
        cause: object = None,
    ) -> None:
        """Something became of a recipient."""
        self.outcomes[event] += 1
        self._recent.append(
            Happening(
                self._clock(),
                event,
                id_,
                peer,
                reverse_path,
                recipient,
                size,
                seconds,
                reply,
                cause,
            )
        )

    def refused(self, recipient: object) -> None:
        """A recipient was not taken."""
        address = str(recipient)
        if address in self._refused or len(self._refused) < MOST_REFUSED:
            self._refused[address] += 1

    def news(self) -> tuple[list[Happening], Counter[str]]:
        """What has happened, and who was refused how often, since this was last asked."""
        recent, refused = [*self._recent], self._refused
        self._recent.clear()
        self._refused = Counter()
        return recent, refused
