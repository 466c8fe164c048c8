"""The service manager: what systemd wants to hear of a service (sd_notify(3)).

A datagram for each state. A manager that is gone costs nothing, one that hangs not much.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

_PATIENCE_S = 1.0
"""His queue may be full, at boot say; and who misses READY=1 ends us."""


class ServiceManager:
    """Whoever has started us, if he listens."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Find him.

        Args:
            environment: NOTIFY_SOCKET says where; WATCHDOG_USEC and WATCHDOG_PID (sd_watchdog(3))
                how often he wants to hear of us.
        """
        name = environment.get("NOTIFY_SOCKET", "")
        # Abstract, where the first letter stands for a NUL.
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._interval_s = _half_of_watchdog(environment)
        self.due: float | None = 0.0 if self._address and self._interval_s else None
        """When he has to hear that we are alive, by the monotonic clock; None: he need not."""

    def ready(self, status: str) -> None:
        """We serve, from now on or again."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The configuration is read anew."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=Reading the configuration")

    def stopping(self) -> None:
        """We finish what we have."""
        self._tell("STOPPING=1", "STATUS=Finishing what has begun")

    def alive(self) -> None:
        """We do not hang; said when it is due."""
        if self.due is not None and self.due <= time.monotonic():
            self._tell("WATCHDOG=1")
            self.due = time.monotonic() + self._interval_s

    def _tell(self, *assignments: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.settimeout(_PATIENCE_S)
            end.connect(self._address)
            end.send("\n".join(assignments).encode())


def _half_of_watchdog(environment: Mapping[str, str]) -> float:
    """Seconds; 0 if he does not watch this process."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    watched = environment.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isascii() or not microseconds.isdecimal() or watched != str(os.getpid()):
        return 0.0
    return int(microseconds) / 2_000_000
