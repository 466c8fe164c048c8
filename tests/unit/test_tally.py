"""Lines of the log that a flood would repeat."""

from __future__ import annotations

import io
from collections.abc import Callable

from lmtpd.log import Log
from lmtpd.server.tally import MINUTE_S, Tally
from tests.support.memory import TextTarget


class Minutes:
    """A log, and a clock that calls what is to be called later."""

    def __init__(self) -> None:
        self._stream = io.StringIO()
        self._due: list[Callable[[], object]] = []
        self.tally = Tally(Log(TextTarget(self._stream)), self._later)

    def _later(self, seconds: float, function: Callable[..., object], *args: object) -> None:
        assert seconds == MINUTE_S
        self._due.append(lambda: function(*args))

    def passes(self) -> None:
        due, self._due = self._due, []
        for function in due:
            function()

    def lines(self) -> list[str]:
        """What was written since, less the time."""
        told = [line.partition(" ")[2] for line in self._stream.getvalue().splitlines()]
        self._stream.seek(0)
        self._stream.truncate()
        return told


def test_the_first_is_told_and_the_others_are_counted() -> None:
    minutes = Minutes()
    for peer in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.1"):
        minutes.tally.note("refused", peer=peer)
    assert minutes.lines() == ["refused peer=192.0.2.1", "refused peer=192.0.2.2"]
    minutes.passes()
    assert minutes.lines() == ["refused peer=192.0.2.1 more=2"]
    minutes.passes()
    assert minutes.lines() == []
    minutes.tally.note("refused", peer="192.0.2.1")
    assert minutes.lines() == ["refused peer=192.0.2.1"]


def test_peers_without_end_are_told_together() -> None:
    minutes = Minutes()
    for number in range(5000):
        minutes.tally.note("refused", peer=str(number))
    told = minutes.lines()
    assert len(told) == 1001
    assert told[-2:] == ["refused peer=999", "refused"]
    minutes.passes()
    assert minutes.lines() == ["refused more=3999"]
