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

from .disk import Disk
from .folders import OpenMaildir, OpenMaildirs, open_maildir
from .layout import Layout
from .message import Message
from .sizes import Sizes
from .store import Delivery, Place
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

    def locate(self, mailbox: str) -> Place:
        """Where the mailbox lies below the root."""
        return self._layout.parts(mailbox)

    def begin(self, place: Place, label: str) -> MaildirDelivery:
        """Make an empty file in tmp/.

        Raises:
            OSError: the disk refuses.
            StoreError: the store is not as it should be.
        """
        name, disk = self.name(label), self._tree.disk
        try:
            maildir = self._folders.get(place)
            return MaildirDelivery(disk, maildir, name, disk.create(name, maildir.tmp))
        except FileNotFoundError:
            # Somebody has just replaced tmp/: the open one is a directory without a name.
            self._folders.forget(place)
            maildir = self._folders.get(place)
            return MaildirDelivery(disk, maildir, name, disk.create(name, maildir.tmp))
        except OSError as error:
            self._folders.note(error)
            raise

    def adopt(self, place: Place, label: str, message: Message) -> MaildirDelivery | None:
        """Give the message's own file a name in tmp/; None where that cannot be.

        It cannot where the mailbox lies on another file system than the root, where the file system
        knows no files without a name, and where the file is not of this store: it would be root's
        in a home.

        Raises:
            OSError: the mailbox cannot be opened.
            StoreError: the store is not as it should be.
        """
        if message.file is None or not message.can_be_named or not message.is_in(self._tree):
            return None
        maildir, name, disk = self._folders.get(place), self.name(label), self._tree.disk
        try:
            descriptor = disk.duplicate(message.file)
        except OSError as error:
            self._folders.note(error)
            raise
        try:
            disk.link_unnamed(descriptor, name, maildir.tmp)
        except BaseException as error:
            self._tree.release(descriptor)
            if isinstance(error, OSError):
                return None
            raise
        sizes = message.lead.before(message.sizes)
        return MaildirDelivery(disk, maildir, name, descriptor, sizes)

    def begin_same(self, place: Place, label: str, delivery: Delivery) -> MaildirDelivery | None:
        """A hard link in another tmp/ of this store; None where there can be none.

        Octets that two users share would be the one's to change for the other.

        Raises:
            OSError: the mailbox cannot be opened.
            StoreError: the store is not as it should be.
        """
        if not isinstance(delivery, MaildirDelivery) or not delivery.is_on(self._tree.disk):
            return None
        maildir = self._folders.get(place)
        with suppress(OSError):
            return delivery.linked_into(maildir, self.name(label))
        return None

    def names(self, place: Place) -> list[str]:
        """What lies in new/ and cur/; nothing if there is no such mailbox.

        Raises:
            OSError: it cannot be read.
            StoreError: the store is not as it should be.
        """
        names: list[str] = []
        self._visit(place, lambda folder: names.extend(self._tree.disk.names(folder)))
        return names

    def sync_names(self, place: Place) -> None:
        """fsync new/ and cur/.

        Raises:
            OSError: the disk refuses.
            StoreError: the store is not as it should be.
        """
        self._visit(place, self._tree.disk.sync)

    def _visit(self, place: Place, act: Callable[[int], None]) -> None:
        """Do something with new/ and cur/, as far as they are there."""
        with suppress(FileNotFoundError), self._tree.opened(place) as mailbox:
            for name in ("new", "cur"):
                with suppress(FileNotFoundError), self._tree.entered(mailbox, name) as folder:
                    act(folder)

    def rest(self) -> None:
        """Close maildirs that were not used for long."""
        self._folders.trim()

    def close(self) -> None:
        """Close all maildirs."""
        self._folders.close()

    def create(self, mailbox: str) -> None:
        """Make the mailbox, durably; one that is there already stays as it is."""
        maildir = open_maildir(self._tree, self._layout.parts(mailbox))
        self._tree.release(maildir.tmp)
        self._tree.release(maildir.new)

    def name(self, label: str) -> str:
        """Of a file, unique over processes, restarts and hosts.

        It has the time, the process, a count, the label and the host.

        The process id is taken at use: a name made before a fork would be given twice.
        """
        seconds, nanoseconds = divmod(self._clock_ns(), 1_000_000_000)
        unique = f"M{nanoseconds // 1000:06}P{os.getpid()}Q{next(_counter)}R{label}"
        return f"{seconds}.{unique}.{self._host}"


class MaildirDelivery:
    """One copy, from tmp/ to new/."""

    def __init__(
        self,
        disk: Disk,
        maildir: OpenMaildir,
        name: str,
        file: int | None,
        sizes: Sizes | None = None,
        source: MaildirDelivery | None = None,
        info: str = "",
    ) -> None:
        """A file that is in tmp/.

        Args:
            disk: the operating system.
            maildir: where it is.
            name: what it is called there.
            file: its descriptor, ours from now on; None for a second name.
            sizes: of what it holds already.
            source: the delivery of the first name.
            info: what is known of it beside its sizes, `:2,S`; it is for cur/ then.
        """
        self._disk = disk
        self._maildir = maildir
        self._name = name
        self._file = file
        self._sizes = sizes or Sizes()
        self._source = source
        self._info = info
        self._is_in_tmp = True
        self._published = ""
        self.sync_error: OSError | None = None
        """What came instead of the durability of the octets."""
        self.device = maildir.identity[0]
        self.folder = maildir.identity

    def is_on(self, disk: Disk) -> bool:
        """Whether it is made with the rights that this disk has."""
        return self._disk is disk

    def linked_into(self, maildir: OpenMaildir, name: str) -> MaildirDelivery | None:
        """The same octets in another maildir, under a name of its own; as durable as this delivery.

        None for a delivery that is itself a second name.

        Raises:
            OSError: the file system makes no link.
        """
        if self._file is None:
            return None
        self._disk.link(self._file, name, maildir.tmp)
        return MaildirDelivery(self._disk, maildir, name, None, self._sizes, self)

    def write(self, fields: bytes, message: Message) -> None:
        """Put trace fields and content into the file in tmp/, which is empty.

        Raises:
            OSError: the disk refuses.
        """
        if self._file is None:
            raise ValueError("written after sync()")
        if message.file is None:
            self._disk.write(self._file, fields, message.content)
        else:
            self._disk.write(self._file, fields)
            self._disk.copy(message.file, message.lead.stored, message.size, self._file)
        self._sizes = Sizes(fields).before(message.sizes)

    def append(self, piece: bytes) -> None:
        """Put octets behind those that are there.

        Raises:
            OSError: the disk refuses.
        """
        if self._file is None:
            raise ValueError("written after sync()")
        self._disk.write(self._file, piece)
        self._sizes.add(piece)

    def date(self, seconds: float) -> None:
        """Set the time that readers take for that of its arrival.

        Raises:
            OSError: the disk refuses.
        """
        if self._file is not None:
            self._disk.date(self._file, seconds)

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
        name = f"{self._name},{self._sizes}{self._info}"
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

    def close(self) -> None:
        """Let go of the file; one that was not published goes. A leftover changes no reply."""
        with suppress(OSError):
            self._close_file()
        if self._is_in_tmp:
            self._is_in_tmp = False
            with suppress(OSError):
                self._disk.unlink(self._name, self._maildir.tmp)

    def _close_file(self) -> None:
        """Give the descriptor back once, even if close itself fails: the number may be reused."""
        descriptor, self._file = self._file, None
        if descriptor is not None:
            self._disk.close(descriptor)
