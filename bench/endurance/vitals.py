"""Vitals: memory, descriptors and threads of each process of the server, once a second.

Memory is PSS: a page that n processes share counts 1/n for each.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from bench.endurance.log_tail import LogTail
from bench.meter import pss_kib_of

_EVERY_S = 1.0
PARENT, WORKER, OTHER = "parent", "worker", "status"


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment."""

    at: float
    """Seconds since the begin."""
    pid: int
    role: str
    pss_kib: int
    descriptors: int
    threads: int


class Vitals:
    """Takes samples on a thread of its own inside a `with` block."""

    def __init__(
        self, begun: float, parent: int, log: LogTail, at_each: Callable[[], object]
    ) -> None:
        """Nothing is looked at yet.

        Args:
            begun: what the samples' times count from, by the monotonic clock.
            parent: the process id of the server's first process.
            log: says which of its children are workers; it is read on here.
            at_each: called once a second too.
        """
        self.samples: list[Sample] = []
        self._parent = parent
        self._log = log
        self._at_each = at_each
        self._begun = begun
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vitals")

    def __enter__(self) -> Vitals:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_EVERY_S):
            self._log.read_on()
            self._take(self._parent, PARENT)
            for pid in children(self._parent):
                self._take(pid, WORKER if pid in self._log.workers else OTHER)
            self._at_each()

    def _take(self, pid: int, role: str) -> None:
        process = Path(f"/proc/{pid}")
        with suppress(OSError):  # it may end meanwhile
            pss = pss_kib_of(pid)
            descriptors = len(list((process / "fd").iterdir()))
            threads = len(list((process / "task").iterdir()))
            at = time.monotonic() - self._begun
            # One that has ended and waits for its parent has none of all this.
            if pss:
                self.samples.append(Sample(at, pid, role, pss, descriptors, threads))


def children(pid: int) -> list[int]:
    """The processes that another has started, by the only thread that it has."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
