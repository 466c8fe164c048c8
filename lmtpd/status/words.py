"""Words for figures, as a person reads them."""

from __future__ import annotations

_UNITS = ("octets", "kB", "MB", "GB", "TB", "PB", "EB")


def many(number: int, one: str, more: str = "") -> str:
    """`1 delivery`, `1,234 deliveries`; without `more` the plural is made with an s."""
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"


def octets(number: float) -> str:
    """`999 octets`, `1.2 kB`: powers of 1,000."""
    unit = 0
    while number >= 999.5 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{_rounded(number) if unit else f'{number:.0f}'} {_UNITS[unit]}"


def duration(seconds: float) -> str:
    """`1.2 ms`, `12 s`, `5 min`, `3 h`, `4 days`."""
    seconds = max(0.0, seconds)  # a clock may have been set back
    if seconds < 0.9995:
        return f"{_rounded(seconds * 1000)} ms"
    if seconds < 99.5:
        return f"{_rounded(seconds)} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 172800:
        return f"{seconds / 3600:.0f} h"
    return many(int(seconds // 86400), "day")


def _rounded(number: float) -> str:
    """Two digits, or all before the point."""
    if number >= 99.5:
        return f"{number:,.0f}"
    return f"{round(number, 2):.2g}"
