"""Where lmtpd spends its time in one scenario: a flame graph by py-spy.

Usage: python bench/profile.py SCENARIO [--seconds 8] [--native] [--threads] [--out FILE]

Writes bench/results/profile-SCENARIO.svg, over all processes of lmtpd. Threads that sleep are left
out: it shows CPU, not the disk. `--native` shows the frames of C as well, for which each sample
stops the server for longer. A profiled server is slower; the rate that is printed says only that it
was at work.
"""

# ruff: noqa: S603

from __future__ import annotations

import sys
from pathlib import Path

# Not this folder: this file's own name is a module of the standard library.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import shutil
import subprocess
from contextlib import ExitStack

from bench import session, volume
from bench.load import Load, LoadError
from bench.maildirs import check
from bench.measurement import Bench
from bench.meter import Meter, meter
from bench.peers import all_peers, lmtpd_can_link
from bench.scenarios import SCENARIOS, Scenario, named
from bench.servers import PROJECT, running

_RESULTS = Path(__file__).resolve().parent / "results"
_RATE_HZ = 100
_WARMUP_S = 1.0
# py-spy reads the symbols of every library before its first sample, while the load runs already.
_STARTS_WITHIN_S = 4.0
_WRITES_WITHIN_S = 120.0


class ProfileError(Exception):
    """There is no profile; py-spy's words say why."""


def main() -> int:
    """Record; 1 if there is no profile."""
    options = _options()
    if not options.directory:
        volume.enter_private_namespace()
    scenario = named(options.scenario)
    if scenario.linked and not lmtpd_can_link():
        raise SystemExit("this lmtpd has no lmtp-delivered-to")
    out = options.out or _RESULTS / f"profile-{scenario.name}.svg"
    out.parent.mkdir(parents=True, exist_ok=True)
    seconds = options.seconds + _STARTS_WITHIN_S
    with session.bench(options.directory, seconds, _WARMUP_S) as bench:
        try:
            rate = _profile(bench, scenario, options, out)
        except (ProfileError, LoadError) as error:
            sys.stderr.write(f"{error}\n")
            return 1
    sys.stdout.write(f"{out.name}: {rate:,.0f} deliveries/s while it was recorded\n")
    return 0


def _profile(bench: Bench, scenario: Scenario, options: argparse.Namespace, out: Path) -> float:
    lmtpd = all_peers(bench.programs.floor)["lmtpd"]
    with ExitStack() as stack:
        place = bench.enter_place(lmtpd, scenario, stack)
        counter = stack.enter_context(meter("profile"))
        command = lmtpd.command(place, scenario)
        with running(command, place.port, counter, place.folder / "output"):
            recorder = _Recorder(counter, options, bench.folder / "flame.svg")
            load = bench.load(scenario)
            rate, acknowledged = recorder.follow(load, place.port)
        if complaint := check(place.root, acknowledged, load.sent):
            raise ProfileError(complaint)
    out.write_text(_without_paths((bench.folder / "flame.svg").read_text(), bench))
    return rate


def _without_paths(svg: str, bench: Bench) -> str:
    """The same picture, which may be shown to others: py-spy writes whole command lines."""
    for path, name in {sys.executable: "python", bench.disk: "maildirs", PROJECT: "lmtpd"}.items():
        svg = svg.replace(str(path), name)
    return svg


class _Recorder:
    """Starts py-spy when the warm-up is over."""

    def __init__(self, counter: Meter, options: argparse.Namespace, svg: Path) -> None:
        self._counter = counter
        self._options = options
        self._svg = svg
        self._process: subprocess.Popen[str] | None = None

    def follow(self, load: Load, port: int) -> tuple[float, list[int]]:
        """Run the load under py-spy; its rate, and what was acknowledged by mailbox."""
        try:
            loaded = load.run(port, self)
            self._finish()
        finally:
            if self._process:
                self._process.kill()
                self._process.wait()
        return loaded.deliveries / loaded.seconds, loaded.acknowledged

    def idle_open(self) -> None: ...

    def begin(self, _: float) -> None:
        # The parent of all is the one whose parent is not among them.
        parent = min(self._counter.pids())
        words = [_py_spy(), "record", "--subprocesses", "--format", "flamegraph"]
        words += ["--rate", str(_RATE_HZ), "--duration", str(round(self._options.seconds))]
        words += ["--pid", str(parent), "--output", str(self._svg)]
        # Unwinding C stops the server for several times as long as reading Python's own frames.
        words += ["--native"] if self._options.native else ["--nonblocking"]
        words += ["--threads"] if self._options.threads else []
        self._process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def at(self, seconds: float, deliveries: int) -> None: ...

    def end(self, _: float) -> None: ...

    def _finish(self) -> None:
        if self._process is None:
            raise ProfileError("the load never began")
        said, _ = self._process.communicate(timeout=_WRITES_WITHIN_S)
        if self._process.returncode or not self._svg.exists():
            raise ProfileError(said)


def _py_spy() -> str:
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if not found:
        raise ProfileError("py-spy is missing: pip install -r bench/requirements.txt")
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("scenario", choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--native", action="store_true", help="C frames too")
    parser.add_argument("--threads", action="store_true", help="each thread for itself")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--directory", type=Path, help="run here, not on an ext4 image")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
