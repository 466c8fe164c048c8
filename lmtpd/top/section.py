"""Section: a part of the screen that has so many lines as it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .chart import columns
from .words import Signs

_LABEL = 6
"""Signs in front of a chart's columns."""
HEAD = "bold cyan"


class Section(Protocol):
    """What is drawn."""

    @property
    def least(self) -> int:
        """Lines without which it is not worth its place."""

    @property
    def most(self) -> int:
        """Lines that it can use."""

    def drawn(self, lines: int, width: int) -> RenderableType:
        """So many lines."""


@dataclass(frozen=True, slots=True)
class Column:
    """Of a list."""

    head: str
    share: int = 0
    """Of the width that is left; 0 is as wide as what stands in it."""
    side: Literal["left", "right"] = "right"


Cell = Text | str


@dataclass(frozen=True, slots=True)
class List:
    """Rows below their headings; those that have no room are counted."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    if_empty: str
    signs: Signs
    rows_wanted: int = 3
    is_flow: bool = False
    """There is no end of rows, and so those that have no room are not counted."""

    @property
    def least(self) -> int:
        """The headings and some rows."""
        return 1 + max(1, min(self.rows_wanted, len(self.rows)))

    @property
    def most(self) -> int:
        """All rows."""
        return 1 + max(1, len(self.rows))

    def drawn(self, lines: int, width: int) -> RenderableType:
        """So many rows as there is room for."""
        table = Table(
            box=None,
            expand=True,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            header_style=HEAD,
            width=width,
        )
        overflow: Literal["ellipsis", "crop"] = "ellipsis" if self.signs.is_unicode else "crop"
        for column in self.columns:
            table.add_column(
                Text(column.head),
                ratio=column.share or None,
                justify=column.side,
                no_wrap=True,
                overflow=overflow,
            )
        room = lines - 1
        is_cut = len(self.rows) > room and not self.is_flow
        for row in self.rows[: room - 1 if is_cut else room]:
            table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
        if is_cut:
            table.add_row(Text(f"and {len(self.rows) - room + 1} more", style="dim"))
        if not self.rows:
            table.add_row(Text(self.if_empty, style="dim"))
        return table


@dataclass(frozen=True, slots=True)
class Chart:
    """What happened in each slot of the last minutes, the newest at the right."""

    title: str
    numbers: Sequence[int]
    styles: Sequence[str]
    """Of each column."""
    slot_seconds: int
    caption: Sequence[tuple[str, Sequence[int]]]
    """What is counted: the words in front of its sum."""
    signs: Signs

    least = 2
    most = 6

    def drawn(self, lines: int, width: int) -> RenderableType:
        """A line of words above the columns."""
        seen = max(1, min(width - _LABEL, len(self.numbers)))
        minutes = max(1, round(seen * self.slot_seconds / 60))
        head = Text(no_wrap=True, overflow="crop")
        head.append(self.title, HEAD)
        told = ", ".join(f"{words}{sum(each[-seen:]):,}" for words, each in self.caption)
        head.append(f"  {told} in {minutes} min")
        numbers = self.numbers[-seen:]
        top = max(*numbers, 1)
        drawn = [head]
        rows = columns(numbers, lines - 1, top, self.signs.levels)
        for index, row in enumerate(rows):
            label = f"{_short(top)} " if index == 0 else ("0 " if index == lines - 2 else "")
            line = Text(no_wrap=True, overflow="crop").append(f"{label:>{_LABEL}}", "dim")
            for sign, style in zip(row, self.styles[-seen:], strict=True):
                line.append(sign, style)
            drawn.append(line)
        return Text("\n", no_wrap=True, overflow="crop").join(drawn)


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines as they are; what has no room is left out."""

    lines: Sequence[Text]

    @property
    def least(self) -> int:
        """The first two."""
        return min(2, len(self.lines))

    @property
    def most(self) -> int:
        """All."""
        return len(self.lines)

    def drawn(self, lines: int, width: int) -> RenderableType:  # noqa: ARG002 - as the others
        """The first."""
        return Text("\n", no_wrap=True, overflow="crop").join(self.lines[:lines])


def _short(number: int) -> str:
    """Four signs at most: `9999`, `12k`, `3M`."""
    for unit in ("", "k", "M", "G"):
        if number < 10_000 or unit == "G":
            break
        number //= 1000
    return f"{number}{unit}"
