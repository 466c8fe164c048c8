"""What those at work notice of a crowd that is not: 10,000 connections that idle, 100 that dawdle.

Usage: python bench/crowd.py [--rounds 5] [--seconds 4] [--idle 10000] [--out FOLDER]
                             [--directory FOLDER]

20 connections deliver, first alone, then beside the crowd: 10,000 that say nothing after LHLO, and
100 that send an octet a second, half of them in a command and half in a message. Both are measured
one after the other on the same server in each round. A full run replaces `crowd.md` and `.json` in
bench/results/; any other leaves them alone, unless --out says where to write. The targets are the
issue's: the p99 of those at work is at most twice what it is without the crowd, and a connection
that idles costs at most 12 KiB, under TLS 28. Under TLS fewer idle, for each handshake costs the
client as much as the server.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Not this folder: its profile.py would stand before the standard library's.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import socket
import threading
from contextlib import ExitStack
from dataclasses import replace
from math import inf
from statistics import median

from bench import machine, session, volume
from bench.load import LoadError
from bench.maildirs import DOMAIN, check
from bench.measurement import Bench, Measurement, with_load
from bench.meter import Growth, Meter
from bench.peers import Peer, Place, lmtpd
from bench.progress import Progress, Step
from bench.report import table
from bench.results import Results
from bench.scenarios import IDLE_KIB, Scenario
from bench.servers import LOOPBACK, ServerError

_RESULTS = Path(__file__).resolve().parent / "results"
_FULL_ROUNDS = 5
_FULL_IDLE = 10_000
_IDLE_UNDER_TLS = 2000
_WARMUP_S = 1.0
_IMAGE_MIB = 1024
_SLOW = 100
_OCTET_EVERY_S = 1.0
_MOST = 2.0
"""Times the p99 without the crowd."""
_CLEAR_KIB, _TLS_KIB = IDLE_KIB["idle-1000"], IDLE_KIB["idle-1000-tls"]

_WORK = Scenario("crowd", "20 kept, 4 KiB", connections=20)
_ALONE, _CROWDED = "alone", "crowded"


def main() -> int:
    """Run; 1 if something did not work or a target is missed."""
    options = _options()
    if not options.directory:
        volume.enter_private_namespace()
    where = "that of the folder named by --directory" if options.directory else session.JOURNALED
    facts = machine.facts(where)
    del facts["peers"]
    results = Results(facts, options.rounds, options.seconds)
    with session.bench(options.directory, options.seconds, _WARMUP_S, _IMAGE_MIB) as bench:
        _measure(bench, options.idle, results)
    text = _report(results, options.idle)
    sys.stdout.write(text)
    is_full = options.rounds >= _FULL_ROUNDS and options.idle >= _FULL_IDLE
    out = options.out or (_RESULTS if is_full else None)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        results.write(out / "crowd.json")
        (out / "crowd.md").write_text(text)
    return 1 if results.failures() or "missed" in text else 0


def _command(place: Place, scenario: Scenario) -> list[str]:
    return [*lmtpd(place, scenario), "--lmtp-max-connections", "none"]


_SERVER = Peer("lmtpd", None, _command)


def _measure(bench: Bench, idle: int, results: Results) -> None:
    progress = Progress(results.rounds + 1)
    for number in range(1, results.rounds + 1):
        with progress.step(f"round {number}/{results.rounds}  {idle} idle") as told:
            found = _round(bench, idle, number, told)
            told.outcome = found[-1].failure or f"p99 {found[-1].p99_ms:.1f} ms"
            results.measurements += found
    under_tls = Scenario("tls", "idle under TLS", 1, idle=min(idle, _IDLE_UNDER_TLS), is_tls=True)
    with progress.step(f"{under_tls.idle} idle under TLS") as told:
        found_under_tls = bench.measure(_SERVER, under_tls, 1, told.at)
        told.outcome = found_under_tls.failure or f"{found_under_tls.idle_kib:.1f} KiB each"
        results.measurements.append(found_under_tls)


def _round(bench: Bench, idle: int, number: int, told: Step) -> list[Measurement]:
    """The same work without the crowd and beside it, on one server."""
    crowd = replace(_WORK, idle=idle)
    alone, crowded = (Measurement(_WORK.name, name, number) for name in (_ALONE, _CROWDED))
    try:
        with ExitStack() as stack:
            place = bench.enter_place(_SERVER, crowd, stack)
            with bench.serving(_SERVER, crowd, place) as counter:
                first = bench.load(_WORK).run(place.port, _Crowd(place.port, counter, 0, told))
                watching = _Crowd(place.port, counter, idle, told)
                with watching:
                    second = bench.load(crowd).run(place.port, watching)
            both = zip(first.acknowledged, second.acknowledged, strict=True)
            failure = check(place.root, [a + b for a, b in both], bench.load(_WORK).sent)
    except (LoadError, ServerError) as error:
        return [replace(alone, failure=str(error)), replace(crowded, failure=str(error))]
    return [
        with_load(replace(alone, failure=failure), first),
        with_load(replace(crowded, failure=failure, idle_kib=watching.idle_kib), second),
    ]


class _Crowd:
    """Those that dawdle, from the moment on at which those that idle stand."""

    def __init__(self, port: int, counter: Meter, idle: int, told: Step) -> None:
        self.idle_kib: float | None = None
        """What one that idles has added to the server's memory."""
        self._port = port
        self._idle = idle
        self._told = told
        self._growth = Growth(counter)
        self._slow: list[socket.socket] = []
        self._is_over = threading.Event()
        self._dawdling = threading.Thread(target=self._dawdle)

    def __enter__(self) -> _Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        if self._slow:
            self._dawdling.join()
        for connection in self._slow:
            connection.close()

    def idle_open(self) -> None:
        self.idle_kib = self._growth.each_kib(self._idle)
        for number in range(_SLOW):
            connection = socket.create_connection((LOOPBACK, self._port))
            self._slow.append(connection)
            if number % 2:
                connection.sendall(
                    f"LHLO slow\r\nMAIL FROM:<>\r\nRCPT TO:<u000@{DOMAIN}>\r\nDATA\r\n".encode()
                )
        self._dawdling.start()

    def begin(self, wall_clock: float) -> None: ...

    def at(self, seconds: float, deliveries: int) -> None:
        self._told.at(seconds, deliveries)

    def end(self, wall_clock: float) -> None: ...

    def _dawdle(self) -> None:
        """One octet of each in a second, one after the other."""
        while True:
            for connection in self._slow:
                if self._is_over.wait(_OCTET_EVERY_S / _SLOW):
                    return
                connection.sendall(b"x")


