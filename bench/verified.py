"""How many recipients lmtpd verifies in a second, and what each costs, by the hook that knows them.

Usage: python bench/verified.py [--rounds 5] [--seconds 3] [--out FOLDER]

100 connections ask as Postfix's probes do, MAIL, RCPT, RSET, and send no message; and once more
with 50 RCPT, where the hook weighs most. The hooks are measured one after the other in each round,
in an order that turns. A full run replaces `verified.md` and `.json` in bench/results/; any other
leaves them alone, unless --out says where to write. The CPU is that of lmtpd, a data base's own is
not in it. The target is the issue's: from the cache a RCPT costs at most 1.5 times what it costs
with the hook `maildirs`. No mail is stored, so it needs no root and no file system of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Not this folder: its profile.py would stand before the standard library's.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import inf
from statistics import median

import sqlalchemy

from bench import machine, session
from bench.maildirs import DOMAIN
from bench.measurement import Bench
from bench.peers import Peer, Place, lmtpd
from bench.progress import Progress
from bench.report import table
from bench.results import Results
from bench.scenarios import MAILBOXES, Scenario
from tests.components import COMPONENTS
from tests.support.certificates import Certificate
from tests.support.postgresql import PASSWORD, PostgreSQL

_RESULTS = Path(__file__).resolve().parent / "results"
_FULL_ROUNDS = 5
_WARMUP_S = 1.0
_MOST = 1.5
_QUERY = "SELECT mailbox FROM recipients WHERE address = :address"

_PROBES = Scenario("probes", "MAIL, 1 RCPT, RSET", connections=100, is_probe=True)
_LISTS = Scenario("rcpt50", "MAIL, 50 RCPT, RSET", connections=100, recipients=50, is_probe=True)
SCENARIOS = (_PROBES, _LISTS)

_MAILDIRS = "maildirs"
_KEPT = ("table", "sql")
# With 50 RCPT the connections would ask for the same at once, and share the answers.
_UNCACHED = "sql-uncached"


def main() -> int:
    """Run; 1 if something did not work or is too dear."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="lmtpd-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        bench = stack.enter_context(session.bench(folder, options.seconds, _WARMUP_S))
        url, what = stack.enter_context(_data_base(bench))
        facts = machine.facts("none is written to")
        del facts["peers"]
        results = Results({**facts, "data base": what}, options.rounds, options.seconds)
        _measure(bench, _hooks(url, folder), results)
    text = _report(results)
    sys.stdout.write(text)
    out = options.out or (_RESULTS if options.rounds >= _FULL_ROUNDS else None)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        results.write(out / "verified.json")
        (out / "verified.md").write_text(text)
    return 1 if results.failures() or _misses(results) else 0


def _hooks(url: str, folder: Path) -> list[Peer]:
    """lmtpd with one hook or another, each knowing the same recipients."""
    addresses = folder / "table"
    addresses.write_text("".join(f"{address}\n" for address in _addresses()))
    password = folder / "password"
    password.write_text(f"{PASSWORD}\n")
    sql = {"recipient-hooks": "sql", "sql-url": url, "sql-query": _QUERY}
    sql |= {} if url.startswith("sqlite") else {"sql-password-file": str(password)}
    return [
        _with(_MAILDIRS, {"recipient-hooks": "maildirs"}),
        _with("table", {"recipient-hooks": "table", "recipient-table": str(addresses)}),
        _with("sql", sql),
        _with(_UNCACHED, {**sql, "verify-positive-ttl": "0"}),
    ]


def _with(name: str, settings: dict[str, str]) -> Peer:
    words = [word for key, value in settings.items() for word in (f"--lmtp-{key}", value)]

    def command(place: Place, scenario: Scenario) -> list[str]:
        return [*lmtpd(place, scenario), *words]

    return Peer(name, None, command)


def _addresses() -> list[str]:
    return [f"u{number:03}@{DOMAIN}" for number in range(MAILBOXES)]


