"""The server's log while it is written: events counted, workers known, what is not usual kept."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

_LINE = re.compile(r"\S+Z (?P<event>[\w-]+)(?P<words>.*)")
_WORKER = re.compile(r"\bworker=(\d+) pid=(\d+)")
_USUAL = frozenset({"connection-lost", "delivered", "failed", "refused", "repeated"})
_MOST_KEPT = 1000


class LogTail:
    """Reads on from where it was; only whole lines."""

    def __init__(self, path: Path) -> None:
        """Nothing is read yet."""
        self.events: Counter[str] = Counter()
        self.workers: dict[int, int] = {}
        """The place of each process that was ever a worker."""
        self.notable: list[str] = []
        """Lines of events that mail does not bring about."""
        self.strange: list[str] = []
        """Lines that are none of the log's."""
        self._path = path
        self._offset = 0

    def read_on(self) -> None:
        """Take what has been written since."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            octets = file.read()
        whole = octets[: octets.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.decode("utf-8", "replace").splitlines():
            self._take(line)

    def _take(self, line: str) -> None:
        found = _LINE.fullmatch(line)
        if not found:
            self.strange.append(line)
            return
        event = found["event"]
        self.events[event] += 1
        if event == "worker-started" and (worker := _WORKER.search(found["words"])):
            self.workers[int(worker[2])] = int(worker[1])
        if event not in _USUAL and len(self.notable) < _MOST_KEPT:
            self.notable.append(line)
