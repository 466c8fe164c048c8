"""The hook `exec`: a program is asked, one line for a question, one line for its answer.

    {"address": "alice@example.org", "local": "alice", "domain": "example.org"}
    {"accept": "alice@example.org"}

It reads questions from its standard input until that ends, and answers each, in one line of JSON as
lmtpd.recipients.answer describes it, before it reads the next; it must not keep its answers in a
buffer (Python: `print(..., flush=True)`). What it writes to standard error goes to our log. It is
started when it is needed, and kept; several run if several questions come at once. No shell stands
between. One that is late, ends or answers nonsense is killed, with its process group, and started
again for the next question, after a pause that grows where it never gave an answer.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from ..environment import of_programs
from ..failures import told
from ..protocol.address import Address
from .answer import AnswerReader, question_about
from .breaker import Breaker, Ticket
from .pool import Pool
from .process import Report
from .verdict import AnswerError, RcptContext, Verdict
from .wire import Wire, line

MOST_PROGRAMS = 4
"""In one worker."""
LONGEST_PAUSE_S = 8.0
"""Before a program is started that ended without an answer. Short: the guard has its own pause."""
MOST_WORDS_OCTETS = 8192
"""Of standard error that are logged with one question; the next takes what is left."""
LONGEST_LINE = 512


class ExecVerifier:
    """Asks programs."""

    def __init__(
        self,
        command: tuple[str, ...],
        seconds: float,
        reader: AnswerReader,
        report: Report,
        clock: Callable[[], float],
    ) -> None:
        """Prepare questions; nothing is started yet.

        Args:
            command: the program and its arguments.
            seconds: that a step may take; the guard bounds the whole.
            reader: of answers.
            report: what the programs say to standard error.
            clock: monotonic seconds.
        """
        self._command = command
        self._seconds = seconds
        self._reader = reader
        self._report = report
        self._clock = clock
        self._starts = Breaker(1, LONGEST_PAUSE_S, seconds)
        self._programs = Pool(self._start, seconds, MOST_PROGRAMS)

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:  # noqa: ARG002
        """What a program says.

        Raises:
            OSError: it cannot be started, is late or has ended.
            AnswerError: its answer is nonsense or too long.
        """
        question = question_about(address) + b"\n"
        return self._programs.ask(lambda program: self._ask(program, question))

    def _ask(self, program: Program, question: bytes) -> Verdict | None:
        try:
            verdict = self._reader.of_json(program.wire.ask(question, line))
        except BaseException as error:  # the end of our time too
            program.kill()  # now, for what it has said at last
            if isinstance(error, AnswerError):  # an answer too: nobody else shall wait for it
                self._starts.answered(program.ticket)
            elif not program.has_answered:
                self._starts.failed(program.ticket, self._clock(), told(error))
            raise
        finally:
            for text in program.words():
                self._report("program-says", hook="exec", text=text)
        program.has_answered = True
        self._starts.answered(program.ticket)
        return verdict

    def _start(self) -> Program:
        now = self._clock()
        ticket = self._starts.admit(now)
        if ticket is None:
            wait_s = self._starts.next_trial - now
            raise ConnectionError(f"started again in {wait_s:.1f} s: {self._starts.cause}")
        try:
            return Program(self._command, self._seconds, ticket)
        except OSError as error:
            self._starts.failed(ticket, now, told(error))
            raise


class Program:
    """One that runs."""

    is_spent = False

    def __init__(self, command: tuple[str, ...], seconds: float, ticket: Ticket) -> None:
        """Start it.

        Raises:
            OSError: it cannot be started.
        """
        self.ticket = ticket
        self.has_answered = False
        # Sockets, for they are cooperative where pipes are not.
        ours, theirs = socket.socketpair()
        self._words, their_words = socket.socketpair()
        with theirs, their_words:
            for end in theirs, their_words:  # cooperative sockets never block; programs rely on it
                os.set_blocking(end.fileno(), True)
            try:
                # Not subprocess: a greenlet that ran out of time in it could leave a program behind
                # that nobody knows. This call does not wait.
                self._process = os.posix_spawnp(
                    command[0],
                    command,
                    of_programs(os.environ),
                    file_actions=[
                        (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                        (os.POSIX_SPAWN_DUP2, theirs.fileno(), 1),
                        (os.POSIX_SPAWN_DUP2, their_words.fileno(), 2),
                        *((os.POSIX_SPAWN_CLOSE, number) for number in _inheritable()),
                    ],
                    setpgroup=0,
                    setsigmask=(),
                    setsigdef=(signal.SIGPIPE,),
                )
            except BaseException:
                ours.close()
                self._words.close()
                raise
        self._words.settimeout(0)
        self.wire = Wire(ours, seconds)

    def words(self) -> list[str]:
        """Lines that it has written to standard error; never waits."""
        octets = b""
        with contextlib.suppress(OSError):
            while len(octets) < MOST_WORDS_OCTETS and (more := self._words.recv(4096)):
                octets += more
        return [text[:LONGEST_LINE] for text in octets.decode("utf-8", "replace").splitlines()]

    def kill(self) -> None:
        """Kill it, and whatever it has started; what it has said can still be read."""
        if self._process:
            os.killpg(self._process, signal.SIGKILL)  # it is there until we have waited for it
            os.waitpid(self._process, 0)
            self._process = 0

    def close(self) -> None:
        """Kill it, and forget what it says."""
        self.kill()
        self.wire.close()
        self._words.close()


def _inheritable() -> list[int]:
    """Descriptors that a program would get: one with our listening socket would hold our port."""
    found = []
    for path in list(Path("/proc/self/fd").iterdir()):
        number = int(path.name)
        with contextlib.suppress(OSError):  # the one by which we are looking is closed again
            if number > 2 and os.get_inheritable(number):
                found.append(number)
    return found
