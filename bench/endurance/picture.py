"""The picture of a soak: mail, memory and descriptors over time, with the troubles behind them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.colors import TABLEAU_COLORS
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.endurance.ledger import ACKNOWLEDGED, DEFERRED
from bench.endurance.record import Record
from bench.endurance.vitals import OTHER, PARENT, WORKER, Sample

_ROLES = {PARENT: "#b03030", WORKER: "#1f6fb4", OTHER: "#2f8f4e"}
_PALETTE = tuple(map(str, TABLEAU_COLORS.values()))
_SHORT_S = 1.0
_SMOOTHED_S = 5


def draw(record: Record, path: Path) -> None:
    """Three panels into a PNG."""
    figure = Figure(figsize=(15, 10), layout="constrained")
    mail, memory, descriptors = figure.subplots(3, 1, sharex=True)
    colours = dict(zip(sorted({one.name for one in record.happened}), _PALETTE, strict=False))
    _mail(mail, record)
    _processes(memory, record, lambda sample: sample.pss_kib / 1024)
    _processes(descriptors, record, lambda sample: sample.descriptors)
    for axes, title in (
        (mail, "final replies in a second"),
        (memory, "PSS of each process, MiB"),
        (descriptors, "descriptors of each process"),
    ):
        _troubles(axes, record, colours)
        axes.set_title(title, loc="left")
        axes.set_ylim(bottom=0)
        axes.margins(x=0)
        axes.grid(axis="y", alpha=0.3)
        axes.legend(loc="upper right", fontsize=8)
    descriptors.set_xlabel("seconds")
    patches = [Patch(color=colour, label=name) for name, colour in colours.items()]
    figure.legend(handles=patches, loc="outside upper center", ncols=5, frameon=False)
    figure.savefig(path, dpi=90)


def _mail(axes: Axes, record: Record) -> None:
    moments = record.ledger.moments
    seconds = range(max((second for second, _ in moments), default=0) + 1)
    for what, colour in ((ACKNOWLEDGED, "#1f6fb4"), (DEFERRED, "#e08a1e")):
        values = [moments[second, what] for second in seconds]
        smooth = [
            sum(values[max(0, at - _SMOOTHED_S + 1) : at + 1]) / _SMOOTHED_S for at in seconds
        ]
        axes.plot(seconds, smooth, color=colour, linewidth=1.2, label=what)


def _processes(axes: Axes, record: Record, figure: Callable[[Sample], float]) -> None:
    """A line for the life of each."""
    lives: dict[int, list[Sample]] = defaultdict(list)
    for sample in record.samples:
        lives[sample.pid].append(sample)
    named = set()
    for life in lives.values():
        # A worker is known as one when it has started; its first sample may be too early.
        role = life[-1].role
        axes.plot(
            [sample.at for sample in life],
            [figure(sample) for sample in life],
            color=_ROLES[role],
            linewidth=1,
            label=None if role in named else role,
        )
        named.add(role)


def _troubles(axes: Axes, record: Record, colours: dict[str, str]) -> None:
    for one in record.happened:
        colour = colours.get(one.name, "#dddddd")
        if one.ended - one.begun < _SHORT_S:
            axes.axvline(one.begun, color=colour, linewidth=1.2, zorder=1)
        else:
            axes.axvspan(one.begun, one.ended, color=colour, alpha=0.35, zorder=0, linewidth=0)
