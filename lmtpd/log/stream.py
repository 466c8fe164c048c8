"""Stream: lines into a descriptor, standard error as a rule."""

from __future__ import annotations

import os
import select
import socket
import stat
import time
from collections.abc import Callable, Mapping, Sequence

from .forms import Form


class Stream:
    """A file, terminal, pipe or socket. One that is gone has taken everything."""

    def __init__(self, descriptor: int, form: Form, clock: Callable[[], float] = time.time) -> None:
        """Open what is behind a descriptor anew, where it could make a writer wait.

        To make the descriptor itself non-blocking would concern all who share it: the shell, the
        programs of hooks.

        Args:
            descriptor: open for writing; it is not closed.
            form: of the lines.
            clock: seconds since 1970.
        """
        self._form = form
        self._clock = clock
        self._descriptor = descriptor
        self._own: socket.socket | int | None = None
        self._put = self._writer()
        self._begun = 0
        """Octets of the first line to come that are written already."""

    def words(self, fields: Mapping[str, object]) -> str:
        """In the form of the lines."""
        return self._form.words(fields)

    def entry(self, event: str, common: str, fields: Mapping[str, object]) -> bytes:
        """A line."""
        words = common + self._form.words(fields)
        return f"{self._form.line(self._clock(), event, words)}\n".encode("ascii")

    def write(self, entries: Sequence[bytes]) -> int:
        """In pieces of whole lines that a pipe takes at once, or not at all.

        So the workers' lines do not get into one another. A line that was written in part is not
        taken yet: it has to come again, and its rest is written then.
        """
        taken = 0
        try:
            while taken < len(entries):
                # Of the first line a part may be written already.
                octets = self._begun + self._put(_piece(entries, taken)[self._begun :])
                while taken < len(entries) and octets >= len(entries[taken]):
                    octets -= len(entries[taken])
                    taken += 1
                self._begun = octets
        except BlockingIOError:
            return taken
        except OSError:
            self._begun = 0
            return len(entries)
        return taken

    def forget(self) -> None:
        """The next line begins with its first octet."""
        self._begun = 0

    def close(self) -> None:
        """Close what was opened here; the descriptor itself is another's."""
        if isinstance(self._own, int):
            os.close(self._own)
        elif self._own is not None:
            self._own.close()
        self._own = None

    def _writer(self) -> Callable[[bytes], int]:
        """Writes what can be written without waiting; raises BlockingIOError if nothing can."""
        descriptor = self._descriptor
        try:
            kind = os.fstat(descriptor).st_mode
            if stat.S_ISSOCK(kind):
                # Made by the parent, which has no gevent: its sockets wait in spite of the flag.
                own = self._own = socket.socket(fileno=os.dup(descriptor))
                return lambda data: own.send(data, socket.MSG_DONTWAIT)
            if stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
                descriptor = self._own = os.open(f"/proc/self/fd/{descriptor}", flags)
        except OSError:
            pass  # closed, or no /proc: it is written to as it is
        return lambda data: os.write(descriptor, data)


def _piece(entries: Sequence[bytes], taken: int) -> bytes:
    """The next lines, up to what a pipe writes in one go."""
    end, octets = taken + 1, len(entries[taken])
    while end < len(entries) and octets + len(entries[end]) <= select.PIPE_BUF:
        octets += len(entries[end])
        end += 1
    return b"".join(entries[taken:end])
