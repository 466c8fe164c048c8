"""CPU time and memory of a server: all its processes, those that have ended included.

CPU comes from a cgroup of its own (version 1 `cpuacct`, or version 2), which misses nobody. Where
none can be made it is summed over the process tree, in ticks of 10 ms; a process that left the tree
is missed there. What the kernel does on its own threads (journal, loop device) is nobody's.

Memory is PSS: a page shared by n processes counts 1/n for each, so that a sum over workers is true.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

_TICKS = os.sysconf("SC_CLK_TCK")
_SAMPLE_EVERY_S = 0.2
# Sampling walks page tables: at most this share of the time goes into it.
_SAMPLE_SHARE = 0.04
_EMPTY_WITHIN_S = 5.0


class Meter(Protocol):
    """Counts what one server uses."""

    def joining(self, command: list[str]) -> list[str]:
        """The same command, counted."""

    def attach(self, pid: int) -> None:
        """Tells the process id of the started command."""

    def cpu_s(self) -> float:
        """Seconds of CPU used so far, user and system."""

    def pids(self) -> list[int]:
        """All its processes that live."""

    def close(self) -> None:
        """End what is left of it."""


@contextmanager
def meter(name: str) -> Iterator[Meter]:
    """The best meter that can be had."""
    found = _cgroup(name) or Tree()
    try:
        yield found
    finally:
        found.close()


class Cgroup:
    """A control group, version 1 or 2."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._usage = folder / "cpuacct.usage"
        self._stat = folder / "cpu.stat"

    def joining(self, command: list[str]) -> list[str]:
        script = f'echo $$ > {self._folder}/cgroup.procs && exec "$@"'
        return ["/bin/sh", "-c", script, "sh", *command]

    def attach(self, pid: int) -> None:
        pass

    def cpu_s(self) -> float:
        if self._usage.exists():
            return int(self._usage.read_text()) / 1e9
        return int(self._stat.read_text().split("usage_usec ")[1].split()[0]) / 1e6

    def pids(self) -> list[int]:
        return [int(pid) for pid in (self._folder / "cgroup.procs").read_text().split()]

    def close(self) -> None:
        deadline = time.monotonic() + _EMPTY_WITHIN_S
        while time.monotonic() < deadline:
            for pid in self.pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            # Busy for a moment after the last process is gone.
            with suppress(OSError):
                self._folder.rmdir()
                return
            time.sleep(0.02)


class Tree:
    """A process and all that descend from it, read from /proc."""

    def __init__(self) -> None:
        self._root = 0

    def joining(self, command: list[str]) -> list[str]:
        return command

    def attach(self, pid: int) -> None:
        self._root = pid

    def cpu_s(self) -> float:
        return sum(_ticks(pid) for pid in self.pids()) / _TICKS

    def pids(self) -> list[int]:
        found = [self._root] if self._root else []
        for pid in found:
            found.extend(_children(pid))
        return found

    def close(self) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class PeakMemory:
    """Watches the memory of a server from a thread of its own, inside a `with` block.

    Afterwards `total_kib` holds the peak of the sum, `process_kib` that of the largest process.
    """

    def __init__(self, server: Meter) -> None:
        self.total_kib = 0
        self.process_kib = 0
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            began = time.monotonic()
            sizes = pss_kib(self._server)
            self.total_kib = max(self.total_kib, sum(sizes))
            self.process_kib = max(self.process_kib, *sizes, 0)
            cost = time.monotonic() - began
            if self._over.wait(max(_SAMPLE_EVERY_S, cost / _SAMPLE_SHARE)):
                return


def pss_kib(server: Meter) -> list[int]:
    """The PSS of each process of a server."""
    sizes = []
    for pid in server.pids():
        with suppress(FileNotFoundError, ProcessLookupError):
            sizes.append(pss_kib_of(pid))
    return sizes


class Growth:
    """What those that come from now on add to the memory of a server."""

    def __init__(self, server: Meter) -> None:
        self._server = server
        self._before_kib = sum(pss_kib(server))

    def each_kib(self, count: int) -> float:
        """PSS for each of so many that have come."""
        return (sum(pss_kib(self._server)) - self._before_kib) / count


def pss_kib_of(pid: int) -> int:
    """The PSS of one process; 0 if it has ended and was not waited for.

    Raises:
        OSError: there is no such process.
    """
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = (line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:"))
    return int(next(found, "0"))


def _ticks(pid: int) -> int:
    """Ticks of a process and of its children that have ended and were waited for."""
    with suppress(FileNotFoundError, ProcessLookupError):
        # The name in parentheses may hold anything; what follows it is numbers.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15])
    return 0


def _children(pid: int) -> list[int]:
    children: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children.extend(int(child) for child in (task / "children").read_text().split())
    return children


def _cgroup(name: str) -> Cgroup | None:
    for parent in _cgroup_parents():
        folder = parent / f"lmtpd-bench-{os.getpid()}-{name}"
        with suppress(OSError):
            folder.mkdir()
            return Cgroup(folder)
    return None


def _cgroup_parents() -> Iterator[Path]:
    """Where a group with an account of CPU may be made: below our own group, or at the top."""
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path))
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        is_first = kind == "cgroup" and "cpuacct" in options.split(",")
        if is_first or kind == "cgroup2":
            yield Path(where + own.get("cpuacct" if is_first else "", "/"))
            yield Path(where)
