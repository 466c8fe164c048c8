"""Readers and dialogues with the faults of known servers, to prove that the fuzzing finds them."""

from __future__ import annotations

from lmtpd.protocol.command import Bdat
from lmtpd.protocol.data import DataReader
from lmtpd.protocol.dialogue import Dialogue, NeedData
from lmtpd.protocol.events import EndOfData, Event
from tests.fuzz import targets


class LineFeedReader(DataReader):
    """LF.LF ends the text too (2023)."""

    def feed(self, data: bytes) -> bytes:
        """As if a line feed alone were an end of line."""
        before, end, behind = data.partition(b"\n.\n")
        if not end:
            return super().feed(data)
        content = super().feed(before)
        self.rest = behind
        return content


class Injectable(Dialogue):
    """What was said in clear behind STARTTLS is taken for said under TLS (CVE-2011-0411)."""

    def tls_started(self) -> None:
        """Keep it."""
        in_clear = self._input.take()
        super().tls_started()
        self._input.add(in_clear)


class Fixated(Dialogue):
    """A transaction that was begun in clear goes on under TLS."""

    def tls_started(self) -> None:
        """Keep it."""
        transaction = self._transaction
        super().tls_started()
        self._transaction = transaction


class Terse(Dialogue):
    """One reply to a message, however many its recipients are."""

    def next_event(self) -> Event | NeedData:
        """As SMTP has it."""
        event = super().next_event()
        if isinstance(event, EndOfData):
            self._owed = 1
        return event


class Running(Dialogue):
    """The octets of a BDAT that is refused are run as commands."""

    def _begin_chunk(self, chunk: Bdat) -> None:
        super()._begin_chunk(chunk)
        if self._chunk_refusal:
            self._chunk_left = 0


class Hoarding(Dialogue):
    """What was said is kept."""

    hoard = b""

    def receive(self, data: bytes) -> None:
        """All of it."""
        self.hoard += data
        super().receive(data)


KINDS = (Injectable, Fixated, Terse, Running, Hoarding)


def data(octets: bytes) -> None:
    """The target of the data reader, with one that is broken."""
    targets.data(octets, LineFeedReader)


TARGETS = {"data": data}