@contextmanager
def _data_base(bench: Bench) -> Iterator[tuple[str, str]]:
    """A data base that knows the recipients: its URL, and what it is. PostgreSQL if it is there."""
    if COMPONENTS["postgresql"].missing():
        path = bench.folder / "mail.db"
        _fill(f"sqlite:///{path}")
        yield f"sqlite:///{path}", "SQLite (PostgreSQL is not installed)"
        return
    certificate = Certificate(bench.certificate.cert_path, bench.certificate.key_path)
    with PostgreSQL(certificate) as server:
        at = f"127.0.0.1:{server.port}/mail"
        _fill(f"postgresql+pg8000://lmtpd:{PASSWORD.replace(' ', '%20')}@{at}")
        yield f"postgresql://lmtpd@{at}", "PostgreSQL, on this machine"


def _fill(url: str) -> None:
    engine = sqlalchemy.create_engine(url)
    rows = [{"address": address} for address in _addresses()]
    with engine.begin() as connection:
        make = "CREATE TABLE recipients (address VARCHAR(320) PRIMARY KEY, mailbox VARCHAR(320))"
        connection.execute(sqlalchemy.text(make))
        fill = "INSERT INTO recipients VALUES (:address, :address)"
        connection.execute(sqlalchemy.text(fill), rows)
    engine.dispose()


def _measure(bench: Bench, hooks: list[Peer], results: Results) -> None:
    takes_part = {
        scenario: [hook for hook in hooks if scenario is _PROBES or hook.name != _UNCACHED]
        for scenario in SCENARIOS
    }
    progress = Progress(sum(map(len, takes_part.values())) * results.rounds)
    for number in range(1, results.rounds + 1):
        for scenario, those in takes_part.items():
            turn = number % len(those)
            for hook in those[turn:] + those[:turn]:
                where = f"round {number}/{results.rounds}"
                with progress.step(f"{where}  {scenario.name:6}  {hook.name:13}") as told:
                    found = bench.measure(hook, scenario, number, told.at)
                    told.outcome = found.failure or f"{found.rate:,.0f}/s"
                    results.measurements.append(found)


def _report(results: Results) -> str:
    rows = [
        _row(results, scenario, hook)
        for scenario in SCENARIOS
        for hook in (_MAILDIRS, *_KEPT, _UNCACHED)
        if any(
            found.scenario == scenario.name and found.peer == hook for found in results.measurements
        )
    ]
    head = ["asked", "hook", "RCPT/s", "lowest - highest", "p50 ms", "p99 ms", "CPU µs / RCPT"]
    lines = ["# Recipients verified", ""]
    lines += [f"- {name}: {fact}" for name, fact in results.machine.items()]
    lines += [f"- {results.rounds} interleaved rounds of {results.seconds:g} s each, medians", ""]
    lines.append(table([*head, "CPU / maildirs"], rows, left=2))
    lines += [f"- {one.scenario}, {one.peer}: {one.failure}" for one in results.failures()]
    return "\n".join(lines) + "\n"


def _row(results: Results, scenario: Scenario, hook: str) -> list[str]:
    rates = results.values(scenario, hook, "rate")
    if not rates:
        return [scenario.title, hook, *["-"] * 6]
    cost = 1000 * median(results.values(scenario, hook, "cpu_s_per_1000"))
    ratio = _ratio(results, scenario, hook)
    target = f" (≤ {_MOST}{', **missed**' if ratio > _MOST else ''})" if hook in _KEPT else ""
    return [
        scenario.title,
        hook,
        f"{median(rates):,.0f}",
        f"{min(rates):,.0f} - {max(rates):,.0f}",
        f"{median(results.values(scenario, hook, 'p50_ms')):.1f}",
        f"{median(results.values(scenario, hook, 'p99_ms')):.1f}",
        f"{cost:.0f}",
        f"{ratio:.2f}{target}",
    ]


def _ratio(results: Results, scenario: Scenario, hook: str) -> float:
    """Of the CPU for each RCPT; infinite if it could not be measured."""
    found = results.ratio(scenario, "cpu_s_per_1000", hook, _MAILDIRS)
    return inf if found is None else found


def _misses(results: Results) -> list[str]:
    """The hooks that cost more than the target, from the cache."""
    return [
        hook for scenario in SCENARIOS for hook in _KEPT if _ratio(results, scenario, hook) > _MOST
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=_FULL_ROUNDS)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument("--out", type=Path, help="where to write the results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
