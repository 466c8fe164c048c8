"""A disk that keeps a diary and fails when it is told to; the real disk lies beneath.

Promises: every call is written down, with its place below the root, before anything else happens.
A call that fails does what the kernel would have done by then: half of a write or of a copy is on
the disk, a descriptor whose close fails is closed all the same, and nothing else has happened. What
fsync and syncfs do cannot be seen without a power cut, so they are written down and not done.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from lmtpd.delivery.disk import UNNAMED, Disk

KINDS = (
    "open_root",
    "open_directory",
    "make_directory",
    "identity",
    "identity_at",
    "is_plain_directory",
    "is_mount_point",
    "free",
    "names",
    "create",
    "create_unnamed",
    "write",
    "copy",
    "sync",
    "sync_filesystem",
    "link_unnamed",
    "duplicate",
    "link",
    "rename",
    "unlink",
    "close",
)
"""Every call that can fail; whether syncfs is of use here is a question with an answer."""


@contextmanager
def without_tmpfile() -> Iterator[None]:
    """A kernel, or a file system, that knows no O_TMPFILE: FUSE as a rule, and NFS."""
    really_open = os.open

    def open_without(path: str, flags: int, *args: int, **kwargs: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return really_open(path, flags, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "open", open_without)
        yield


def open_descriptors() -> int:
    """How many this process holds; one more for the looking."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


