"""One measurement: one server, one scenario, one round.

A fresh server on fresh, empty Maildirs; a warm-up, in which small messages reach every mailbox; the
measured time, at whose two ends the CPU is read; then the files are compared with what was
acknowledged and removed, and the file system is brought to rest before the next one begins.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench import volume
from bench.load import Load, Loaded, LoadError
from bench.maildirs import check, make_maildirs, make_message
from bench.meter import Growth, Meter, PeakMemory, meter
from bench.peers import Certificate, Peer, Place
from bench.programs import Programs
from bench.scenarios import Scenario
from bench.servers import ServerError, free_port, running

# Of the image, the part that messages may fill; the next bound is the time.
_ROOM_OCTETS = 4 * 1024**3
# With idle connections: what a server needs only once has to be there before they come.
_FIRST_WORK_S = 0.5

Progress = Callable[[float, int], None]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What came out; with a `failure` the figures mean nothing."""

    scenario: str
    peer: str
    round: int
    deliveries: int = 0
    rate: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    cpu_s_per_1000: float = 0.0
    pss_mib: float = 0.0
    """Peak of the whole server."""
    pss_process_mib: float = 0.0
    """Peak of its largest process."""
    idle_kib: float | None = None
    """What an idle connection added."""
    client_cpu: float = 0.0
    """Share of one processor that the client took; near 1 the client is what was measured."""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where and with what is measured."""

    disk: Path
    folder: Path
    programs: Programs
    certificate: Certificate
    seconds: float
    warmup: float

    def load(self, scenario: Scenario) -> Load:
        """A load client for this scenario."""
        sent = make_message(self.folder, scenario.octets)
        limit = max(1, _ROOM_OCTETS // scenario.octets)
        seconds = self.seconds * scenario.stretch
        return Load(self.programs.client, sent, scenario, seconds, self.warmup, limit)

    def measure(
        self, peer: Peer, scenario: Scenario, number: int, progress: Progress
    ) -> Measurement:
        """Measure; what fails is told in the measurement, and the next one can go on."""
        found = Measurement(scenario.name, peer.name, number)
        if scenario.is_tls and not self.programs.client_has_tls:
            return replace(found, failure="the client has no TLS: libssl-dev is missing")
        try:
            with ExitStack() as stack:
                place = self.enter_place(peer, scenario, stack)
                with self.serving(peer, scenario, place) as counter:
                    watcher = _Watcher(counter, scenario, progress)
                    acknowledged = watcher.follow(self.load(scenario), place.port)
                sent = self.load(scenario).sent
                failure = check(place.root, acknowledged, sent)
                return replace(watcher.measurement(found), failure=failure)
        except (LoadError, ServerError) as error:
            return replace(found, failure=str(error))

    @contextmanager
    def serving(self, peer: Peer, scenario: Scenario, place: Place) -> Iterator[Meter]:
        """A server and its meter; before its files are looked at nothing of it shall run."""
        output, command = place.folder / "output", peer.command(place, scenario)
        with meter(peer.name) as counter, running(command, place.port, counter, output):
            yield counter

    def enter_place(self, peer: Peer, scenario: Scenario, stack: ExitStack) -> Place:
        """Maildirs and a folder of the peer's own, which go when the stack is left."""
        root, folder = self.disk / peer.name, self.folder / f"{peer.name}-files"
        folder.mkdir()
        folder.chmod(0o755)
        stack.callback(shutil.rmtree, folder)
        # Directories that once held many names are slow ever after: all are made anew.
        stack.callback(volume.settle, self.disk)
        stack.callback(shutil.rmtree, root)
        make_maildirs(root, peer.owner)
        volume.settle(self.disk)
        return Place(folder, root, free_port(), self.certificate if scenario.is_tls else None)


def with_load(found: Measurement, loaded: Loaded) -> Measurement:
    """The figures that the client has."""
    return replace(
        found,
        deliveries=loaded.deliveries,
        rate=loaded.deliveries / loaded.seconds,
        p50_ms=loaded.p50_ms,
        p99_ms=loaded.p99_ms,
        client_cpu=loaded.client_cpu_s / loaded.seconds,
    )


class _Watcher:
    """Reads the meter at the turns of a load run."""

    def __init__(self, counter: Meter, scenario: Scenario, progress: Progress) -> None:
        self._counter = counter
        self._scenario = scenario
        self._progress = progress
        self._memory = PeakMemory(counter)
        self._cpu_s = 0.0
        self._growth: Growth | None = None
        self._idle_kib: float | None = None

    def follow(self, load: Load, port: int) -> list[int]:
        """Run the load; what was acknowledged, by mailbox."""
        before = [0]
        if self._scenario.idle:
            first = replace(self._scenario, idle=0)
            work = replace(load, scenario=first, seconds=_FIRST_WORK_S, warmup=0)
            before = work.run(port, _Nobody()).acknowledged
            self._growth = Growth(self._counter)
        with self._memory:
            self._loaded = load.run(port, self)
        first_work = before if len(before) > 1 else [0] * len(self._loaded.acknowledged)
        return [a + b for a, b in zip(first_work, self._loaded.acknowledged, strict=True)]

    def measurement(self, found: Measurement) -> Measurement:
        """The figures of the run."""
        loaded = self._loaded
        if not loaded.deliveries:
            raise LoadError("not one delivery in the measured time")
        return replace(
            with_load(found, loaded),
            cpu_s_per_1000=self._cpu_s / loaded.deliveries * 1000,
            pss_mib=self._memory.total_kib / 1024,
            pss_process_mib=self._memory.process_kib / 1024,
            idle_kib=self._idle_kib,
        )

    def idle_open(self) -> None:
        if self._growth:
            self._idle_kib = self._growth.each_kib(self._scenario.idle)

    def begin(self, _: float) -> None:
        self._cpu_s = self._counter.cpu_s()

    def at(self, seconds: float, deliveries: int) -> None:
        self._progress(seconds, deliveries)

    def end(self, _: float) -> None:
        self._cpu_s = self._counter.cpu_s() - self._cpu_s


class _Nobody:
    """Observes nothing."""

    def idle_open(self) -> None: ...

    def begin(self, wall_clock: float) -> None: ...

    def at(self, seconds: float, deliveries: int) -> None: ...

    def end(self, wall_clock: float) -> None: ...
