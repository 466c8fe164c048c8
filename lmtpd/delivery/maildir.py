"""MaildirStore: the author's rules of Maildir, and durability at each step that they leave open.

    state of one copy              in tmp/   in new/   promised to the client
    begun, written                 partly    -         nothing
    sync                           whole     -         nothing
    publish                        -         whole     nothing (a power cut may undo it)
    sync_folder                    -         whole     250
    any failure before the rename  -         -         4xx
    sync_folder failed, retract    -         -         4xx

Whatever a crash leaves in tmp/ was never promised; lmtpd.delivery.sweep takes it away in its time.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from .disk import Disk
from .folders import OpenMaildir, OpenMaildirs, open_maildir
from .layout import Layout
from .store import Delivery
from .tree import MaildirTree

_counter = itertools.count(1)

HOST_LETTERS = 100
"""Of the host's name: a file's name has 255 octets at most, and needs no more to be unique."""

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
        self._folders = OpenMaildirs(tree)
        self._host = host.translate(_HOST_ESCAPES)[:HOST_LETTERS]
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
        parts, name = self._layout.parts(mailbox), self._name(delivery_id)
        try:
            return MaildirDelivery(self._tree.disk, self._folders.get(parts), name)
        except FileNotFoundError:
            # Somebody has just replaced tmp/: the open one is a directory without a name.
            self._folders.forget(parts)
            return MaildirDelivery(self._tree.disk, self._folders.get(parts), name)
        except OSError as error:
            self._folders.note(error)
            raise

    def begin_same(self, mailbox: str, delivery: Delivery) -> MaildirDelivery | None:
        """A hard link in another tmp/; None where the file system does not make one.

        Raises:
            OSError: the mailbox cannot be opened.
            StoreError: the store is not as it should be.
        """
        if not isinstance(delivery, MaildirDelivery):
            return None
        maildir = self._folders.get(self._layout.parts(mailbox))
        with suppress(OSError):
            return delivery.linked_into(maildir)
        return None

    def rest(self) -> None:
        """Close maildirs that were not used for long."""
        self._folders.trim()

    def create(self, mailbox: str) -> None:
        """Make the mailbox, durably; one that is there already stays as it is."""
        maildir = open_maildir(self._tree, self._layout.parts(mailbox))
        self._tree.release(maildir.tmp)
        self._tree.release(maildir.new)

    def _name(self, delivery_id: str) -> str:
        """Unique over processes, restarts and hosts: time, process, count, random id and host.

        The process id is taken at use: a name made before a fork would be given twice.
        """
        seconds, nanoseconds = divmod(self._clock_ns(), 1_000_000_000)
        unique = f"M{nanoseconds // 1000:06}P{os.getpid()}Q{next(_counter)}R{delivery_id}"
        return f"{seconds}.{unique}.{self._host}"


class Sizes:
    """The sizes in a file's name (Maildir++): readers trust them and need not open the file."""

    def __init__(self) -> None:
        self._stored = 0
        self._on_the_wire = 0
        self._last = b""

    def add(self, data: bytes) -> None:
        """Count octets: as stored, and as they are with CR LF where LF stands alone."""
        self._stored += len(data)
        self._on_the_wire += len(data) + data.count(b"\n") - data.count(b"\r\n")
        self._on_the_wire -= self._last == b"\r" and data[:1] == b"\n"
        self._last = data[-1:] or self._last

    def __str__(self) -> str:
        """`S=432,W=447`."""
        return f"S={self._stored},W={self._on_the_wire}"


class MaildirDelivery:
    """One copy, from tmp/ to new/."""

    def __init__(
        self, disk: Disk, maildir: OpenMaildir, name: str, source: MaildirDelivery | None = None
    ) -> None:
        """A file in tmp/: an empty one is made, a second name of what `source` holds is there.

        Raises:
            OSError: the disk refuses.
        """
        self._disk = disk
        self._maildir = maildir
        self._name = name
        self.device = maildir.identity[0]
        self.folder = maildir.identity
        self._source = source
        self.sizes: Sizes = source.sizes if source else Sizes()
        self._published = ""
        self.sync_error: OSError | None = None
        self._file = None if source else disk.create(name, maildir.tmp)
        self._is_in_tmp = True

    def linked_into(self, maildir: OpenMaildir) -> MaildirDelivery:
        """The same octets in another maildir, under the same name; as durable as this delivery.

        Raises:
            OSError: the file system makes no link.
        """
        self._disk.link(self._name, self._maildir.tmp, self._name, maildir.tmp)
        return MaildirDelivery(self._disk, maildir, self._name, source=self)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Abort, unless it was published. A leftover in tmp/ changes no reply."""
        with suppress(OSError):
            self._close_file()
        if self._is_in_tmp:
            with suppress(OSError):
                self._disk.unlink(self._name, self._maildir.tmp)
            self._is_in_tmp = False

    def write(self, data: bytes) -> None:
        """Add octets to the file in tmp/.

        Raises:
            OSError: the disk refuses.
        """
        if self._file is None:
            raise ValueError("written after sync()")
        self._disk.write(self._file, data)
        self.sizes.add(data)

    def sync(self) -> None:
        """fsync the file; a second name is as durable as the first, which comes before it.

        Raises:
            OSError: the disk refuses.
        """
        if self._source and self._source.sync_error:
            raise self._source.sync_error
        if self._file is not None:
            try:
                self._disk.sync(self._file)
                self._close_file()
            except OSError as error:
                self.sync_error = error
                raise

    def can_sync_filesystem(self) -> bool:
        """Whether syncfs waits for the disk here."""
        return self._disk.can_sync_filesystem(self._maildir.new)

    def sync_filesystem(self) -> None:
        """syncfs.

        Raises:
            OSError: something that was written to this file system is lost, ours or another's.
        """
        self._disk.sync_filesystem(self._maildir.new)

    def publish(self) -> None:
        """Move the file into new/.

        Raises:
            OSError: the disk refuses.
        """
        name = f"{self._name},{self.sizes}"
        self._disk.rename(self._name, self._maildir.tmp, name, self._maildir.new)
        self._is_in_tmp = False
        self._published = name

    @property
    def name(self) -> str:
        """The file's name in new/; empty when it is not there."""
        return self._published

    def sync_folder(self) -> None:
        """fsync new/.

        Raises:
            OSError: the disk refuses.
        """
        self._disk.sync(self._maildir.new)

    def retract(self) -> None:
        """Take the name away again.

        Raises:
            OSError: the disk refuses; a second copy is possible then, a loss is not.
        """
        self._disk.unlink(self._published, self._maildir.new)
        self._published = ""

    def _close_file(self) -> None:
        """Give the descriptor back once, even if close itself fails: the number may be reused."""
        descriptor, self._file = self._file, None
        if descriptor is not None:
            self._disk.close(descriptor)
