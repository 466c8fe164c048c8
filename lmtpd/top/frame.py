"""Frame: what the server tells, as lines for a screen of some size. The figures are the page's.

Every text that is not a constant goes through `Signs.shown`, for a peer may have chosen it; rich is
given Text and never a string that it would read as markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ..status.words import duration, many, octets
from .chart import allot
from .question import Status
from .section import HEAD, Cell, Chart, Column, Lines, List, Section
from .words import Signs, moment

_TWO_COLUMNS = 80
"""From this width on sections stand side by side."""
_GAP = 2
_AIRY = 34
"""From this height on bands have room between them."""
_ORDER_BY_BANDS = {5: (0, 1, 2, 4, 3), 9: (0, 1, 2, 4, 8, 3, 5, 6, 7)}
"""What matters most, as bands stand below each other."""
_EXPIRES_SOON_SECONDS = 14 * 86400
_STYLES = {
    "well": "bold green",
    "look": "bold yellow",
    "bad": "bold red",
    "lost": "bold red",
    "delivered": "green",
    "repeated": "green",
    "refused": "yellow",
    "failed": "bold red",
    "working": "green",
    "draining": "",
    "silent": "bold yellow",
    "missing": "bold red",
}
_OUTCOMES = {"repeated": "again"}
_STATES = {
    "well": "All is well",
    "look": "Mail is delivered, but look at this",
    "bad": "Not all mail can be delivered",
}
_LATENCIES = {"delivery": "Delivery", "disk": "Of it, the disk", "verification": "Verification"}


class Frame:
    """One answer, to be drawn."""

    def __init__(self, status: Status, fault: str | None, signs: Signs) -> None:
        """Nothing is drawn yet.

        Args:
            status: the last that was answered.
            fault: why there was no newer answer.
            signs: what the terminal can show.
        """
        self._status = status
        self._fault = fault
        self._signs = signs

    def drawn(self, width: int, height: int | None) -> list[RenderableType]:
        """Parts that stand below each other, with as many lines as there are, or as are useful.

        Raises:
            ArithmeticError, LookupError, OSError, TypeError, ValueError: the answer is none.
        """
        head = self._head(width)
        bands = self._bands(width)
        wishes = [(max(one.least for one in band), max(one.most for one in band)) for band in bands]
        gap = 1 if height is None or height >= _AIRY else 0
        room = sum(most for _, most in wishes) if height is None else height - len(head)
        gaps = gap * len(bands) if height else 0
        lines = allot(room - gaps, wishes, _ORDER_BY_BANDS[len(bands)])
        parts: list[RenderableType] = [*head]
        for band, given in zip(bands, lines, strict=True):
            if given:
                parts += [Text("")] * gap
                parts.append(_side_by_side(band, given, width))
        return parts

    # The head.

    def _head(self, width: int) -> list[Text]:
        status, shown = self._status, self._signs.shown
        left = Text("lmtpd ", HEAD, no_wrap=True, overflow="crop")
        left.append(shown(status["host"]), "bold")
        age = duration(status["now"] - status["started"])
        left.append(f"  {shown(status['version'])}, watched for {age}", "dim")
        clock = moment(status["now"], status["now"])
        left.truncate(max(0, width - len(clock) - 1), pad=True)
        left.append(f" {clock}")
        return [left, *self._verdict()]

    def _verdict(self) -> Iterator[Text]:
        status, shown = self._status, self._signs.shown
        if self._fault is not None:
            since = moment(status["now"], status["now"])
            rest = f": {shown(self._fault)}"
            yield self._sentence("lost", f"No answer since {since}", rest)
            return
        troubles = status["troubles"]
        state = "bad" if not status["is_ready"] else "look" if troubles else "well"
        whole = status["slots"][-7:-1]  # the slot of now is not over
        minute = sum(slot["delivered"] + slot["repeated"] for slot in whole)
        delivery = status["latency"]["delivery"]
        p99 = f", p99 {duration(delivery['p99'])}" if delivery else ""
        rest = f": {many(minute, 'delivery', 'deliveries')} a minute{p99}"
        yield self._sentence(state, _STATES[state], rest)
        for text in troubles[:3]:
            yield Text(f"  {shown(text)}", no_wrap=True, overflow="crop")
        if len(troubles) > 3:
            yield Text(f"  and {len(troubles) - 3} more", "dim")

    def _sentence(self, state: str, words: str, rest: str) -> Text:
        line = Text(no_wrap=True, overflow="crop")
        return line.append(f"{self._signs.marks[state]} {words}", _STYLES[state]).append(rest)

    # The bands.

    def _bands(self, width: int) -> list[tuple[Section, ...]]:
        delivered, refused = self._charts()
        pairs: list[tuple[Section, Section]] = [
            (delivered, refused),
            (self._latency(), self._disk()),
            (self._workers(), self._hooks()),
            (self._most_refused(), self._certificates()),
        ]
        last = (self._last(width),)
        if width >= _TWO_COLUMNS:
            return [*pairs, last]
        return [*((one,) for pair in pairs for one in pair), last]

    def _charts(self) -> tuple[Chart, Chart]:
        slots, seconds = self._status["slots"], self._status["slot_seconds"]
        of = {
            event: [slot[event] for slot in slots]
            for event in ("delivered", "repeated", "refused", "failed")
        }
        good = [a + b for a, b in zip(of["delivered"], of["repeated"], strict=True)]
        bad = [a + b for a, b in zip(of["refused"], of["failed"], strict=True)]
        return (
            Chart(
                "Delivered",
                good,
                [_STYLES["delivered"]] * len(slots),
                seconds,
                [("", good)],
                self._signs,
            ),
            Chart(
                "Refused",
                bad,
                [_STYLES["failed" if failed else "refused"] for failed in of["failed"]],
                seconds,
                [("", of["refused"]), ("failed ", of["failed"])],
                self._signs,
            ),
        )

    def _latency(self) -> List:
        told = self._status["latency"]
        rows = [
            (words, *(duration(told[name][part]) for part in ("p50", "p90", "p99")))
            for name, words in _LATENCIES.items()
            if told[name]
        ]
        columns = Column("Latency", 1, "left"), Column("median"), Column("p90"), Column("p99")
        return List(columns, rows, "nothing in the last hour", self._signs)

    def _disk(self) -> Lines:
        disk, signs = self._status["disk"], self._signs
        head = Text("Disk", HEAD)
        if disk is None:
            return Lines([head, Text("it does not tell", _STYLES["bad"])])
        size, free = disk["size"], disk["free"]
        share = min(1.0, max(0.0, 1 - free / size)) if size > 0 else 0.0
        full = round(20 * share)
        head.append(f"  {octets(free)} free of {octets(size)}", "")
        bar = Text(signs.full * full).append(signs.empty * (20 - full), "dim")
        bar.append(f" {100 * share:.0f} % in use")
        note = Text(signs.shown(disk["path"]), "dim")
        if disk["reserve"]:
            note.append(f", new mail waits below {octets(disk['reserve'])}")
        return Lines([head, bar, note])

    def _workers(self) -> List:
        status = self._status
        workers = status["workers"]
        working = sum(one["standing"] == "working" for one in workers)
        columns = (
            Column(f"Workers {working}/{status['workers_wanted']}", 1, "left"),
            *map(Column, ("pid", "runs", "conn.", "copies")),
        )
        # Those that do not work stand first, for there may be more than there is room for.
        workers = sorted(workers, key=lambda one: bool(one["standing"] == "working"))
        return List(columns, [self._worker(one) for one in workers], "none", self._signs, 4)

    def _worker(self, one: dict[str, Any]) -> tuple[Cell, ...]:
        standing, now = one["standing"], self._status["now"]
        mark = self._signs.marks[standing]
        is_well = standing in ("working", "draining")
        words = "" if standing == "working" else f" {standing}"
        since = "" if is_well else f" {duration(one['seen_seconds_ago'])}"
        runs = standing != "missing"
        return (
            Text(f"{mark} {one['index']}{words}{since}", _STYLES[standing]),
            str(int(one["pid"])) if runs else "",
            duration(now - one["started"]) if runs else "",
            f"{one['connections']:,}",
            f"{one['delivered']:,}",
        )

    def _hooks(self) -> List:
        columns = Column("Hooks", 1, "left"), *map(Column, ("asked", "faults", "kept"))
        rows: list[Sequence[Cell]] = []
        for one in self._status["hooks"]:
            state = "delivered" if one["is_up"] else "failed"
            text = Text(f"{self._signs.marks[state]} ", _STYLES[state])
            text.append(self._signs.shown(one["name"]), "")
            if not one["is_up"]:
                text.append(f" down {duration(one['down_seconds'])}: ")
                text.append(self._signs.shown(one["cause"]))
            figures = (f"{one[key]:,}" for key in ("asked", "faults", "remembered"))
            rows.append((text, *figures))
        return List(columns, rows, "none has told anything yet", self._signs, 4)

    def _most_refused(self) -> List:
        columns = Column("Most refused, last hour", 1, "left"), Column("times")
        rows = [
            (self._signs.shown(one["recipient"]), f"{one['count']:,}")
            for one in self._status["most_refused"]
        ]
        return List(columns, rows, "nobody", self._signs)

    def _certificates(self) -> List:
        columns = Column("Certificates", 1, "left"), Column("expires")
        rows: list[Sequence[Cell]] = []
        for one in self._status["certificates"]:
            left = one["not_after"] - self._status["now"]
            when = f"in {duration(left)}" if left >= 0 else "expired"
            style = _STYLES["look"] if left < _EXPIRES_SOON_SECONDS else ""
            name = ", ".join(map(str, one["names"])) or one["file"]
            rows.append((self._signs.shown(name), Text(when, style)))
        return List(columns, rows, "none: TLS is off", self._signs)

    def _last(self, width: int) -> List:
        is_wide, is_widest = width >= 100, width >= 150
        columns = [
            Column("Last", 0, "left"),
            Column("outcome", 0, "left"),
            Column("recipient", 3, "left"),
            *([Column("sender", 3, "left")] if is_wide else []),
            *([Column("size")] if width >= _TWO_COLUMNS else []),
            Column("took"),
            *([Column("reply", 4, "left")] if is_wide else []),
            *([Column("client", 0, "left")] if is_widest else []),
        ]
        rows: list[Sequence[Cell]] = []
        shown, marks, now = self._signs.shown, self._signs.marks, self._status["now"]
        for one in self._status["last"]:
            event = one["event"]
            words = _OUTCOMES.get(event, event)
            said = str(one["reply"]).replace(f"<{one['recipient']}> ", "")
            if one["cause"]:
                said += f" ({one['cause']})"
            rows.append(
                [
                    moment(one["time"], now),
                    Text(f"{marks[event]} {words}", _STYLES[event]),
                    shown(one["recipient"]),
                    *([shown(one["sender"])] if is_wide else []),
                    *(
                        [octets(one["size"]) if one["size"] else ""]
                        if width >= _TWO_COLUMNS
                        else []
                    ),
                    duration(one["seconds"]) if one["seconds"] else "",
                    *([shown(said)] if is_wide else []),
                    *([shown(one["peer"])] if is_widest else []),
                ]
            )
        return List(columns, rows, "nothing yet", self._signs, 6, is_flow=True)


def _side_by_side(band: Sequence[Section], lines: int, width: int) -> RenderableType:
    if len(band) == 1:
        return band[0].drawn(lines, width)
    room = (width - _GAP) // 2
    grid = Table.grid(padding=0)
    for each in (room, _GAP, room):
        grid.add_column(width=each, no_wrap=True)
    first, second = (each.drawn(min(lines, each.most), room) for each in band)
    grid.add_row(first, "", second)
    return grid
