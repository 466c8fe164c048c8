"""Measure lmtpd beside its peers.

Usage: python bench/run.py [--scenario NAME ...] [--peers NAMES] [--rounds 3] [--seconds 3]
                           [--out FOLDER] [--directory FOLDER]

The peers stand next to each other in every round, in an order that turns with the rounds, so that
what disturbs the machine disturbs all. Progress goes to standard error, the tables to standard
output. A full run replaces latest.md, latest.json and latest.png in bench/results; any other run
leaves them alone, unless --out says where to write.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Not this folder: its profile.py would stand before the standard library's.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import os
import time

from bench import machine, session, volume
from bench.measurement import Bench
from bench.peers import Peer, all_peers, lmtpd_can_link
from bench.progress import Progress
from bench.report import report
from bench.results import Results
from bench.scenarios import PEERS, SCENARIOS, Scenario, named
from bench.syncs import available, syncs_per_delivery

_RESULTS = Path(__file__).resolve().parent / "results"
_WARMUP_S = 1.0
_FULL_ROUNDS = 3


def main() -> int:
    """Run; 1 if something did not work."""
    options = _options()
    if not options.directory:
        volume.enter_private_namespace()
    wanted = tuple(peer for peer in options.peers.split(",") if _is_there(peer))
    scenarios = [named(name) for name in options.scenario] or list(SCENARIOS)
    where = "that of the folder named by --directory" if options.directory else session.JOURNALED
    results = Results(machine.facts(where), options.rounds, options.seconds)
    with session.bench(options.directory, options.seconds, _WARMUP_S) as bench:
        _measure(bench, scenarios, wanted, results)
    sys.stdout.write(report(results))
    is_full = len(scenarios) == len(SCENARIOS) and wanted == PEERS
    out = options.out or (_RESULTS if is_full and options.rounds >= _FULL_ROUNDS else None)
    if out:
        _write(results, out)
    return 1 if results.failures() else 0


def _measure(
    bench: Bench, scenarios: list[Scenario], wanted: tuple[str, ...], results: Results
) -> None:
    peers = all_peers(bench.programs.floor)
    takes_part = {
        scenario.name: [peers[name] for name in scenario.peers(wanted) if _can(name, scenario)]
        for scenario in scenarios
    }
    counted = [scenario for scenario in scenarios if scenario.counts_syncs and available()]
    runs = sum(len(takes_part[s.name]) for s in scenarios) * results.rounds
    progress = Progress(runs + sum(len(takes_part[s.name]) for s in counted))
    for number in range(1, results.rounds + 1):
        for index, scenario in enumerate(scenarios):
            for peer in _rotated(takes_part[scenario.name], number + index):
                where = f"round {number}/{results.rounds}"
                with progress.step(f"{where}  {scenario.name:13}  {peer.name:8}") as told:
                    found = bench.measure(peer, scenario, number, told.at)
                    told.outcome = found.failure or f"{found.rate:,.0f}/s"
                    results.measurements.append(found)
    for scenario in counted:
        for peer in takes_part[scenario.name]:
            with progress.step(f"syncs      {scenario.name:13}  {peer.name:8}") as told:
                counts = syncs_per_delivery(bench, peer, scenario)
                told.outcome = _listed(counts) or "not known"
                if counts:
                    results.syncs[f"{scenario.name}/{peer.name}"] = counts


def _listed(counts: dict[str, float]) -> str:
    return ", ".join(f"{call} {count:.2f}" for call, count in counts.items())


def _rotated(peers: list[Peer], by: int) -> list[Peer]:
    turn = by % len(peers) if peers else 0
    return peers[turn:] + peers[:turn]


def _can(peer: str, scenario: Scenario) -> bool:
    if peer == "lmtpd" and scenario.linked and not lmtpd_can_link():
        sys.stderr.write(f"{scenario.name}: this lmtpd has no lmtp-delivered-to yet\n")
        return False
    return True


def _is_there(peer: str) -> bool:
    if peer != "dovecot" or (machine.has_dovecot() and os.geteuid() == 0):
        return True
    sys.stderr.write("no Dovecot: it needs dovecot-lmtpd, and root; there are no ratios to it\n")
    return False


def _write(results: Results, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    results.write(out / "latest.json")
    (out / "latest.md").write_text(report(results))
    try:
        from bench.plot import plot
    except ImportError:
        sys.stderr.write("no plot: matplotlib is missing (bench/requirements.txt)\n")
        return
    plot(results, out / "latest.png")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--scenario", action="append", choices=names, default=[])
    parser.add_argument("--peers", default=",".join(PEERS), type=_peer_names)
    parser.add_argument("--rounds", type=int, default=_FULL_ROUNDS)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument("--out", type=Path, help="where to write the results")
    parser.add_argument("--directory", type=Path, help="measure here, not on an ext4 image")
    return parser.parse_args()


def _peer_names(text: str) -> str:
    unknown = set(text.split(",")) - set(PEERS)
    if unknown:
        raise argparse.ArgumentTypeError(f"not among {', '.join(PEERS)}: {', '.join(unknown)}")
    return text


if __name__ == "__main__":
    began = time.monotonic()
    try:
        status = main()
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; nothing was written\n")
        status = 130
    sys.stderr.write(f"{time.monotonic() - began:.0f} s\n")
    sys.exit(status)
