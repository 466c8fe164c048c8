"""HomeDisk: the system calls of a delivery into one user's home, each with that user's rights.

Whoever owns a home can change it at any moment: put a link in the place of a directory, a FIFO, a
file system of his own that never answers. So the kernel checks the user's rights at each call, and
below the home no link is followed and no other file system entered (openat2). And every directory
on the way has to be the user's, or root's: what somebody else has put there, others may read.

A directory that is open stays open. One that its user moves away while mail is on its way takes
that mail along, which is no more than he could do with it a moment later.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import itertools
import os
import posix  # os.close is gevent's once that has patched
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from ..failures import HomeError
from ..libc import libc
from .disk import Disk
from .rights import Rights
from .sweep import remove_abandoned
from .users import User

MOST_NAMES = 100_000
"""Of a directory that are looked at: its user can fill it, and others wait meanwhile."""

_OPENAT2 = 437
_RESOLVE_NO_XDEV, _RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 1, 2, 4, 8
_RESOLVE = _RESOLVE_NO_XDEV | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_CANNOT_BE_SYNCED = (errno.EACCES, errno.EPERM, errno.EINVAL, errno.EROFS)
_LEADS_ELSEWHERE = (errno.ELOOP, errno.ENOTDIR, errno.EXDEV)
# Before Linux 5.6; and what filters of system calls say that are as old.
_HAS_NO_OPENAT2 = (errno.ENOSYS, errno.EPERM)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class _OpenHow(ctypes.Structure):
    """struct open_how."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def openat2(path: str, parent: int) -> int:
    """Open a directory beneath another one, on the same file system and without any link.

    Raises:
        OSError: it is not so, or the kernel does not know the call.
    """
    how = _OpenHow(_DIRECTORY, 0, _RESOLVE)
    size = ctypes.c_size_t(ctypes.sizeof(how))
    call, octets = ctypes.c_long(_OPENAT2), ctypes.c_char_p(os.fsencode(path))
    descriptor = libc().syscall(call, ctypes.c_long(parent), octets, ctypes.byref(how), size)
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return int(descriptor)


def open_one_by_one(path: str, parent: int) -> int:
    """The same where there is no openat2: a foreign file system is noticed when it was opened."""
    device = os.fstat(parent).st_dev
    with ExitStack() as passed:
        for name in path.split("/"):
            parent = os.open(name, _DIRECTORY, dir_fd=parent)
            passed.callback(posix.close, parent)
            if os.fstat(parent).st_dev != device:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
        return os.dup(parent)


def _as_user(
    call: Callable[Concatenate[Disk, _Arguments], _Result],
) -> Callable[Concatenate[HomeDisk, _Arguments], _Result]:
    def as_user(self: HomeDisk, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with self.rights():
            return call(self, *args, **kwargs)

    return as_user


class HomeDisk(Disk):
    """The operating system as one user finds it."""

    def __init__(
        self, user: User, rights: Rights, open_beneath: Callable[[str, int], int] = openat2
    ) -> None:
        """The disk of a user.

        Args:
            user: in whose home mail is put.
            rights: lends us his.
            open_beneath: as `openat2`.
        """
        self._user = user
        self._home = Path(user.home)
        self.rights = functools.partial(rights.of, user.ids)
        self._open_beneath = open_beneath

    def open_root(self, path: Path) -> int:
        """Open the home; links on the way there are the operator's own.

        Raises:
            HomeError: it is not there, or somebody else's.
        """
        with self.rights():
            try:
                return self._owned(super().open_root(path), str(path))
            except OSError as error:
                if error.errno not in _NOT_THERE:
                    raise
                raise HomeError(f"~{self._user.name}: {error}") from error

    def sync_above(self, root: int) -> None:
        """fsync where the home's name stands: somebody may have become a user a moment ago.

        With our own rights, for users cannot read every /home; and not where we cannot either, or
        where it is a map of autofs and not on a disk. The common file systems keep the name of a
        directory that keeps a file.
        """
        try:
            above = os.open("..", _DIRECTORY, dir_fd=root)
            try:
                super().sync(above)
            finally:
                posix.close(above)
        except OSError as error:
            if error.errno not in _CANNOT_BE_SYNCED:
                raise

    def open_directory(self, name: str, parent: int) -> int:
        """Open a directory below another.

        Raises:
            HomeError: it leads out of the home, or is somebody else's.
        """
        with self.rights():
            try:
                return self._owned(self._beneath(name, parent), name)
            except OSError as error:
                if error.errno not in _LEADS_ELSEWHERE:
                    raise
                told = f"~{self._user.name}: {error}; no plain directory of the home's file system"
                raise HomeError(told) from error

    def identity_at(self, path: str) -> tuple[int, int]:
        """Device and inode of what a path below the home leads to, no link followed."""
        with self.rights(), ExitStack() as opened:
            home = super().open_root(self._home)
            opened.callback(posix.close, home)
            found = self._beneath(str(Path(path).relative_to(self._home)), home)
            opened.callback(posix.close, found)
            return super().identity(found)

    def names(self, directory: int) -> list[str]:
        """What is in it, as far as it is not too much."""
        with self.rights(), os.scandir(directory) as entries:
            return [entry.name for entry in itertools.islice(entries, MOST_NAMES)]

    def sweep(self, directory: int, oldest: float) -> None:
        """Remove what was left in a tmp/ before that time, in seconds since the epoch."""
        names = self.names(directory)
        with self.rights():
            for name in names:
                remove_abandoned(directory, name, oldest)

    def create_unnamed(self, parent: int) -> tuple[int, bool]:  # noqa: ARG002
        """Nothing is made in a home that becomes a copy elsewhere."""
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    make_directory = _as_user(Disk.make_directory)
    identity = _as_user(Disk.identity)
    is_plain_directory = _as_user(Disk.is_plain_directory)
    is_mount_point = _as_user(Disk.is_mount_point)
    free = _as_user(Disk.free)
    create = _as_user(Disk.create)
    write = _as_user(Disk.write)
    copy = _as_user(Disk.copy)
    date = _as_user(Disk.date)
    sync = _as_user(Disk.sync)
    sync_filesystem = _as_user(Disk.sync_filesystem)
    can_sync_filesystem = _as_user(Disk.can_sync_filesystem)
    link_unnamed = _as_user(Disk.link_unnamed)
    duplicate = _as_user(Disk.duplicate)
    link = _as_user(Disk.link)
    rename = _as_user(Disk.rename)
    unlink = _as_user(Disk.unlink)
    close = _as_user(Disk.close)

    def _beneath(self, path: str, parent: int) -> int:
        try:
            return self._open_beneath(path, parent)
        except OSError as error:
            if error.errno not in _HAS_NO_OPENAT2:
                raise
        return open_one_by_one(path, parent)

    def _owned(self, descriptor: int, path: str) -> int:
        """The same descriptor."""
        owner = os.fstat(descriptor).st_uid
        if owner not in (self._user.ids.uid, 0):
            posix.close(descriptor)
            raise HomeError(f"~{self._user.name}: {path} belongs to the user {owner}")
        return descriptor
