"""Recipient hooks of the tests that never answer, each in its own way."""

from __future__ import annotations

import ctypes
import time

from lmtpd.protocol.address import Address
from lmtpd.recipients.verdict import RcptContext, Verdict

_FOR_EVER_S = 30


class _Slow:
    domain = ""

    def __init__(self, config: object) -> None:
        self.config = config

    def verify(self, address: Address, _: RcptContext) -> Verdict | None:
        """Wait too long for the addresses of one domain; no opinion on others."""
        if address.domain == self.domain:
            self.wait()
        return None

    def wait(self) -> None:
        raise AssertionError


class Waiting(_Slow):
    """Waits as a hook with sockets does: cooperatively, since the process is patched."""

    domain = "waiting.example"

    def wait(self) -> None:
        time.sleep(_FOR_EVER_S)


class Blocking(_Slow):
    """Waits in C, where no event loop sees it, and says so."""

    domain = "blocking.example"
    blocking = True

    def wait(self) -> None:
        ctypes.CDLL(None).sleep(_FOR_EVER_S)


class Stalling(_Slow):
    """Waits in C and does not say so: nobody else is served meanwhile."""

    domain = "stalling.example"

    def wait(self) -> None:
        ctypes.CDLL(None).usleep(300_000)


class Hanging(_Slow):
    """The same, and for ever."""

    domain = "hanging.example"

    def wait(self) -> None:
        ctypes.CDLL(None).sleep(_FOR_EVER_S)


class Dozing(_Slow):
    """Waits as long, but cooperatively."""

    domain = "stalling.example"

    def wait(self) -> None:
        time.sleep(0.3)


class DozingOnAThread(Stalling):
    """Waits in C, where it hurts nobody."""

    blocking = True


class Failing(_Slow):
    """Cannot be asked under gevent."""

    domain = "stalling.example"

    def wait(self) -> None:
        raise RuntimeError("not in a greenlet")
