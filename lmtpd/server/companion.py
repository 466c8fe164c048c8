"""Companion: a process beside the workers, replaced when it dies, that no mail waits for."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from ..log import Log
from .succession import Succession

LONGEST_PAUSE_SECONDS = 60.0
LAST_WORDS_SECONDS = 1.0
_STEP_SECONDS = 0.01


class Companion:
    """The parent's view of it."""

    def __init__(self, name: str, settings: object, work: Callable[[], object], log: Log) -> None:
        """Not there yet.

        Args:
            name: for the log.
            settings: all that it has of the configuration; who has the same does the same.
            work: what it does, until it returns.
            log: where lines go.
        """
        self._name = name
        self._settings = settings
        self._work = work
        self._log = log
        self._pid = 0
        self._succession = Succession(LONGEST_PAUSE_SECONDS)

    @property
    def due(self) -> float | None:
        """When it is to be started, by the monotonic clock; None while it is there."""
        return None if self._pid else self._succession.due

    def does_as(self, other: Companion) -> bool:
        """Whether the other one would do just the same."""
        return (self._name, self._settings) == (other._name, other._settings)

    def fill(self, become: Callable[[], object]) -> None:
        """Start it if it is due.

        Args:
            become: lets go, in the child, of what is the parent's.
        """
        if self._pid or not self._succession.is_due:
            return
        self._succession.begin()
        try:
            self._pid = os.fork()
        except OSError as error:
            self._log.line("companion-failed", name=self._name, cause=repr(error))
            self._succession.end()
            return
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
        """See whether it has ended."""
        if not self._pid:
            return
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if not pid:
            return
        code = os.waitstatus_to_exitcode(status)
        self._log.line("companion-ended", name=self._name, pid=self._pid, exit=code)
        self._pid = 0
        self._succession.end()

    def stop(self) -> None:
        """End it, and wait for that, but not for long: it has little to lose."""
        if not self._pid:
            return
        os.kill(self._pid, signal.SIGTERM)
        end = time.monotonic() + LAST_WORDS_SECONDS
        while not os.waitpid(self._pid, os.WNOHANG)[0]:
            if time.monotonic() > end:
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
                break
            time.sleep(_STEP_SECONDS)
        self._pid = 0