def _report(results: Results, idle: int) -> str:
    lines = ["# Beside a crowd", ""]
    lines += [f"- {name}: {fact}" for name, fact in results.machine.items()]
    lines += [f"- {results.rounds} rounds of {results.seconds:g} s each, medians", ""]
    rows = [_row(results, "20 at work alone", _ALONE)]
    rows.append(_row(results, f"the same beside {idle:,} idle and {_SLOW} slow ones", _CROWDED))
    head = [
        "connections",
        "deliveries/s",
        "p50 ms",
        "p99 ms",
        "lowest - highest p99",
        "p99 / alone",
    ]
    lines += [table(head, rows), ""]
    memory = [
        ["clear", _judged(results.values(_WORK, _CROWDED, "idle_kib"), _CLEAR_KIB)],
        ["TLS", _judged(_under_tls(results), _TLS_KIB)],
    ]
    lines.append(table(["an idle connection", "KiB of PSS"], memory))
    lines += [f"- {one.scenario}, {one.peer}: {one.failure}" for one in results.failures()]
    return "\n".join(lines) + "\n"


def _row(results: Results, title: str, name: str) -> list[str]:
    p99 = results.values(_WORK, name, "p99_ms")
    if not p99:
        return [title, *["-"] * 5]
    ratio = results.ratio(_WORK, "p99_ms", name, _ALONE) or inf
    return [
        title,
        f"{median(results.values(_WORK, name, 'rate')):,.0f}",
        f"{median(results.values(_WORK, name, 'p50_ms')):.1f}",
        f"{median(p99):.1f}",
        f"{min(p99):.1f} - {max(p99):.1f}",
        _judged([ratio], _MOST),
    ]


def _under_tls(results: Results) -> list[float]:
    found = (one for one in results.measurements if one.scenario == "tls" and not one.failure)
    return [one.idle_kib for one in found if one.idle_kib is not None]


def _judged(values: list[float], most: float) -> str:
    if not values:
        return "- (**missed**)"
    value = median(values)
    return f"{value:.2f} (≤ {most:g}{', **missed**' if value > most else ''})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=_FULL_ROUNDS)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each measurement")
    parser.add_argument("--idle", type=int, default=_FULL_IDLE, help="connections")
    parser.add_argument("--out", type=Path, help="where to write the results")
    parser.add_argument("--directory", type=Path, help="measure there, on no image of its own")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
