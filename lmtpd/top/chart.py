"""Chart: columns of signs."""

from __future__ import annotations

from collections.abc import Sequence


def columns(numbers: Sequence[float], rows: int, top: float, levels: str) -> list[str]:
    """Rows of a chart, the uppermost first, with a sign for each number.

    Args:
        numbers: not below zero.
        rows: how many.
        top: what fills a column; larger numbers do too.
        levels: signs from an empty cell to a full one.
    """
    parts = len(levels) - 1
    heights = [_height(number, top, rows * parts) for number in numbers]
    return [
        "".join(levels[min(parts, max(0, height - row * parts))] for height in heights)
        for row in reversed(range(rows))
    ]


def _height(number: float, top: float, most: int) -> int:
    """What is there is seen, however little it is."""
    if number <= 0 or top <= 0:
        return 0
    return max(1, min(most, round(most * number / top)))


def allot(room: int, wishes: Sequence[tuple[int, int]], order: Sequence[int]) -> list[int]:
    """Lines for each part of a page.

    Args:
        room: lines in all.
        wishes: for each part what it needs at least, and what it can use.
        order: the parts, from the one that matters most.

    Returns:
        For each part; 0 where there was not what it needs.
    """
    given = [0] * len(wishes)
    for part in order:
        least, _ = wishes[part]
        given[part] = least if least <= room else 0
        room -= given[part]
    for part in order:
        _, most = wishes[part]
        more = min(room, most - given[part]) if given[part] else 0
        given[part] += more
        room -= more
    return given
