"""The results as tables: in the terminal, and in Markdown as they are committed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.results import Results
from bench.scenarios import IDLE_KIB, PSS_PER_WORKER_MIB, Scenario, named

_NONE = "-"
_BUSY_CLIENT = 0.8


def report(results: Results) -> str:
    """All tables, in Markdown."""
    parts = [_head(results), _against_targets(results), _memory(results), _figures(results)]
    return "\n\n".join(part for part in [*parts, _remarks(results)] if part) + "\n"


def _head(results: Results) -> str:
    facts = [f"- {name}: {fact}" for name, fact in results.machine.items()]
    facts.append(f"- {results.rounds} interleaved rounds of {results.seconds:g} s each, medians")
    return "\n".join(["# What was measured", "", *facts])


def _against_targets(results: Results) -> str:
    rows = []
    for scenario in results.scenarios():
        wanted = scenario.targets
        cells = [
            _judged(_rate(results, scenario, "dovecot"), wanted.rate_to_dovecot, is_floor=True),
            _judged(_cpu(results, scenario, "dovecot"), wanted.cpu_to_dovecot, is_floor=False),
            _judged(_rate(results, scenario, "floor"), wanted.rate_to_floor, is_floor=True),
            _judged(_cpu(results, scenario, "floor"), None, is_floor=False),
        ]
        rows.append([scenario.title, *cells])
    head = ["scenario", "rate / Dovecot", "CPU / Dovecot", "rate / floor", "CPU / floor"]
    return "## lmtpd against the targets\n\n" + table(head, rows)


def _rate(results: Results, scenario: Scenario, to: str) -> float | None:
    return results.ratio(scenario, "rate", "lmtpd", to)


def _cpu(results: Results, scenario: Scenario, to: str) -> float | None:
    return results.ratio(scenario, "cpu_s_per_1000", "lmtpd", to)


def _judged(value: float | None, target: float | None, is_floor: bool) -> str:
    if value is None:
        return _NONE
    if target is None:
        return f"{value:.2f}"
    is_met = value >= target if is_floor else value <= target
    sign = "≥" if is_floor else "≤"
    return f"{value:.2f} ({sign} {target:g}{'' if is_met else ', **missed**'})"


def _memory(results: Results) -> str:
    rows = []
    measured = {scenario.name for scenario in results.scenarios()}
    if "25m" in measured:
        scenario = named("25m")
        peak = results.median(scenario, "lmtpd", "pss_process_mib")
        text = _judged(peak, PSS_PER_WORKER_MIB, is_floor=False)
        rows.append([f"{scenario.title}: peak PSS of the largest process, MiB", text])
    for name, target in IDLE_KIB.items():
        if name in measured:
            scenario = named(name)
            added = results.median(scenario, "lmtpd", "idle_kib")
            text = _judged(added, target, is_floor=False)
            rows.append([f"{scenario.title}: PSS for each idle one, KiB", text])
    return "## lmtpd's memory\n\n" + table(["figure", "lmtpd"], rows) if rows else ""


_COLUMNS: dict[str, Callable[[Results, Scenario, str], str]] = {
    "deliveries/s": lambda r, s, p: _number(r.median(s, p, "rate"), 0),
    "lowest - highest": lambda r, s, p: _spread(r.values(s, p, "rate")),
    "p50 ms": lambda r, s, p: _number(r.median(s, p, "p50_ms"), 1),
    "p99 ms": lambda r, s, p: _number(r.median(s, p, "p99_ms"), 1),
    "CPU s / 1,000": lambda r, s, p: _number(r.median(s, p, "cpu_s_per_1000"), 3),
    "peak PSS MiB": lambda r, s, p: _number(r.median(s, p, "pss_mib"), 1),
    "largest process": lambda r, s, p: _number(r.median(s, p, "pss_process_mib"), 1),
    "idle KiB": lambda r, s, p: _number(r.median(s, p, "idle_kib"), 1),
    "syncs / delivery": lambda r, s, p: _number(r.syncs_per_delivery(s, p), 2),
    "client CPU": lambda r, s, p: _number(r.median(s, p, "client_cpu"), 2),
}


def _figures(results: Results) -> str:
    rows = []
    for scenario in results.scenarios():
        for peer in results.peers(scenario):
            cells = [cell(results, scenario, peer) for cell in _COLUMNS.values()]
            rows.append([scenario.title, peer, *cells])
    return "## All figures\n\n" + table(["scenario", "server", *_COLUMNS], rows, left=2)


def _remarks(results: Results) -> str:
    lines = [
        f"- {found.scenario}, {found.peer}, round {found.round}: {found.failure}"
        for found in results.failures()
    ]
    for found in results.measurements:
        if found.client_cpu > _BUSY_CLIENT:
            where = f"{found.scenario}, {found.peer}, round {found.round}"
            lines.append(f"- {where}: the client was busy; the server may be faster than this")
    return "\n".join(["## What did not work", "", *lines]) if lines else ""


def _number(value: float | None, digits: int) -> str:
    return _NONE if value is None else f"{value:,.{digits}f}"


def _spread(values: list[float]) -> str:
    return f"{min(values):,.0f} - {max(values):,.0f}" if len(values) > 1 else _NONE


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table of Markdown, readable as it stands; all but the first columns to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        pairs = list(zip(cells, widths, strict=True))
        texts = [cell.ljust(width) for cell, width in pairs[:left]]
        numbers = [cell.rjust(width) for cell, width in pairs[left:]]
        return "| " + " | ".join(texts + numbers) + " |"

    rule = ["-" * width for width in widths[:left]]
    rule += ["-" * (width - 1) + ":" for width in widths[left:]]
    return "\n".join([line(head), line(rule), *(line(row) for row in rows)])
