"""Wire: a socket over which a back-end is asked, one question and one answer at a time."""

from __future__ import annotations

import socket
from collections.abc import Callable

from .bounded import bounded
from .verdict import AnswerError

Frame = Callable[[bytes], bytes | None]
"""From what has come to the answer in it; None before it is whole.

Raises:
    AnswerError: it will never be one.
"""

_RECEIVE_OCTETS = 16384


class Wire:
    """A connection that a Pool can keep."""

    is_spent = False

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        """Take over a connected socket; no step takes longer than so many seconds."""
        self._socket = bounded(connection)
        self._seconds = seconds

    def ask(self, request: bytes, frame: Frame) -> bytes:
        """The answer to a request.

        Raises:
            OSError: the back-end is late or gone.
            AnswerError: what it says is no answer, or too long, or more than one.
        """
        self._require_silence()
        self._socket.settimeout(self._seconds)
        self._socket.sendall(request)
        heard = b""
        while (answer := frame(heard)) is None:
            more = self._socket.recv(_RECEIVE_OCTETS)
            if not more:
                raise ConnectionResetError("the back-end hung up")
            heard += more
        return answer

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _require_silence(self) -> None:
        """What comes before we ask is the end, or an answer that somebody else was due."""
        self._socket.settimeout(0)
        try:
            early = self._socket.recv(1)
        except BlockingIOError:
            return
        raise ConnectionResetError("an answer came too late" if early else "the back-end hung up")


def line(heard: bytes) -> bytes | None:
    """The frame of answers that end with LF, which is taken off."""
    text, end, rest = heard.partition(b"\n")
    if rest:
        raise AnswerError("more than one answer came")
    return text if end else None
