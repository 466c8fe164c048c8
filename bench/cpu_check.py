"""Has a delivery become dear? For CI: lmtpd and the floor, "20 kept, 4 KiB", in a few seconds.

Usage: python bench/cpu_check.py [--commit]

Prints the CPU for each delivery of both, and their ratio beside the committed one: rates of a
shared machine mean little, and seconds of CPU depend on the machine, but both programs ran on the
same one just now. Exit status 1 only when the ratio is more than twice the committed one, for the
noise is a quarter. Without root it runs on whatever file system TMPDIR is on, and says so.
`--commit` makes today's ratio the committed one.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Not this folder: its profile.py would stand before the standard library's.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import json
import os
import tempfile
from statistics import median

from bench import machine, session, volume
from bench.measurement import Measurement
from bench.peers import all_peers
from bench.results import Results
from bench.scenarios import named

_COMMITTED = Path(__file__).resolve().parent / "results" / "committed.json"
_SCENARIO = named("kept-20")
_ROUNDS = 2
_SECONDS = 1.5
_WARMUP_S = 0.5
_IMAGE_MIB = 1024
_FAILS_ABOVE = 2.0


def main() -> int:
    """Measure and judge; 1 if it is too dear, or if a server did not work."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--commit", action="store_true", help="make this the committed figure")
    options = parser.parse_args()
    directory = None if os.geteuid() == 0 else Path(tempfile.gettempdir())
    if not directory:
        volume.enter_private_namespace()
    results = Results(machine.facts("TMPDIR's" if directory else session.JOURNALED))
    results.measurements = _measure(directory)
    for failed in results.failures():
        sys.stdout.write(f"{failed.peer} did not work: {failed.failure}\n")
    if results.failures():
        return 1
    found = {
        "scenario": _SCENARIO.name,
        "file_system": results.machine["file system"],
        "lmtpd_cpu_us": round(_cpu_us(results, "lmtpd")),
        "floor_cpu_us": round(_cpu_us(results, "floor")),
        "ratio": round(_ratio(results), 2),
    }
    if options.commit:
        _COMMITTED.parent.mkdir(exist_ok=True)
        _COMMITTED.write_text(json.dumps(found, indent=1) + "\n")
    return _judge(found, json.loads(_COMMITTED.read_text()))


def _measure(directory: Path | None) -> list[Measurement]:
    with session.bench(directory, _SECONDS, _WARMUP_S, _IMAGE_MIB) as bench:
        peers = all_peers(bench.programs.floor)
        return [
            bench.measure(peers[name], _SCENARIO, number, lambda *_: None)
            for number in range(_ROUNDS)
            for name in ("lmtpd", "floor")
        ]


def _cpu_us(results: Results, peer: str) -> float:
    return 1000 * median(results.values(_SCENARIO, peer, "cpu_s_per_1000"))


def _ratio(results: Results) -> float:
    ratio = results.ratio(_SCENARIO, "cpu_s_per_1000", "lmtpd", "floor")
    if ratio is None:
        raise ValueError("the floor used no CPU")
    return ratio


def _judge(found: dict[str, object], committed: dict[str, object]) -> int:
    write = sys.stdout.write
    write(f"CPU for each delivery, {_SCENARIO.title}; {found['file_system']}\n")
    for name in ("lmtpd_cpu_us", "floor_cpu_us", "ratio"):
        write(f"  {name:13} {found[name]:>8}   committed: {committed[name]:>8}\n")
    now, before = float(str(found["ratio"])), float(str(committed["ratio"]))
    write(f"  {now / before:.2f} of the committed ratio; fails above {_FAILS_ABOVE:g}\n")
    return 1 if now > _FAILS_ABOVE * before else 0


if __name__ == "__main__":
    sys.exit(main())