class Call(NamedTuple):
    """One call, and where it acts: `example.org/alice/tmp`; the root is `.`."""

    kind: str
    place: str


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and which calls it befalls: each condition that is given must hold."""

    error: int | BaseException
    number: int | None = None
    since: int = 0
    kind: str | None = None
    under: str = ""

    def befalls(self, number: int, call: Call) -> bool:
        """Whether this call fails."""
        return (
            self.number in (None, number)
            and number >= self.since
            and self.kind in (None, call.kind)
            and (not self.under or f"/{self.under}" in f"/{call.place}")
        )

    def exception(self, path: str) -> BaseException:
        """As the operating system words it: with errno text and path."""
        if isinstance(self.error, int):
            return OSError(self.error, os.strerror(self.error), path)
        return self.error


class FaultyDisk(Disk):
    """The real disk, with a diary and a list of faults."""

    def __init__(self, *, has_syncfs: bool = False) -> None:
        self.has_syncfs = has_syncfs
        """What is answered to can_sync_filesystem, whatever lies beneath."""
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.is_mounted: bool | None = None
        """What is answered to is_mount_point; None is the truth."""
        self.is_free: tuple[float, float] | None = None
        """What is answered to free; None is the truth."""
        self._root = Path()
        self._places: dict[int, str] = {}

    @contextmanager
    def failing(self, *faults: Fault) -> Iterator[None]:
        """The faults last as long as this context; the diary begins anew with it."""
        self.calls.clear()
        self.faults.extend(faults)
        try:
            yield
        finally:
            self.faults.clear()

    def made(self, *kinds: str) -> list[Call]:
        """The calls of these kinds, in their order."""
        return [call for call in self.calls if call.kind in kinds]

    def kept_open(self) -> list[str]:
        """The places of all descriptors that were not closed yet."""
        return sorted(self._places.values())

    def give_back(self) -> None:
        """Close them, as the end of the process would."""
        while self._places:
            super().close(self._places.popitem()[0])

    def open_root(self, path: Path) -> int:
        self._root = path
        self._write_down("open_root", ".")
        return self._opened(super().open_root(path), ".")

    def open_directory(self, name: str, parent: int) -> int:
        place = self._below(parent, name)
        self._write_down("open_directory", place)
        return self._opened(super().open_directory(name, parent), place)

    def make_directory(self, name: str, parent: int) -> None:
        self._write_down("make_directory", self._below(parent, name))
        super().make_directory(name, parent)

    def identity(self, descriptor: int) -> tuple[int, int]:
        self._write_down("identity", self.place(descriptor))
        return super().identity(descriptor)

    def identity_at(self, path: str) -> tuple[int, int]:
        self._write_down("identity_at", self._relative(path))
        return super().identity_at(path)

    def is_plain_directory(self, path: str) -> bool:
        self._write_down("is_plain_directory", self._relative(path))
        return super().is_plain_directory(path)

    def is_mount_point(self, directory: int) -> bool:
        self._write_down("is_mount_point", self.place(directory))
        return super().is_mount_point(directory) if self.is_mounted is None else self.is_mounted

    def free(self, directory: int) -> tuple[float, float]:
        self._write_down("free", self.place(directory))
        return super().free(directory) if self.is_free is None else self.is_free

    def names(self, directory: int) -> list[str]:
        self._write_down("names", self.place(directory))
        return super().names(directory)

    def create(self, name: str, parent: int) -> int:
        place = self._below(parent, name)
        self._write_down("create", place)
        return self._opened(super().create(name, parent), place)

    def create_unnamed(self, parent: int) -> tuple[int, bool]:
        place = self._below(parent, UNNAMED)
        self._write_down("create_unnamed", place)
        descriptor, can_be_named = super().create_unnamed(parent)
        return self._opened(descriptor, place), can_be_named

    def write(self, descriptor: int, *pieces: bytes) -> None:
        try:
            self._write_down("write", self.place(descriptor))
        except BaseException:
            data = b"".join(pieces)
            super().write(descriptor, data[: len(data) // 2])
            raise
        super().write(descriptor, *pieces)

    def copy(self, source: int, offset: int, size: int, target: int) -> None:
        try:
            self._write_down("copy", self.place(target))
        except BaseException:
            super().copy(source, offset, size // 2, target)
            raise
        super().copy(source, offset, size, target)

    def sync(self, descriptor: int) -> None:
        self._write_down("sync", self.place(descriptor))
        os.fstat(descriptor)

    def sync_filesystem(self, descriptor: int) -> None:
        self._write_down("sync_filesystem", self.place(descriptor))
        os.fstat(descriptor)

    def can_sync_filesystem(self, descriptor: int) -> bool:
        os.fstat(descriptor)
        return self.has_syncfs

    def link_unnamed(self, descriptor: int, name: str, parent: int) -> None:
        place = self._below(parent, name)
        self._write_down("link_unnamed", place)
        super().link_unnamed(descriptor, name, parent)
        self._places[descriptor] = place

    def duplicate(self, descriptor: int) -> int:
        place = self.place(descriptor)
        self._write_down("duplicate", place)
        return self._opened(super().duplicate(descriptor), place)

    def link(self, descriptor: int, name: str, parent: int) -> None:
        self._write_down("link", self._below(parent, name))
        super().link(descriptor, name, parent)

    def rename(self, old: str, old_parent: int, new: str, new_parent: int) -> None:
        self._write_down("rename", self._below(new_parent, new))
        super().rename(old, old_parent, new, new_parent)

    def unlink(self, name: str, parent: int) -> None:
        self._write_down("unlink", self._below(parent, name))
        super().unlink(name, parent)

    def close(self, descriptor: int) -> None:
        place = self._places.pop(descriptor)
        super().close(descriptor)
        self._write_down("close", place)

    def place(self, descriptor: int) -> str:
        """Where an open descriptor was opened."""
        return self._places[descriptor]

    def _relative(self, path: Path | str) -> str:
        return str(Path(path).relative_to(self._root))

    def _opened(self, descriptor: int, place: str) -> int:
        self._places[descriptor] = place
        return descriptor

    def _below(self, parent: int, name: str) -> str:
        above = self.place(parent)
        return name if above == "." else f"{above}/{name}"

    def _write_down(self, kind: str, place: str) -> None:
        call = Call(kind, place)
        self.calls.append(call)
        for fault in self.faults:
            if fault.befalls(len(self.calls) - 1, call):
                raise fault.exception(str(self._root / place))
