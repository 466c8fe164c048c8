"""The ledger: what clients were told, and what readers have found; the one holds the other to it.

Promises: a final reply is in the file `acknowledged` before its client goes on. Whatever is held
against the server is a fault in words, which names the letter, so that its log tells the rest.

A letter that got no reply is sent again, as RFC 1047 asks; a second copy of it would be allowed,
and is counted apart from doubles that nothing excuses.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from math import inf
from pathlib import Path
from types import TracebackType

from tests.support.client import Reply

Copy = tuple[str, str]
"""A letter, and the recipient or the mailbox that it is for."""

MOST_FAULTS = 200
"""That are kept in words; they are counted in any case."""

ACKNOWLEDGED, DEFERRED, LOST = "acknowledged", "deferred", "lost connections"


class Ledger:
    """Written by many threads."""

    def __init__(self, routes: Mapping[str, tuple[str, ...]], folder: Path) -> None:
        """An empty ledger.

        Args:
            routes: the mailboxes that mail to each recipient reaches.
            folder: in which the file `acknowledged` is written.
        """
        self.begun = time.monotonic()
        self.replies: Counter[str] = Counter()
        """By code, status and what they answer."""
        self.moments: Counter[tuple[int, str]] = Counter()
        """What happened in each second since the begin."""
        self.faults: list[str] = []
        self.fault_count = 0
        self.letters: dict[str, tuple[str, ...]] = {}
        self.by_habit: Counter[str] = Counter()
        """Copies that were acknowledged."""
        self.ended: Counter[str] = Counter()
        """Connections that the server has ended, by the reason."""
        self._routes = routes
        self._promised: set[Copy] = set()
        self._unanswered: set[Copy] = set()
        self._vanished: set[str] = set()
        self._found: Counter[Copy] = Counter()
        self.killed: set[int] = set()
        """Processes that we have killed."""
        self._kills: list[list[float]] = []
        self._lock = threading.Lock()
        self._file = (folder / "acknowledged").open("w", buffering=1)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def fault(self, text: str) -> None:
        """Something that should not have happened."""
        with self._lock:
            self.fault_count += 1
            if len(self.faults) < MOST_FAULTS:
                self.faults.append(f"{self.second():5d} s: {text}")

    def second(self) -> int:
        """How many have passed since the begin."""
        return int(time.monotonic() - self.begun)

    # What clients do and hear.

    def sends(self, letter: str, recipients: Collection[str]) -> None:
        """A new letter."""
        with self._lock:
            self.letters[letter] = tuple(recipients)

    def vanishes(self, letter: str) -> None:
        """Its client leaves in mid-text: no copy may ever be seen."""
        with self._lock:
            self._vanished.add(letter)

    def hears(self, habit: str, step: str, reply: Reply, about: str) -> None:
        """A reply to a recipient that there is, or to a command: a 5xx would be our fault."""
        with self._lock:
            self.replies[f"{_status(reply)} to {step}"] += 1
        if reply.code >= 500:
            self.fault(f"{habit}: {about}: {step} was answered {reply}")

    def hears_final(self, habit: str, letter: str, recipient: str, reply: Reply) -> None:
        """A final reply."""
        with self._lock:
            if reply.code == 250:
                self._file.write(f"{time.time():.3f} {letter} {recipient} {reply.text}\n")
                self._promised.add((letter, recipient))
                self.by_habit[habit] += 1
            self.moments[self.second(), ACKNOWLEDGED if reply.code == 250 else DEFERRED] += 1
        self.hears(habit, "the text", reply, f"{letter} for {recipient}")
        if f"<{recipient}>" not in reply.text:
            self.fault(f"{letter}: said in the place of {recipient}: {reply}")

    def hears_nothing(self, letter: str, recipients: Collection[str]) -> None:
        """The connection was lost behind the final dot: it will be sent again to these."""
        with self._lock:
            self._unanswered.update((letter, recipient) for recipient in recipients)

    # Connections that end.

    @contextmanager
    def kills(self, pid: int) -> Iterator[None]:
        """Within this context a worker is killed, and those whom it serves are excused."""
        times = [time.monotonic(), inf]
        with self._lock:
            self.killed.add(pid)
            self._kills.append(times)
        yield
        times[1] = time.monotonic()

    def ends(self, habit: str, reason: str, since: float, error: Exception) -> None:
        """A connection was lost that stood since then: nothing but a kill meanwhile excuses it."""
        now = time.monotonic()
        with self._lock:
            is_excused = any(since <= ended and begun <= now for begun, ended in self._kills)
            self.ended["lost with a killed worker" if is_excused else reason] += 1
            self.moments[self.second(), LOST] += 1
        if not is_excused:
            self.fault(f"{habit}: {reason}: {error!r}")

    def is_turned_away(self, reply: Reply) -> None:
        """A 421."""
        with self._lock:
            self.ended[f"told to come again ({reply.lines[0]})"] += 1

    # What readers find.

    def finds(self, letter: str | None, mailbox: str, name: str) -> None:
        """A file in new/; no letter: it is not whole."""
        if letter is None:
            self.fault(f"torn: {mailbox}: {name}")
            return
        with self._lock:
            self._found[letter, mailbox] += 1
            is_known = letter in self.letters
        if letter in self._vanished:
            self.fault(f"{mailbox}: {letter}, whose client had vanished in mid-text: {name}")
        elif not is_known or mailbox not in self._addressees(letter):
            self.fault(f"strayed: {mailbox}: {letter}: {name}")

    def is_settled(self, letter: str) -> bool:
        """Whether its client has heard all that it wanted to hear."""
        recipients = self.letters.get(letter, ())
        return all((letter, recipient) in self._promised for recipient in recipients)

    # The end.

    @property
    def promises(self) -> int:
        """Copies that were acknowledged."""
        return sum(len(self._routes[recipient]) for _, recipient in self._promised)

    @property
    def copies(self) -> int:
        """Copies that were found."""
        return self._found.total()

    @property
    def repeated(self) -> int:
        """Letters for a recipient that were sent again, as no reply was heard."""
        return len(self._unanswered)

    def lost(self) -> list[Copy]:
        """Copies that were acknowledged and never found."""
        return [
            (letter, mailbox)
            for letter, recipient in sorted(self._promised)
            for mailbox in self._routes[recipient]
            if not self._found[letter, mailbox]
        ]

    def doubled(self, *, is_excused: bool) -> list[Copy]:
        """Found more than once: those that RFC 1047 excuses, or those that nothing does."""
        excused = set(self._excused())
        return [
            copy
            for copy, count in self._found.items()
            if count > 1 and (copy in excused) is is_excused
        ]

    def never_answered(self) -> list[Copy]:
        """Letters that the clients could not get rid of."""
        return [
            (letter, recipient)
            for letter, recipients in self.letters.items()
            if letter not in self._vanished
            for recipient in recipients
            if (letter, recipient) not in self._promised
        ]

    def _excused(self) -> Iterator[Copy]:
        for letter, recipient in self._unanswered:
            for mailbox in self._routes[recipient]:
                yield letter, mailbox

    def _addressees(self, letter: str) -> set[str]:
        return {box for recipient in self.letters[letter] for box in self._routes[recipient]}


def _status(reply: Reply) -> str:
    """`452 4.3.1`; the greeting and a 354 have no enhanced code."""
    first, _, _ = reply.lines[0].partition(" ")
    return f"{reply.code} {first}" if first[:1].isdigit() else str(reply.code)
