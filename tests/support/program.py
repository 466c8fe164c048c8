"""A program that stays in the foreground while a test needs it, and what it says in a file."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.support.processes import stop
from tests.support.waiting import wait_for

_STOP_S = 30.0


class Program:
    """One at a time; it may be started again when it has ended."""

    def __init__(self, name: str, output: Path) -> None:
        self._name = name
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        command: Sequence[str],
        is_ready: Callable[[], bool],
        within_s: float,
        *,
        environment: Mapping[str, str],
        folder: Path | None = None,
    ) -> None:
        """Start it and wait until it serves; RuntimeError if it ends instead.

        Args:
            command: leads a session of its own, and does not go to the background.
            is_ready: whether it serves.
            within_s: how long that may take, in seconds.
            environment: its variables.
            folder: where it works, if not here.
        """
        with self._output.open("wb") as output:
            process = self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

        def is_up() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"{self._name} ended with {process.returncode}:\n{self.output}")
            return is_ready()

        wait_for(is_up, within_s, self._name)

    @property
    def output(self) -> str:
        """All that it said since it was started last."""
        return self._output.read_text("utf-8", "replace")

    def die(self, by: signal.Signals) -> None:
        """End in the middle of whatever it does."""
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(by)
        process.wait(_STOP_S)

    def end(self, by: signal.Signals = signal.SIGTERM) -> None:
        """End it, by this signal first, if it was started at all."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(by)
            stop(process, _STOP_S)
