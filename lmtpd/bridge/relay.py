"""For Sendmail: LMTP on standard input and output, carried to a server as it is.

What Sendmail says goes through octet for octet. Of the server only whole replies go through: if it
is lost in the middle of one, its first half and our 421 would read as one reply, perhaps a success.
"""

from __future__ import annotations

import contextlib
import os
import re
import select

from ..client.connection import Connection
from ..client.dialogue import FINAL_S, SessionEndedError, opening
from ..client.reader import ReplyReader
from ..client.tls import TlsMode
from ..hostname import machine_name
from ..protocol import replies
from ..protocol.reply import Reply
from .call import Call, UsageError
from .exits import SOFT

_STDIN, _STDOUT = 0, 1
_READ_OCTETS = 256 * 1024
_LONGEST_REPLY = 256 * 1024
# The last line of a reply: a code, and no hyphen behind it.
_LAST_LINE = re.compile(rb"^([0-9]{3})(?: [^\n]*|\r)?\n", re.M)


def run(call: Call) -> int:
    """Relay until the session ends; EX_TEMPFAIL if it did not end with a 221."""
    if len(call.arguments) > 1:
        raise UsageError("lmtp takes one server")
    if call.arguments:
        call.options.setdefault("--to", call.arguments[0])
    try:
        with Connection(call.target, call.tls) as connection:
            return _Relay(connection).run(call.tls.mode)
    except SessionEndedError as ended:
        return _refuse(ended.reply)
    except (OSError, ValueError) as error:
        unreachable = replies.UNREACHABLE
        reason = getattr(error, "strerror", None) or error
        return _refuse(unreachable.saying(f"{unreachable.lines[0]}: {reason}"))


class _Relay:
    """One session between standard input, standard output and the server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._held = b""
        self._last_code = ""

    def run(self, mode: TlsMode) -> int:
        """Both directions until the server ends; the exit code."""
        reason = "the server closed it"
        try:
            if mode.has_starttls:
                self._open(mode)
            self._carry()
        except OSError as error:
            reason = str(error.strerror or error)
        if self._last_code == str(replies.BYE.code):
            return os.EX_OK
        if self._last_code == str(replies.SHUTTING_DOWN.code):  # the server has said it itself
            return SOFT
        lost = replies.CONNECTION_LOST
        return _refuse(lost.saying(f"{lost.lines[0]}: {reason}"))

    def _open(self, mode: TlsMode) -> None:
        """Do TLS by ourselves, and greet Sendmail as the server would have."""
        name = machine_name()
        self._connection.perform(opening(ReplyReader(), name, mode))
        _write(replies.GREETING.saying(f"{name} {replies.GREETING.lines[0]}").encode())

    def _carry(self) -> None:
        inputs = [_STDIN, self._connection.fileno()]
        while True:
            ready, _, _ = select.select(inputs, (), (), FINAL_S)
            if not ready:
                raise TimeoutError(f"nothing was said for {FINAL_S:.0f} seconds")
            # The server first: what it has said came before what Sendmail says now.
            if inputs[-1] in ready and not self._from_server():
                return
            if _STDIN in ready and not self._from_client():
                inputs.remove(_STDIN)
                self._connection.send_end()

    def _from_server(self) -> bool:
        """False at its end."""
        data = self._connection.received()
        self._held += data or b""
        if len(self._held) > _LONGEST_REPLY:
            raise OSError("the server's reply has no end")
        end = 0
        for line in _LAST_LINE.finditer(self._held):
            end, self._last_code = line.end(), line[1].decode("ascii")
        _write(self._held[:end])
        self._held = self._held[end:]
        return data != b""

    def _from_client(self) -> bool:
        """False at its end."""
        data = os.read(_STDIN, _READ_OCTETS)
        self._connection.send(data)
        return data != b""


def _refuse(reply: Reply) -> int:
    """Sendmail keeps the message; the exit code."""
    with contextlib.suppress(OSError):  # Sendmail is gone
        _write(reply.encode())
    return SOFT


def _write(octets: bytes) -> None:
    left = memoryview(octets)
    while left:
        left = left[os.write(_STDOUT, left) :]
