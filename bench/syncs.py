"""How often a server asks the disk to be durable, for each delivery.

Counted by strace in a short run of its own, since a traced server is a slow one: with every sync
slowed down, a server that shares syncs shares them among more deliveries. The rates of this run are
thrown away. Calls are told apart by their time, so that the warm-up does not count.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench.load import LoadError
from bench.measurement import Bench
from bench.meter import meter
from bench.peers import Peer
from bench.scenarios import Scenario
from bench.servers import ServerError, running

_CALLS = ("fsync", "fdatasync", "syncfs", "sync_file_range", "sync", "msync")
_SECONDS = 1.0
# Long: what a worker syncs when it sees a mailbox for the first time is not to count.
_WARMUP_S = 2.0


def available() -> bool:
    """Whether there is an strace."""
    return shutil.which("strace") is not None


def syncs_per_delivery(bench: Bench, peer: Peer, scenario: Scenario) -> dict[str, float]:
    """How many of each call for each delivery; empty where they cannot be counted."""
    window = _Window()
    trace = bench.folder / "trace"
    command = ["strace", "-f", "--seccomp-bpf", "-ttt", "-e", "trace=" + ",".join(_CALLS)]
    # With -o the tracer ignores signals; if it is killed, what it traces is to end all the same.
    command += ["-o", str(trace), "setpriv", "--pdeathsig=TERM", "--"]
    try:
        with ExitStack() as stack:
            place = bench.enter_place(peer, scenario, stack)
            counter = stack.enter_context(meter(peer.name + "-traced"))
            traced = command + peer.command(place, scenario)
            with running(traced, place.port, counter, place.folder / "output"):
                load = replace(bench.load(scenario), seconds=_SECONDS, warmup=_WARMUP_S)
                deliveries = load.run(place.port, window).deliveries
        counts = window.count(_calls(trace)) if deliveries else {}
        return {call: round(count / deliveries, 3) for call, count in counts.items()}
    except (LoadError, ServerError):
        return {}
    finally:
        trace.unlink(missing_ok=True)


def _calls(trace: Path) -> Iterator[tuple[float, str]]:
    """Each sync, and when it began; one that another thread interrupts is told in two lines."""
    with trace.open() as lines:
        for line in lines:
            _, clock, *rest = line.split(maxsplit=2)
            call = rest[0].partition("(")[0] if rest else ""
            if call in _CALLS:
                yield float(clock), call


class _Window:
    """The measured time, by the wall clock that strace writes."""

    def __init__(self) -> None:
        self._begin = self._end = 0.0

    def count(self, calls: Iterable[tuple[float, str]]) -> Counter[str]:
        return Counter(call for time, call in calls if self._begin <= time < self._end)

    def idle_open(self) -> None: ...

    def begin(self, wall_clock: float) -> None:
        self._begin = wall_clock

    def at(self, seconds: float, deliveries: int) -> None: ...

    def end(self, wall_clock: float) -> None:
        self._end = wall_clock
