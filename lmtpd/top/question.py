"""Question: what the server tells of itself (`/status.json`), asked again and again.

Another program may have the port, and what it answers is not to be trusted: it is bounded here, and
nothing of it reaches the terminal but by `words.shown`.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from ..failures import told
from ..terminal import CommandError

PATIENCE_SECONDS = 15.0
"""The server waits for a disk that hangs, 5 seconds."""
_LONGEST = 8 << 20

Status = Mapping[str, Any]


class NoAnswerError(Exception):
    """The text says why."""


def ask(address: tuple[str, int]) -> Status:
    """What the server tells.

    Raises:
        NoAnswerError: there is no server, or one that is not ours.
    """
    connection = http.client.HTTPConnection(*_reachable(address), timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", "/status.json")
        answer = connection.getresponse()
        octets = answer.read(_LONGEST + 1)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(getattr(error, "strerror", None) or told(error)) from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise NoAnswerError(f"the answer is {answer.status}")
    try:
        # Infinities would overflow where a figure is made a word.
        found = json.loads(octets, parse_constant=_refuse)
        if isinstance(found, dict) and "slots" in found and len(octets) <= _LONGEST:
            return found
    except (ValueError, RecursionError):
        pass
    raise NoAnswerError("another program answers there, or another version of lmtpd")


def _refuse(_: str) -> NoReturn:
    raise ValueError("not a number")


def _reachable(address: tuple[str, int]) -> tuple[str, int]:
    """One that listens on all addresses is asked on loopback."""
    host, port = address
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return address
    if parsed.is_unspecified:
        return ("127.0.0.1" if parsed.version == 4 else "::1"), port
    return address


class Watch:
    """Asks on a thread of its own, so that a server that hangs keeps no key from its work."""

    def __init__(
        self, address: tuple[str, int], interval_s: float, told: Callable[[], object]
    ) -> None:
        """Begin to ask.

        Args:
            address: of the status.
            interval_s: between an answer and the next question.
            told: is called from the thread when something new is known.
        """
        self._address = address
        self._interval_s = interval_s
        self._told = told
        self._now = threading.Event()
        self.status: Status | None = None
        """The last that was answered."""
        self.fault: str | None = None
        """Why there was no newer answer."""
        threading.Thread(target=self._ask, daemon=True).start()

    def hurry(self) -> None:
        """Ask now."""
        self._now.set()

    def _ask(self) -> None:
        while True:
            try:
                self.status, self.fault = ask(self._address), None
            except NoAnswerError as error:
                self.fault = str(error)
            self._told()
            self._now.wait(self._interval_s)
            self._now.clear()


def unavailable(address: tuple[str, int], cause: object) -> CommandError:
    """What to tell a person who asks a server that is not there."""
    host, port = address
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return CommandError(
        os.EX_UNAVAILABLE,
        f"top: no status at {where}: {cause}\n"
        f"Does lmtpd run, and was it started with lmtp-status-addr = {where}?",
    )
