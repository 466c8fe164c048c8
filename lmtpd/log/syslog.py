"""Syslog: lines to the syslog daemon of this machine, in the form that all of them read (RFC 3164).

The standard library's modules wait when the daemon does not read; mail would wait with them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence

from .datagrams import Datagrams
from .forms import Form
from .severity import severity

SOCKET = "/dev/log"
LONGEST = 8096
"""Octets that rsyslog and syslog-ng read of one entry, as they are delivered."""
_MAIL = 2 << 3
"""The facility (RFC 5424 6.2.1)."""
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


class Syslog:
    """The daemon behind a socket."""

    def __init__(
        self, form: Form, path: str = SOCKET, clock: Callable[[], float] = time.time
    ) -> None:
        """It is connected when there is something to say.

        Args:
            form: of the lines.
            path: of the socket.
            clock: seconds since 1970.
        """
        self._form = form
        self._clock = clock
        self._datagrams = Datagrams(path, lambda entry: entry[:LONGEST])

    def words(self, fields: Mapping[str, object]) -> str:
        """In the form of the lines."""
        return self._form.words(fields)

    def entry(self, event: str, common: str, fields: Mapping[str, object]) -> bytes:
        """The daemon notes the time itself, and reads what is before the colon."""
        line = self._form.line(None, event, common + self._form.words(fields))
        now = time.localtime(self._clock())
        # Not strftime: the names of months are English here whatever the locale.
        day = f"{_MONTHS[now.tm_mon - 1]} {now.tm_mday:2}"
        head = f"<{_MAIL | severity(event)}>{day} {time.strftime('%H:%M:%S', now)}"
        return f"{head} lmtpd[{os.getpid()}]: {line}".encode("ascii")[:LONGEST]

    def write(self, entries: Sequence[bytes]) -> int:
        """How many the daemon has taken."""
        return self._datagrams.write(entries)

    def forget(self) -> None:
        """Nothing is ever written in part."""

    def close(self) -> None:
        """Leave it."""
        self._datagrams.close()
