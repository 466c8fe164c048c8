"""The directories of the store: found or made below the root, and never outside it.

A directory is only as durable as the entry that names it. One that somebody has just made, we or a
neighbour process or an administrator, may be gone after a power cut, and the mail in it too (which
is how Dovecot loses the first message of a new mailbox). So whenever a mailbox is opened for
deliveries, the parent of every directory on the way is fsynced, whoever has made it. To remember
which directories are durable would be wrong: a removed one's inode is soon another's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..failures import LinkOutsideError, StoreVanishedError
from .disk import Disk


class MaildirTree:
    """Opens directories below one root."""

    def __init__(self, root: Path, disk: Disk, marker: str = "") -> None:
        """Remember whether the root is a mount point, so that a lost mount is noticed.

        Args:
            root: of the store.
            disk: the operating system.
            marker: a file below the root that is there while the right file system is mounted.

        Raises:
            OSError: there is no such directory.
            StoreVanishedError: the marker is not there.
        """
        self.root = root
        self.disk = disk
        self._marker = f"{root}/{marker}" if marker else ""
        self._was_mount_point = False
        with self.open_root() as descriptor:
            self._was_mount_point = disk.is_mount_point(descriptor)

    @contextmanager
    def open_root(self) -> Iterator[int]:
        """The root's descriptor, while the file system that held the mail is there.

        Raises:
            StoreVanishedError: it is not mounted; all that lies below is another, empty store.
        """
        descriptor = self.disk.open_root(self.root)
        try:
            if self._was_mount_point and not self.disk.is_mount_point(descriptor):
                raise StoreVanishedError(f"{self.root}: nothing is mounted there any more")
            if self._marker:
                self._look_for_marker()
            yield descriptor
        finally:
            self.release(descriptor)

    def _look_for_marker(self) -> None:
        try:
            self.disk.identity_at(self._marker)
        except FileNotFoundError:
            raise StoreVanishedError(
                f"{self._marker} (lmtp-maildir-marker) is not there: is the file system mounted?"
            ) from None

    @contextmanager
    def opened(self, parts: tuple[str, ...]) -> Iterator[int]:
        """The descriptor of a directory that is there; see `open`."""
        directory = self.open(parts, create=False)
        try:
            yield directory
        finally:
            self.release(directory)

    @contextmanager
    def entered(self, parent: int, name: str) -> Iterator[int]:
        """The descriptor of a directory below another one that is there."""
        directory = self.disk.open_directory(name, parent)
        try:
            yield directory
        finally:
            self.release(directory)

    def release(self, directory: int) -> None:
        """Give back the descriptor of a directory; that it fails changes nothing for anybody."""
        with suppress(OSError):
            self.disk.close(directory)

    def holds(self, parts: tuple[str, ...]) -> bool:
        """Whether the directory is there; nothing is made.

        Raises:
            OSError: nobody can tell.
            LinkOutsideError, StoreVanishedError: see `open`.
        """
        path = str(self.root)
        try:
            if self._was_mount_point or self._marker:
                with self.open_root():
                    pass  # or what lies beneath the mount point would be asked
            for part in parts:
                path = f"{path}/{part}"
                if not self.disk.is_plain_directory(path):
                    with self.opened(parts):  # a link, or no directory
                        break
        except (FileNotFoundError, NotADirectoryError):
            # "No" is an answer only while the store itself is there.
            with self.open_root():
                return False
        return True

    def open(self, parts: tuple[str, ...], *, create: bool) -> int:
        """The descriptor of the directory; with `create`, it and its parents are made durably.

        Links are followed only where they stay within the store (one domain's directory may stand
        for another's).

        Raises:
            OSError: it cannot be had.
            LinkOutsideError: a link on the way leads out of the store.
            StoreVanishedError: the file system of the store is gone.
        """
        with self.open_root() as root:
            if create:
                self.disk.sync_above(root)
            try:
                return self._descend(root, parts, create=create)
            except NotADirectoryError:
                resolved = self._resolved(parts)
                if resolved == parts:
                    raise
                return self._descend(root, resolved, create=create)

    def enter(self, parent: int, name: str, *, create: bool) -> int:
        """The descriptor of one directory below another; what is made is not durable yet."""
        try:
            return self.disk.open_directory(name, parent)
        except FileNotFoundError:
            if not create:
                raise
        self.disk.make_directory(name, parent)
        return self.disk.open_directory(name, parent)

    def _descend(self, root: int, parts: tuple[str, ...], *, create: bool) -> int:
        with ExitStack() as passed:
            directory = root
            for part in parts[:-1]:
                directory = self._descend_one(directory, part, create=create)
                passed.callback(self.release, directory)
            return self._descend_one(directory, parts[-1], create=create)

    def _descend_one(self, parent: int, name: str, *, create: bool) -> int:
        directory = self.enter(parent, name, create=create)
        try:
            if create:
                self.disk.sync(parent)
        except BaseException:
            self.release(directory)
            raise
        return directory

    def _resolved(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        """Where links lead, relative to the root; walked again without following any."""
        root = os.path.realpath(self.root)
        target = Path(os.path.realpath(os.path.join(root, *parts)))  # noqa: PTH118
        if not target.is_relative_to(root) or target == Path(root):
            raise LinkOutsideError(f"{'/'.join(parts)}: a symbolic link leads to {target}")
        return target.relative_to(root).parts
