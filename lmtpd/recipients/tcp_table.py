"""The hook `tcp_table`: the protocol of Postfix's tcp_table(5), over kept connections.

    get alice@example.org                      asked: a key
    200 alice@example.org                      the value, see postfix_map.py
    500 no such key                            none
    400 being moved                            nobody can tell

Octets that are not printable, spaces and `%` stand as `%XX` in keys and values.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from ..client.connection import connected
from ..client.target import Target
from .pool import Pool
from .postfix_map import LookUpError
from .verdict import AnswerError
from .wire import Wire, line

_PRINTABLE = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")
_ANSWER = re.compile(r"([245]00)(?:[ \t]+(.*?))?\r?")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class TcpTable:
    """A client of one table."""

    def __init__(self, target: Target, seconds: float) -> None:
        """Prepare questions to a server; no step takes longer than so many seconds."""
        self._wires = Pool(lambda: Wire(connected(target, seconds), seconds), seconds)

    def __call__(self, key: str) -> str | None:
        """The value of a key; None where there is none.

        Raises:
            OSError: the server is late or gone, or says that it cannot tell.
            AnswerError, UnicodeDecodeError: it answers nonsense.
        """
        request = f"get {quote(key, _PRINTABLE)}\n".encode("ascii")
        answer = self._wires.ask(lambda wire: wire.ask(request, line)).decode("utf-8")
        found = _ANSWER.fullmatch(answer)
        if not found or _BAD_ESCAPE.search(found[2] or ""):
            raise AnswerError(f"{answer[:50]!r} is no answer of a tcp_table")
        value = unquote_to_bytes(found[2] or "").decode("utf-8")
        match found[1]:
            case "200":
                return value
            case "500":
                return None
            case _:
                raise LookUpError(f"the table says 400 {value}")
