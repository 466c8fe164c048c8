"""The commands to a running server: what they are called, and what a worker does for each.

    flush             forget every answer of the hooks         forgot COUNT
    recall ADDRESS    what is remembered of an address         a line for each hook that does
    reload            read the configuration anew              `error TEXT` for each fault of it
    upgrade           go on as the program that is installed   the same
    version           of the program that runs                 lmtpd VERSION since SECONDS

A command is one line. The last three are the supervisor's own. It hands every other one to all
workers, for each has a memory of its own, and the caller reads their answers, behind `worker N ` in
each line; then `end`. Of a worker from which nothing came it reads `ended` (its successor remembers
nothing) or `silent`. What is no command is answered with `error TEXT`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..protocol.address import Address, AddressError
from ..recipients.memory import Memory

FLUSH = "flush"
RECALL = "recall"
RELOAD = "reload"
UPGRADE = "upgrade"
VERSION = "version"
OF_PARENT = (RELOAD, UPGRADE, VERSION)

ERROR = "error"

ENDED = "ended"
SILENT = "silent"

# Octets of a worker, which the channel has to hold; a list of a thousand members has half of it.
_LONGEST_ANSWER = 65_536


@dataclass(slots=True)
class Flushed:
    """What came of a flush: the numbers of the workers, and of all answers that are forgotten."""

    workers: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    answers: int = 0

    @property
    def asked(self) -> int:
        """How many workers were told."""
        return len(self.workers) + len(self.ended) + len(self.silent)


def flushed(lines: Sequence[str]) -> Flushed:
    """The answers to a flush, added up."""
    found = Flushed()
    for line in lines:
        match line.split(" "):
            case ["worker", worker, "forgot", count]:
                found.workers.append(worker)
                found.answers += int(count)
            case ["worker", worker, "ended"]:
                found.ended.append(worker)
            case ["worker", worker, *_]:
                found.silent.append(worker)
    return found


def answer(line: str, memory: Memory) -> str:
    """A worker's answer, in lines; never raises."""
    word, _, about = line.partition(" ")
    if word == FLUSH:
        return f"forgot {memory.flush()}"
    if word == RECALL:
        return _recalled(about, memory)
    return f"{ERROR} there is no such command"


def _recalled(about: str, memory: Memory) -> str:
    try:
        lines = memory.recall(Address.parse(about))
    except AddressError as error:
        lines = [f"{ERROR} {error}"]
    # What a hook said may hold anything, line breaks too.
    octets = "\n".join(map(_printable, lines)).encode()
    return octets[:_LONGEST_ANSWER].decode(errors="ignore")


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
