"""Patience: how long a session waits for its client, which may be slow on purpose.

A client that sends an octet now and then is never silent for long. So what it has begun has an end
as well: a command, the text of a message, a transaction. The clock is looked at where the session
waits anyway; no timer runs for any of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from .protocol import replies
from .protocol.limits import Limits
from .protocol.reply import Reply


class Patience:
    """Of one session."""

    __slots__ = ("_begun_at", "_clock", "_is_in_content", "_left_s", "_limits", "_opened_at")

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing has begun.

        Args:
            limits: how long each thing may take.
            clock: monotonic seconds.
        """
        self._limits = limits
        self._clock = clock
        self._begun_at: float | None = None
        self._is_in_content = False
        self._opened_at: float | None = None
        self._left_s = 0.0

    def restart(self) -> None:
        """The client has finished a command, or the text: it has all the time for the next."""
        self._begun_at = None

    def left_s(self, *, is_in_content: bool, is_in_transaction: bool) -> float:
        """Seconds to wait for the next octet.

        Args:
            is_in_content: it belongs to a message, not to a command.
            is_in_transaction: MAIL was accepted, and the message has not ended.

        Raises:
            TimeoutError: there are none, whether or not the client has sent it.
        """
        now, limits = self._clock(), self._limits
        if self._begun_at is None or is_in_content is not self._is_in_content:
            self._begun_at, self._is_in_content = now, is_in_content
        left_s = self._begun_at - now + (limits.data_s if is_in_content else limits.command_s)
        if not is_in_transaction:
            self._opened_at = None
        else:
            if self._opened_at is None:
                self._opened_at = now
            left_s = min(left_s, self._opened_at - now + limits.transaction_s)
        self._left_s = min(left_s, limits.idle_s)
        if self._left_s <= 0:
            raise TimeoutError
        return self._left_s

    @property
    def last_words(self) -> Reply:
        """What to say when the wait was in vain: was there silence, or too little?"""
        return replies.IDLE if self._left_s >= self._limits.idle_s else replies.TOO_SLOW
