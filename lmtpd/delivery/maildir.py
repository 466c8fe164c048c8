"""MaildirStore: the author's rules of Maildir, and fsync at each step that they leave open.

    state of one copy              in tmp/   in new/   promised to the client
    begun, written                 partly    -         nothing
    sync()                         whole     -         nothing
    commit(): renamed              -         whole     nothing (a power cut may undo it)
    commit(): new/ fsynced         -         whole     250
    any failure before the rename  -         -         4xx
    fsync of new/ failed           -         -         4xx (the name is taken away again)

Whatever a crash leaves in tmp/ was never promised; lmtpd.delivery.sweep takes it away in its time.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self

from .disk import Disk
from .layout import Layout
from .tree import MaildirTree

_counter = itertools.count(1)

# The host's name stands in file names: `/` would be a path, `:` begins the flags, `,` the sizes.
_HOST_ESCAPES = str.maketrans({"/": "\\057", ":": "\\072", ",": "\\054"})


class MaildirStore:
    """Mailboxes as Maildirs below one root."""

    def __init__(
        self,
        layout: Layout,
        tree: MaildirTree,
        host: str,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._layout = layout
        self._tree = tree
        self._host = host.translate(_HOST_ESCAPES)
        self._clock_ns = clock_ns

    def locate(self, mailbox: str) -> tuple[str, ...]:
        """Where the mailbox lies below the root."""
        return self._layout.parts(mailbox)

    def begin(self, mailbox: str, delivery_id: str) -> MaildirDelivery:
        """Make an empty file in tmp/.

        Raises:
            OSError: the disk refuses.
            StoreError: the store is not as it should be.
        """
        return MaildirDelivery(self._tree, self._layout.parts(mailbox), self._name(delivery_id))

    def create(self, mailbox: str) -> None:
        """Make the mailbox, durably; one that is there already stays as it is."""
        with ExitStack() as opened:
            directory = self._tree.open(self._layout.parts(mailbox), create=True)
            opened.callback(self._tree.disk.close, directory)
            for name in ("tmp", "new", "cur"):
                self._tree.disk.close(self._tree.enter(directory, name, create=True))

    def _name(self, delivery_id: str) -> str:
        """Unique over processes, restarts and hosts: time, process, count, random id and host.

        The process id is taken at use: a name made before a fork would be given twice.
        """
        seconds, nanoseconds = divmod(self._clock_ns(), 1_000_000_000)
        unique = f"M{nanoseconds // 1000:06}P{os.getpid()}Q{next(_counter)}R{delivery_id}"
        return f"{seconds}.{unique}.{self._host}"


class MaildirDelivery:
    """One copy, from tmp/ to new/."""

    def __init__(self, tree: MaildirTree, parts: tuple[str, ...], name: str) -> None:
        self._disk: Disk = tree.disk
        self._name = name
        self._size = 0
        self._lone_newlines = 0
        self._last = b""
        self._is_in_tmp = False
        self._opened = ExitStack()
        try:
            self._open(tree, parts)
        except BaseException:
            self._opened.close()
            raise

    def _open(self, tree: MaildirTree, parts: tuple[str, ...]) -> None:
        directory = tree.open(parts, create=True)
        self._opened.callback(self._disk.close, directory)
        self._tmp, self._new, _ = (
            self._enter(tree, directory, name) for name in ("tmp", "new", "cur")
        )
        self._file: int | None = self._disk.create(self._name, self._tmp)
        self._is_in_tmp = True

    def _enter(self, tree: MaildirTree, directory: int, name: str) -> int:
        descriptor = tree.enter(directory, name, create=True)
        self._opened.callback(self._disk.close, descriptor)
        return descriptor

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Abort, unless it was committed. A leftover in tmp/ changes no reply."""
        with self._opened:
            if self._file is not None:
                with suppress(OSError):
                    self._close_file()
            if self._is_in_tmp:
                with suppress(OSError):
                    self._disk.unlink(self._name, self._tmp)

    def write(self, data: bytes) -> None:
        """Add octets to the file in tmp/.

        Raises:
            OSError: the disk refuses.
        """
        if self._file is None:
            raise ValueError("written after sync()")
        self._disk.write(self._file, data)
        self._size += len(data)
        self._lone_newlines += data.count(b"\n") - data.count(b"\r\n")
        self._lone_newlines -= self._last == b"\r" and data[:1] == b"\n"
        self._last = data[-1:] or self._last

    def sync(self) -> None:
        """Make the octets durable.

        Raises:
            OSError: the disk refuses.
        """
        if self._file is not None:
            self._disk.sync(self._file)
            self._close_file()

    def commit(self) -> str:
        """Move into new/, durably.

        Raises:
            OSError: the disk refuses. The message is then not in new/, unless the disk refuses to
                take it away again as well; a second copy is possible then, a loss is not.
        """
        self.sync()
        # Maildir++ sizes: S as stored, W with CR LF; readers trust them and need no stat.
        name = f"{self._name},S={self._size},W={self._size + self._lone_newlines}"
        self._disk.rename(self._name, self._tmp, name, self._new)
        self._is_in_tmp = False
        try:
            self._disk.sync(self._new)
        except OSError:
            self._disk.unlink(name, self._new)
            raise
        return name

    def _close_file(self) -> None:
        """Give the descriptor back once, even if close itself fails: the number may be reused."""
        descriptor, self._file = self._file, None
        if descriptor is not None:
            self._disk.close(descriptor)
