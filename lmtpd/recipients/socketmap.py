"""The hook `socketmap`: the protocol of Postfix's socketmap_table(5), over kept connections.

    27:virtual alice@example.org,              asked: a netstring of the map's name and a key
    22:OK alice@example.org,                   the value, see postfix_map.py
    9:NOTFOUND ,                               none
    15:TEMP being moved,                       nobody can tell, TIMEOUT likewise: a fault

PERM is no refusal, as it is none for Postfix: the request failed for good. So it is nonsense.
"""

from __future__ import annotations

import re

from ..client.connection import connected
from ..client.target import Target
from .answer import MOST_OCTETS, TOO_LONG
from .pool import Pool
from .postfix_map import LookUpError
from .verdict import AnswerError
from .wire import Wire

_LENGTH = re.compile(rb"(0|[1-9][0-9]{0,5})(:?)")


class Socketmap:
    """A client of one map."""

    def __init__(self, target: Target, name: str, seconds: float) -> None:
        """Prepare questions; nothing is asked yet.

        Args:
            target: the server.
            name: the map's, among those of the server.
            seconds: that a step may take.
        """
        self._name = name
        self._wires = Pool(lambda: Wire(connected(target, seconds), seconds), seconds)

    def __call__(self, key: str) -> str | None:
        """The value of a key; None where there is none.

        Raises:
            OSError: the server is late or gone, or says that it cannot tell.
            AnswerError, UnicodeDecodeError: it answers nonsense.
        """
        text = f"{self._name} {key}".encode()
        request = b"%d:%b," % (len(text), text)
        answer = self._wires.ask(lambda wire: wire.ask(request, netstring))
        status, _, value = answer.decode("utf-8").partition(" ")
        match status:
            case "OK":
                return value
            case "NOTFOUND":
                return None
            case "TEMP" | "TIMEOUT":
                raise LookUpError(f"the table says {status} {value}")
            case "PERM":
                raise AnswerError(f"the table says {status} {value}")
            case _:
                raise AnswerError(f"{answer[:50]!r} is no answer of a socketmap")


def netstring(heard: bytes) -> bytes | None:
    """The frame of a netstring."""
    found = _LENGTH.match(heard)
    if not found:
        if heard:
            raise AnswerError(f"{heard[:50]!r} is no netstring")
        return None
    if not found[2]:
        if found.end() < len(heard):
            raise AnswerError(f"{heard[:50]!r} is no netstring")
        return None
    end = found.end() + int(found[1])
    if int(found[1]) > MOST_OCTETS:
        raise AnswerError(TOO_LONG)
    if heard[end : end + 1] not in (b"", b",") or len(heard) > end + 1:
        raise AnswerError("a netstring ends elsewhere than it says")
    return heard[found.end() : end] if len(heard) > end else None
