"""Companion: a process beside the workers, replaced when it dies, that no mail waits for."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from ..log import Log

SHORT_LIFE_SECONDS = 10.0
"""One that dies sooner is replaced more slowly each time."""
LONGEST_PAUSE_SECONDS = 60.0


class Companion:
    """The parent's view of it."""

    def __init__(self, name: str, work: Callable[[], object], log: Log) -> None:
        """Not there yet.

        Args:
            name: for the log.
            work: what it does, until it returns.
            log: where lines go.
        """
        self._name = name
        self._work = work
        self._log = log
        self._pid = 0
        self._started = 0.0
        self._pause = 0.0
        self.due: float | None = 0.0
        """When it is to be started, by the monotonic clock; None while it is there."""

    def fill(self, become: Callable[[], object]) -> None:
        """Start it if it is due.

        Args:
            become: lets go, in the child, of what is the parent's.
        """
        if self.due is None or self.due > time.monotonic():
            return
        self._started, self.due = time.monotonic(), None
        self._pid = os.fork()
        if not self._pid:
            code = os.EX_SOFTWARE
            try:
                become()
                self._work()
                code = os.EX_OK
            except BaseException as error:  # noqa: BLE001 - a fork must never return into the parent
                self._log.line("companion-failed", name=self._name, cause=repr(error))
            finally:
                os._exit(code)

    def reap(self) -> None:
        """See whether it has ended; its successor comes at once, or later if its life was short."""
        if not self._pid:
            return
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if not pid:
            return
        now = time.monotonic()
        is_short = now - self._started < SHORT_LIFE_SECONDS
        self._pause = min(LONGEST_PAUSE_SECONDS, self._pause * 2 or 0.5) if is_short else 0.0
        code = os.waitstatus_to_exitcode(status)
        self._log.line("companion-ended", name=self._name, pid=self._pid, exit=code)
        self._pid, self.due = 0, now + self._pause

    def stop(self) -> None:
        """End it, and wait for that: it has nothing to lose."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
