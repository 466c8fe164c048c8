"""A reader as many servers had in 2023, to prove that the fuzzing finds it."""

from __future__ import annotations

from lmtpd.protocol.data import DataReader
from tests.fuzz import targets


class LineFeedReader(DataReader):
    """LF.LF ends the text too."""

    def feed(self, data: bytes) -> bytes:
        """As if a line feed alone were an end of line."""
        before, end, behind = data.partition(b"\n.\n")
        if not end:
            return super().feed(data)
        content = super().feed(before)
        self.rest = behind
        return content


def data(octets: bytes) -> None:
    """The target of the data reader, with this one."""
    targets.data(octets, LineFeedReader)


TARGETS = {"data": data}
