"""The few system calls that delivery uses, as an object that tests can replace.

Every name is looked up relative to an open directory, and no last component that is a symbolic
link is ever followed: whoever can write in one mailbox cannot lead a delivery to another place.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import math
import os
import posix  # os.close is gevent's once that has patched; it looks for waiting greenlets
import re
import stat
from pathlib import Path

from ..libc import libc

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600

UNNAMED = ".incoming-"
"""What the name of an unnamed file begins with, where a file system wants one for a moment."""

_HAS_NO_TMPFILE = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL})
_CANNOT_COPY = frozenset({errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM})
_READ_OCTETS = 256 * 1024
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


# f_type of statfs(2).
_EXT4, _XFS, _BTRFS = 0xEF53, 0x58465342, 0x9123683E
_SYNCFS_IS_DURABLE = frozenset({_EXT4, _XFS, _BTRFS})


@functools.cache
def _reports_errors() -> bool:
    """syncfs(2): before Linux 5.8 it forgot to tell of writes that had failed."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(re.sub(r"\D.*", "", minor))) >= (5, 8)


def _copy_range(source: int, offset: int, size: int, target: int) -> int:
    """Copy some octets; how many, 0 at the end of the file."""
    try:
        return os.copy_file_range(source, target, size, offset)
    except OSError as error:
        if error.errno not in _CANNOT_COPY:
            raise
    return os.write(target, os.pread(source, min(size, _READ_OCTETS), offset))


def _link(descriptor: int, name: str, parent: int) -> None:
    # With a directory given, os.link() follows what it finds in /proc; without, it does not.
    os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=parent, follow_symlinks=True)


class Disk:
    """The operating system. Each method raises OSError as its call does."""

    def open_root(self, path: Path) -> int:
        """Open the store's root; a link there is the operator's own."""
        return os.open(path, _DIRECTORY)

    def sync_above(self, root: int) -> None:
        """Make the root's own name durable; it is the operator's, who has done so long ago."""

    def open_directory(self, name: str, parent: int) -> int:
        """Open a directory below another; a link raises NotADirectoryError."""
        return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)

    def make_directory(self, name: str, parent: int) -> None:
        """Make a directory; one that is there already is as good."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, DIRECTORY_MODE, dir_fd=parent)

    def identity(self, descriptor: int) -> tuple[int, int]:
        """Device and inode."""
        status = os.fstat(descriptor)
        return status.st_dev, status.st_ino

    def identity_at(self, path: str) -> tuple[int, int]:
        """Device and inode of what a path leads to, links followed."""
        status = os.stat(path)  # noqa: PTH116 - on the way of every delivery
        return status.st_dev, status.st_ino

    def is_plain_directory(self, path: str) -> bool:
        """Whether a directory is there, and no link to one."""
        return stat.S_ISDIR(os.lstat(path).st_mode)

    def is_mount_point(self, directory: int) -> bool:
        """Whether another file system begins at this directory."""
        return os.stat("..", dir_fd=directory).st_dev != os.fstat(directory).st_dev

    def free(self, directory: int) -> tuple[float, float]:
        """Octets and files that the file system still takes; no end of them if it does not say."""
        status = os.fstatvfs(directory)
        octets = status.f_bavail * status.f_frsize if status.f_blocks else math.inf
        return octets, status.f_favail if status.f_files else math.inf

    def names(self, directory: int) -> list[str]:
        """What is in it."""
        return os.listdir(directory)

    def create(self, name: str, parent: int) -> int:
        """Make a file that was not there, readable and writable."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, FILE_MODE, dir_fd=parent)

    def create_unnamed(self, parent: int) -> tuple[int, bool]:
        """Make a file that has no name, and is gone with its descriptor; whether it can get one."""
        flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
        try:
            return os.open(".", flags, FILE_MODE, dir_fd=parent), True
        except OSError as error:
            if error.errno not in _HAS_NO_TMPFILE:
                raise
        name = f"{UNNAMED}{os.urandom(8).hex()}"
        descriptor = self.create(name, parent)
        try:
            self.unlink(name, parent)
        except BaseException:
            self.close(descriptor)
            raise
        return descriptor, False

    def write(self, descriptor: int, *pieces: bytes) -> None:
        """Write all of them, one behind the other."""
        written = os.writev(descriptor, pieces)
        if written < sum(map(len, pieces)):  # the disk is nearly full, say
            left = memoryview(b"".join(pieces))[written:]
            while left:
                left = left[os.write(descriptor, left) :]

    def copy(self, source: int, offset: int, size: int, target: int) -> None:
        """Add a part of one file to another, by the file system's own means if it has some."""
        end = offset + size
        while offset < end:
            copied = _copy_range(source, offset, end - offset, target)
            if not copied:
                raise OSError(errno.EIO, "a file is shorter than what was written to it")
            offset += copied

    def date(self, descriptor: int, seconds: float) -> None:
        """Set the time of a file, in seconds since the epoch."""
        os.utime(descriptor, (seconds, seconds))

    def sync(self, descriptor: int) -> None:
        """fsync: of a file, its octets; of a directory, the names in it."""
        os.fsync(descriptor)
        # An XFS that has shut down after a fault of its disk answers 0 to the fsync of a directory
        # whose names are lost; asked for the directory's status, it answers EIO.
        os.fstat(descriptor)

    def sync_filesystem(self, descriptor: int) -> None:
        """syncfs(2): all that was written to the file system before."""
        if libc().syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def can_sync_filesystem(self, descriptor: int) -> bool:
        """Whether syncfs is known to wait for the disk here, and to report its errors."""
        status = (ctypes.c_long * 32)()  # struct statfs; its first member is f_type
        if not _reports_errors() or libc().fstatfs(descriptor, ctypes.byref(status)):
            return False
        return status[0] in _SYNCFS_IS_DURABLE

    def link_unnamed(self, descriptor: int, name: str, parent: int) -> None:
        """Give a file without a name one."""
        _link(descriptor, name, parent)

    def duplicate(self, descriptor: int) -> int:
        """A second descriptor of an open file."""
        return os.dup(descriptor)

    def link(self, descriptor: int, name: str, parent: int) -> None:
        """A second name for a file.

        By its descriptor: whoever can write in its directory may have put another file behind the
        first name, and would have it delivered to others as theirs.
        """
        _link(descriptor, name, parent)

    def rename(self, old: str, old_parent: int, new: str, new_parent: int) -> None:
        """Move within one file system, in one step for all who look."""
        os.rename(old, new, src_dir_fd=old_parent, dst_dir_fd=new_parent)

    def unlink(self, name: str, parent: int) -> None:
        """Take a name away."""
        os.unlink(name, dir_fd=parent)

    def close(self, descriptor: int) -> None:
        """Give a descriptor back."""
        posix.close(descriptor)
