"""The reader: the user with IMAP of all mailboxes, who opens what is new and later throws it away.

Promises: each file in new/ is read whole and told to the ledger once, before it moves to cur/. It
goes to cur/ by its name and a flag, as Dovecot does it. A letter that its client may have to send
again is not thrown away: lmtpd knows it again by what lies in the mailbox.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

from bench.endurance.ledger import Ledger
from tests.support.load import letter_in

_KEPT_S = 20.0
_ROUND_S = 0.2


class Reader:
    """On a thread of its own inside a `with` block."""

    def __init__(self, root: Path, mailboxes: Collection[str], ledger: Ledger) -> None:
        """Looks at nothing yet.

        Args:
            root: of the store.
            mailboxes: `local@domain`, each below the root in `domain/local`.
            ledger: is told of each file.
        """
        self._folders = {
            box: root / box.rpartition("@")[2] / box.rpartition("@")[0] for box in mailboxes
        }
        self._ledger = ledger
        self._read: dict[Path, tuple[float, str | None]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader")
        self.keeps_all = False
        """Nothing is thrown away, as long as this is true."""

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def read_all(self) -> None:
        """A last round; the thread is over by then."""
        for mailbox, folder in self._folders.items():
            self._read_new(mailbox, folder)

    def _run(self) -> None:
        while not self._over.wait(_ROUND_S):
            for mailbox, folder in self._folders.items():
                self._read_new(mailbox, folder)
            self._throw_away()

    def _read_new(self, mailbox: str, folder: Path) -> None:
        for file in (folder / "new").glob("*"):
            seen = folder / "cur" / f"{file.name}:2,S"
            letter = letter_in(file)
            try:
                file.rename(seen)
            except OSError:
                continue  # no block for the longer name: it is read again when there is
            self._read[seen] = time.monotonic(), letter
            self._ledger.finds(letter, mailbox, file.name)

    def _throw_away(self) -> None:
        end = time.monotonic() - _KEPT_S
        for file, (when, letter) in list(self._read.items()):
            if when > end or self.keeps_all:
                return
            if letter and not self._ledger.is_settled(letter):
                continue
            try:
                file.unlink()
            except FileNotFoundError:
                self._ledger.fault(f"gone, and we have not removed it: {file.name}")
            del self._read[file]
