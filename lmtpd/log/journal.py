"""Journal: entries with fields to systemd's journal, by its own protocol.

`journalctl LMTPD_ID=...` finds all that became of a message, `journalctl -p warning` what needs
attention. https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from .datagrams import Datagrams
from .forms import Form, escaped
from .severity import severity

SOCKET = "/run/systemd/journal/socket"
LONGEST = 48 * 1024
"""Octets of an entry that is cut; the journal itself reads 48 KiB of a line of text."""


class Journal:
    """The journal behind a socket."""

    def __init__(self, form: Form, path: str = SOCKET) -> None:
        """It is connected when there is something to say.

        Args:
            form: of the MESSAGE; the fields are beside it.
            path: of the socket.
        """
        self._form = form
        self._datagrams = Datagrams(path, _without_fields)

    def words(self, fields: Mapping[str, object]) -> str:
        """What the MESSAGE says, a line break, and a line for each field.

        A value has no line break of its own: what could break a line is escaped.
        """
        told = {key: _one_line(value) for key, value in fields.items() if value is not None}
        lines = "".join(f"LMTPD_{key.upper()}={told[key]}\n" for key in told if told[key])
        return f"{self._form.words(fields)}\n{lines}"

    def entry(self, event: str, common: str, fields: Mapping[str, object]) -> bytes:
        """The journal notes the time, and who we are, itself."""
        message, _, more = common.partition("\n")
        own_message, _, own = self.words(fields).partition("\n")
        line = self._form.line(None, event, message + own_message)
        return (
            f"MESSAGE={line}\nPRIORITY={severity(event)}\nSYSLOG_IDENTIFIER=lmtpd\n"
            f"SYSLOG_FACILITY=2\nLMTPD_EVENT={event}\n{more}{own}"
        ).encode("ascii")

    def write(self, entries: Sequence[bytes]) -> int:
        """How many the journal has taken."""
        return self._datagrams.write(entries)

    def forget(self) -> None:
        """Nothing is ever written in part."""

    def close(self) -> None:
        """Leave it."""
        self._datagrams.close()


def _one_line(value: object) -> str:
    """As it is where it is printable ASCII; else as the MESSAGE has it."""
    text = str(value)
    return text if text.isascii() and text.isprintable() else escaped(value)


def _without_fields(entry: bytes) -> bytes:
    """The MESSAGE alone, cut: a list of a thousand members is too long for one datagram."""
    return entry.partition(b"\n")[0][:LONGEST]


def is_behind(descriptor: int, environment: Mapping[str, str]) -> bool:
    """Whether what is written to a descriptor goes to the journal (systemd.exec(5))."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
