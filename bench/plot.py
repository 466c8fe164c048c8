"""The results as a picture: rate and CPU of every server, relative to Dovecot's.

Usage: python -m bench.plot [FOLDER], which draws FOLDER/latest.png from FOLDER/latest.json.

Both scales are logarithmic, so that twice and half are the same distance from Dovecot's line.
Messages are of 4 KiB where nothing else is said.
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from bench.results import Results
from bench.scenarios import Scenario

_COLOURS = {"lmtpd": "#1f6fb4", "floor": "#8c8c8c", "aiosmtpd": "#e08a1e"}
_TITLES = {"lmtpd": "lmtpd", "floor": "floor (C, nothing but the syncs)", "aiosmtpd": "aiosmtpd"}
_BAR = 0.27
_RATES = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
_CPUS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


def plot(results: Results, path: Path) -> None:
    """Draw both panels into a PNG."""
    scenarios = [
        scenario for scenario in results.scenarios() if "dovecot" in results.peers(scenario)
    ]
    figure = Figure(figsize=(13, 9.5), layout="constrained")
    above, below = figure.subplots(2, 1)
    _panel(above, results, scenarios, "rate", "rate, Dovecot = 1 (higher is better)", _RATES)
    _panel(
        below,
        results,
        scenarios,
        "cpu_s_per_1000",
        "CPU for each delivery, Dovecot = 1 (lower is better)",
        _CPUS,
    )
    above.legend(loc="upper left", ncols=len(_COLOURS) + 2, frameon=False)
    figure.savefig(path, dpi=110)


def _panel(
    axes: Axes,
    results: Results,
    scenarios: list[Scenario],
    figure: str,
    title: str,
    ticks: tuple[float, ...],
) -> None:
    axes.set_yscale("log")
    axes.axhline(1, color="#b03030", linewidth=1.5, label="Dovecot", zorder=3)
    heights = [1.0]
    for offset, (peer, colour) in enumerate(_COLOURS.items()):
        for index, scenario in enumerate(scenarios):
            ratio = results.ratio(scenario, figure, peer, "dovecot")
            if ratio is None:
                continue
            heights.append(ratio)
            # From Dovecot's line, up or down.
            at = index + (offset - 1) * _BAR
            label = _TITLES[peer] if peer not in _labels(axes) else None
            axes.bar(at, ratio - 1, _BAR, bottom=1, color=colour, label=label, gid=peer)
            _write_value(axes, at, ratio)
    _draw_targets(axes, scenarios, figure)
    axes.set_title(title, loc="left")
    axes.set_yticks(ticks)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(min(heights) / 1.7, max(heights) * 2.2)
    axes.set_xticks(range(len(scenarios)), [_short(scenario) for scenario in scenarios])
    axes.set_xlim(-0.6, len(scenarios) - 0.4)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)


def _labels(axes: Axes) -> set[str | None]:
    return {patch.get_gid() for patch in axes.patches}


def _write_value(axes: Axes, at: float, ratio: float) -> None:
    is_up = ratio >= 1
    text = f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"
    axes.annotate(
        text,
        (at, ratio),
        xytext=(0, 3 if is_up else -3),
        textcoords="offset points",
        ha="center",
        va="bottom" if is_up else "top",
        fontsize=8,
        # Readable also where a target runs through it.
        bbox={
            "boxstyle": "square,pad=0.1",
            "facecolor": "white",
            "edgecolor": "none",
            "alpha": 0.8,
        },
        zorder=5,
    )


def _draw_targets(axes: Axes, scenarios: list[Scenario], figure: str) -> None:
    for index, scenario in enumerate(scenarios):
        targets = scenario.targets
        target = targets.rate_to_dovecot if figure == "rate" else targets.cpu_to_dovecot
        if target is not None:
            left, right = index - 1.5 * _BAR - 0.03, index - 0.5 * _BAR + 0.03
            axes.plot([left, right], [target, target], color="black", linewidth=2, zorder=4)
    axes.plot([], [], color="black", linewidth=2, label="target for lmtpd")


def _short(scenario: Scenario) -> str:
    lines = scenario.title.replace(" each, ", "\neach, ").replace(" and ", "\nand ").split(", ")
    return "\n".join(line for line in lines if line != "4 KiB")


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "results")
    plot(Results.read(where / "latest.json"), where / "latest.png")
