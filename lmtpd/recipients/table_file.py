"""The hook `table`: a file, and the lists that it includes, read again when they change.

While it is asked it touches no disk. `refresh` is called every second in the background: it looks
at the files on a real thread, so that a server behind the disk that hangs stops nobody, and reads
them when they have changed and rest: found alike by two looks, for an editor may be half-way
through. An edit counts two or three seconds later. One with faults changes nothing; the log says so
once, and what was read before stays.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from ..file_mark import Mark, mark
from ..protocol.address import Address
from .chain import AddressRules
from .entries import TableError, parse
from .process import Report
from .table import Table
from .verdict import RcptContext, Verdict

LOOK_S = 1.0
"""Between two looks at the files."""

Offload = Callable[[Callable[[], Table | None]], Table | None]
"""Calls a function on a real thread and waits for what it returns or raises."""


class TableFile:
    """Answers from the last good reading."""

    positive_ttl_s = negative_ttl_s = LOOK_S
    stale_s = 0.0

    def __init__(
        self, path: Path, default_domain: str, rules: AddressRules, report: Report
    ) -> None:
        """Read it for the first time.

        Args:
            path: the file.
            default_domain: what an address without a domain gets.
            rules: case and details.
            report: what becomes of each edit.

        Raises:
            OSError: it cannot be read.
            TableError: it holds faults; each is named with its line.
        """
        self._path = path
        self._default_domain = default_domain
        self._rules = rules
        self._report = report
        self._fault = ""
        self._marks: dict[Path, Mark] = {}
        self._seen = self._marks
        self._table = self._read()

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:  # noqa: ARG002
        """Accept what is in the table."""
        return self._table.answer(address)

    def refresh(self, offload: Offload) -> None:
        """Take over what was edited; never raises what the files cause."""
        try:
            table = offload(self._look)
        except (OSError, ValueError) as error:
            if str(error) != self._fault:
                self._report("table-kept", file=self._path, cause=str(error))
            self._fault = str(error)
            return
        if table:
            self._table, self._fault = table, ""
            self._report("table-read", file=self._path, entries=len(table))

    # On a thread, but for the first reading.

    def _look(self) -> Table | None:
        """The table anew, if a file changed and rests."""
        found = {path: mark(path) for path in self._marks}
        rests, self._seen = found == self._seen, found
        return self._read() if rests and found != self._marks else None

    def _read(self) -> Table:
        self._marks = {}
        text = self._text(self._path)
        entries = parse(text, self._path, self._default_domain, self._rules, self._list)
        return Table(entries, self._rules)

    def _list(self, path: Path) -> str:
        """A list that others may write makes its readers members of whatever they like."""
        text, info = self._text(path), path.stat()
        owners = {0, os.geteuid(), self._path.stat().st_uid}
        if info.st_uid not in owners or info.st_mode & stat.S_IWOTH:
            raise ValueError("is another's, or may be written by everybody (chmod o-w)")
        return text

    def _text(self, path: Path) -> str:
        """The content; the mark is that of before, so that no edit meanwhile goes unseen."""
        self._marks[path] = None  # one that cannot be read is tried again
        found = mark(path)
        if found and not path.is_file():  # to open a pipe would wait for its writer
            raise ValueError(f"{path} is no file")
        content = path.read_bytes()
        self._marks[path] = found
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise TableError(f"{path}: is not UTF-8: {error}") from error
