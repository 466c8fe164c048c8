"""Program: lmtpd as it is installed by now, which may be another version than the one that runs.

It is tried before it takes our place. The trial is a start of the server up to the point where it
would bind: a worker has loaded all that it needs by then, and is ended.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence

from . import privileges
from .channel import Channel
from .handover import TRIAL, VARIABLE, Handover, offer, withdraw
from .listener import Listener

TRIAL_SECONDS = 60.0
"""Longer than a worker may take to start."""
_SAYS = "lmtpd: "


class Program:
    """How to execute it."""

    def __init__(
        self,
        arguments: Sequence[str],
        handed: Sequence[tuple[str, socket.socket]],
        unconfirmed: tuple[int, float],
        keepsake: tuple[int, ...],
    ) -> None:
        """It is started as we were.

        Args:
            arguments: of the command line, behind the command.
            handed: what systemd has handed over, by name.
            unconfirmed: the descriptor of what outlives workers, and since when it is kept.
            keepsake: the descriptors of what outlives the process that tells the status.
        """
        # What stands before our own arguments: Python, its options, and what it runs.
        begin = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
        self._begin = [sys.executable, *begin[1:]]
        self._arguments = arguments
        self._handed = handed
        self._unconfirmed = unconfirmed
        self._keepsake = keepsake

    def faults(self) -> list[str]:
        """Why it cannot take our place, in lines."""
        import subprocess  # nosec B404 # mostly nobody asks

        try:
            tried = subprocess.run(  # noqa: S603 # nosec B603 # as this process was started
                self._command(),
                env={**os.environ, VARIABLE: TRIAL},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=TRIAL_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return [f"the installed program cannot be tried: {error}"]
        if not tried.returncode:
            return []
        lines = tried.stderr.decode(errors="replace").splitlines()
        said = [line.removeprefix(_SAYS) for line in lines if line.startswith(_SAYS)]
        return said or lines[-1:] or [f"the trial ended with {tried.returncode}"]

    def execute(
        self, listeners: Sequence[Listener], workers: Sequence[tuple[int, Channel]]
    ) -> None:
        """Become it; it finds in lmtpd.server.handover what we leave.

        Raises:
            OSError: that cannot be; nothing has changed.
        """
        left = Handover(listeners, self._handed, workers, self._unconfirmed, self._keepsake)
        command = self._command()
        environment = {**os.environ, VARIABLE: offer(left)}
        try:
            privileges.hand_down()
            os.execve(command[0], command, environment)  # noqa: S606 # nosec B606 # as we were started
        except OSError:
            withdraw(left)
            raise

    def _command(self) -> list[str]:
        return [*self._begin, "serve", *self._arguments]
