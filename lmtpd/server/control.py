"""Control: the supervisor's end of the commands that administrators give to a running server.

One caller at a time; the others wait in the kernel's queue. Nothing here waits: a caller and a
worker that say nothing are waited for by the supervisor, beside its own business, and not for long.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Generator, Mapping, Sequence

from ..log import Log
from .channel import Channel, announce
from .commands import ENDED, OF_PARENT, SILENT
from .credentials import credentials_of
from .rendezvous import LAST_LINE, may_command

COMMAND_SECONDS = 2.0
"""For a caller to say what it wants."""
ANSWER_SECONDS = 5.0
"""For the workers; one that is busy on one thing for longer hangs."""
SEND_SECONDS = 1.0
"""For a caller to take the answer; mostly the kernel has room for all of it."""

_LONGEST_COMMAND = 1024


class Control:
    """Takes callers, asks the workers for them, and answers."""

    def __init__(
        self, listener: socket.socket, channels: Callable[[], Mapping[int, Channel]], log: Log
    ) -> None:
        """Take callers from now on, a step at each `turn`.

        Args:
            listener: of lmtpd.server.rendezvous.
            channels: gives those of the workers that serve now, by their numbers.
            log: where lines go.
        """
        self._listener = listener
        self._channels = channels
        self._log = log
        self._number = 0
        self._refused = -1
        self._answers: list[str] = []
        self.wanted = ""
        """A command to the parent itself, which has to `answer` it."""
        self.due: float | None = None
        """When `turn` is to be called even if nothing comes."""
        listener.setblocking(False)
        announce(listener)
        self._calls = self._serve()

    def turn(self) -> None:
        """Do what can be done by now."""
        next(self._calls)

    def answer(self, lines: Sequence[str]) -> None:
        """What came of the command that was wanted; it is said at the next `turn`."""
        self._answers, self.wanted = [*lines], ""

    def close(self) -> None:
        """Take no more callers; one who waits for an answer sees the end."""
        self._calls.close()
        self._listener.close()

    # The rest is one conversation, for ever; it yields wherever it has to wait.

    def _serve(self) -> Generator[None, None, None]:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                self.due = None
                yield
                continue
            with caller, contextlib.suppress(OSError):
                yield from self._converse(caller)
            # The next one at once, but behind what else there is to do: they must not keep us.
            self.due = time.monotonic()
            yield

    def _converse(self, caller: socket.socket) -> Generator[None, None, None]:
        user = credentials_of(caller).user
        if not may_command(user):
            # Once: he could fill the log as fast as he can connect.
            if user != self._refused:
                self._log.line("control-refused", user=user)
            self._refused = user
            return
        caller.setblocking(False)
        announce(caller)
        line = yield from self._command(caller)
        if not line:
            return
        self._log.line("control", command=line, user=user)
        if line in OF_PARENT:
            self.wanted = line
            while self.wanted:
                yield
            answers = self._answers
        else:
            answers = yield from self._ask_workers(line)
        caller.settimeout(SEND_SECONDS)
        caller.sendall("".join(f"{answer}\n" for answer in [*answers, LAST_LINE]).encode())

    def _command(self, caller: socket.socket) -> Generator[None, None, str]:
        """What the caller wants; empty if it does not say so in time."""
        self.due = end = time.monotonic() + COMMAND_SECONDS
        heard = b""
        while not heard.endswith(b"\n"):
            try:
                more = caller.recv(_LONGEST_COMMAND)
            except BlockingIOError:
                more = None
                yield
            heard += more or b""
            if more == b"" or len(heard) > _LONGEST_COMMAND or time.monotonic() >= end:
                return ""
        return heard.decode("utf-8", "replace").strip()

    def _ask_workers(self, line: str) -> Generator[None, None, list[str]]:
        self.due = end = time.monotonic() + ANSWER_SECONDS
        self._number += 1
        asked = dict(self._channels())
        answers = {
            index: ENDED for index in asked if not asked[index].say(f"{self._number} {line}")
        }
        while True:
            now = self._channels()
            for index in asked.keys() - answers.keys():
                # Its place may have another worker by now.
                is_there = now.get(index) is asked[index]
                answer = self._heard(asked[index]) if is_there else ENDED
                if answer is not None:
                    answers[index] = answer
            if len(answers) == len(asked) or time.monotonic() >= end:
                break
            yield
        return [
            f"worker {index} {one}"
            for index in sorted(asked)
            for one in answers.get(index, SILENT).splitlines()
        ]

    def _heard(self, channel: Channel) -> str | None:
        """A worker's answer to the present command; `ended`; None if there is none yet."""
        while (said := channel.hear()) is not None:
            number, _, answer = said.partition(" ")
            if not said:
                return ENDED
            # One that came too late for its own caller is for nobody.
            if number == str(self._number):
                return answer
        return None
