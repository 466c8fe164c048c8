"""The system calls as the real disk makes them: below a directory, exclusive, never a link."""

from __future__ import annotations

import ctypes
import errno
import math
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmtpd.delivery import disk as disk_module
from lmtpd.delivery.disk import Disk
from lmtpd.libc import libc
from tests.support.faulty_disk import without_tmpfile


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_a_file_and_its_way(disk: Disk, parent: int, tmp_path: Path) -> None:
    disk.make_directory("d", parent)
    directory = disk.open_directory("d", parent)
    file = disk.create("f", directory)
    disk.write(file, b"0123456789")
    disk.sync(file)
    disk.sync(directory)
    disk.rename("f", directory, "g", parent)
    assert (tmp_path / "g").read_bytes() == b"0123456789"
    assert list((tmp_path / "d").iterdir()) == []
    disk.unlink("g", parent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d"]
    disk.close(file)
    disk.close(directory)


def test_modes_and_inheritance(disk: Disk, parent: int, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        disk.make_directory("d", parent)
        file = disk.create("f", parent)
    finally:
        os.umask(before)
    directory, root = disk.open_directory("d", parent), disk.open_root(tmp_path)
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600
    for descriptor in (file, directory, root):
        assert not os.get_inheritable(descriptor)
        disk.close(descriptor)


@pytest.mark.parametrize("kind", ["file", "directory", "link", "dangling"])
def test_a_name_that_is_taken_is_not_created(
    kind: str, disk: Disk, parent: int, tmp_path: Path
) -> None:
    path = tmp_path / "name"
    match kind:
        case "file":
            path.write_text("old")
        case "directory":
            path.mkdir()
        case "link":
            (tmp_path / "victim").write_text("old")
            path.symlink_to("victim")
        case _:
            path.symlink_to("victim")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(FileExistsError):
        disk.create("name", parent)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_directory_that_somebody_else_has_made_is_as_good(
    disk: Disk, parent: int, tmp_path: Path
) -> None:
    (tmp_path / "d").mkdir()
    disk.make_directory("d", parent)
    with pytest.raises(FileNotFoundError):
        disk.make_directory("x/y", parent)


@pytest.mark.parametrize("target", ["d", "f", "nowhere"])
def test_a_link_is_no_directory(target: str, disk: Disk, parent: int, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").touch()
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(NotADirectoryError):
        disk.open_directory("link", parent)


def test_identity_tells_directories_apart(disk: Disk, parent: int, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d2").symlink_to("d")
    one, other = disk.open_root(tmp_path / "d"), disk.open_root(tmp_path / "d2")
    assert disk.identity(one) == disk.identity(other) != disk.identity(parent)
    disk.close(one)
    disk.close(other)


@pytest.mark.parametrize("path", ["/proc", "/dev/shm"])
def test_mount_points(path: str, disk: Disk, parent: int) -> None:
    if not os.path.ismount(path):
        pytest.skip(f"nothing is mounted at {path}")
    descriptor = disk.open_root(Path(path))
    assert disk.is_mount_point(descriptor)
    assert not disk.is_mount_point(parent)
    disk.close(descriptor)


@pytest.mark.parametrize("most", [1, 2, 3, 1000])
def test_short_writes_are_gone_on_with(
    most: int, disk: Disk, parent: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.write

    def write_some(file: int, data: bytes) -> int:
        return whole(file, bytes(data)[:most])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write_some)
        patched.setattr(os, "writev", lambda file, data: write_some(file, b"".join(data)))
        file = disk.create("f", parent)
        disk.write(file, b"0123456789")
        disk.write(file, b"")
        disk.write(file, b"a", b"", b"bcd", b"e")
        disk.write(file, b"", b"fg")
    disk.close(file)
    assert (tmp_path / "f").read_bytes() == b"0123456789abcdefg"


def test_pieces_are_written_one_behind_the_other(disk: Disk, parent: int, tmp_path: Path) -> None:
    file = disk.create("f", parent)
    disk.write(file, b"", b"ab", b"", b"cd" * 100_000)
    disk.write(file, b"e")
    disk.write(file)
    disk.close(file)
    assert (tmp_path / "f").read_bytes() == b"ab" + b"cd" * 100_000 + b"e"


@pytest.mark.parametrize("is_short", [False, True], ids=["at-once", "later"])
def test_a_write_that_fails_is_an_error(
    is_short: bool, disk: Disk, parent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel writes what fits; only the next call says why it was not more."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = disk.create("f", parent)
    with monkeypatch.context() as patched:
        patched.setattr(os, "writev", (lambda *_: 3) if is_short else full)
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            disk.write(file, b"ab", b"cd")
    disk.close(file)


# Parts of files.

REFUSALS = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM)
OCTETS = bytes(range(256)) * 3000  # more than is read at once


def copied(disk: Disk, parent: int, offset: int, size: int) -> bytes:
    """What the copy of a part of OCTETS adds to a file that begins with `first`."""
    source, target = disk.create("source", parent), disk.create("target", parent)
    disk.write(source, OCTETS)
    disk.write(target, b"first")
    disk.copy(source, offset, size, target)
    disk.write(target, b"last")
    content = os.pread(target, len(OCTETS) + 100, 0)
    assert os.lseek(source, 0, os.SEEK_CUR) == len(OCTETS), "the source is not touched"
    disk.close(source)
    disk.close(target)
    assert content.startswith(b"first")
    assert content.endswith(b"last")
    return content[5:-4]


PARTS = [(0, len(OCTETS)), (1000, len(OCTETS) - 1000), (7, 13), (7, 0), (len(OCTETS), 0)]


@pytest.mark.parametrize(("offset", "size"), PARTS)
def test_a_part_of_a_file_is_copied(offset: int, size: int, disk: Disk, parent: int) -> None:
    assert copied(disk, parent, offset, size) == OCTETS[offset : offset + size]


@pytest.mark.parametrize("most", [7000, 100_000])
@pytest.mark.parametrize(("offset", "size"), PARTS)
def test_short_copies_are_gone_on_with(
    offset: int, size: int, most: int, disk: Disk, parent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.copy_file_range
    monkeypatch.setattr(
        os, "copy_file_range", lambda one, to, size, at: whole(one, to, min(size, most), at)
    )
    assert copied(disk, parent, offset, size) == OCTETS[offset : offset + size]


@pytest.mark.parametrize("most", [None, 7000])
@pytest.mark.parametrize("refusal", REFUSALS, ids=errno.errorcode.get)
def test_what_the_kernel_does_not_copy_is_read_and_written(
    refusal: int,
    most: int | None,
    disk: Disk,
    parent: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also when it refuses in the middle."""
    real_copy, real_write = os.copy_file_range, os.write
    turns = 0

    def refuse_later(source: int, target: int, _: int, at: int) -> int:
        nonlocal turns
        turns += 1
        if turns == 1:
            return real_copy(source, target, 10, at)
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(os, "copy_file_range", refuse_later)
    monkeypatch.setattr(os, "write", lambda file, data: real_write(file, bytes(data)[:most]))
    assert copied(disk, parent, 1000, len(OCTETS) - 2000) == OCTETS[1000:-1000]
    assert turns > 2


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT], ids=errno.errorcode.get)
def test_other_faults_of_a_copy_are_told(
    error: int, disk: Disk, parent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: int) -> int:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "copy_file_range", fail)
    with pytest.raises(OSError, match=os.strerror(error)) as caught:
        disk.copy(parent, 0, 1, parent)
    assert caught.value.errno == error


@pytest.mark.parametrize("is_refused", [False, True], ids=["copied", "read-and-written"])
@pytest.mark.parametrize(("offset", "size"), [(0, 11), (5, 6), (10, 1), (100, 1)])
def test_a_file_that_is_too_short_is_an_error(
    offset: int,
    size: int,
    is_refused: bool,
    disk: Disk,
    parent: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: int) -> int:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    if is_refused:
        monkeypatch.setattr(os, "copy_file_range", refuse)
    source, target = disk.create("source", parent), disk.create("target", parent)
    disk.write(source, b"0123456789")
    with pytest.raises(OSError, match="shorter") as caught:
        disk.copy(source, offset, size, target)
    assert caught.value.errno == errno.EIO
    disk.close(source)
    disk.close(target)


# Files that get their name later.


def unnamed(disk: Disk, parent: int) -> int:
    """A file without a name, on a file system that can give it one."""
    descriptor, can_be_named = disk.create_unnamed(parent)
    assert can_be_named
    disk.write(descriptor, b"octets")
    return descriptor


def test_an_unnamed_file_gets_a_name(disk: Disk, parent: int, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    directory = disk.open_directory("d", parent)
    before = os.umask(0)
    try:
        file = unnamed(disk, parent)
    finally:
        os.umask(before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d"]
    disk.link_unnamed(file, "f", directory)
    path = tmp_path / "d" / "f"
    assert path.read_bytes() == b"octets"
    assert not path.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_nlink == 1
    assert not os.get_inheritable(file)
    disk.close(file)
    disk.close(directory)
    assert path.read_bytes() == b"octets"


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_a_name_that_is_taken_is_not_given(
    kind: str, disk: Disk, parent: int, tmp_path: Path
) -> None:
    path = tmp_path / "name"
    if kind == "file":
        path.write_text("old")
    else:
        path.symlink_to("." if kind == "link" else "nowhere")
    file = unnamed(disk, parent)
    with pytest.raises(FileExistsError):
        disk.link_unnamed(file, "name", parent)
    disk.close(file)
    assert kind != "file" or path.read_text() == "old"


def test_a_file_that_lost_its_name_gets_no_other(disk: Disk, parent: int) -> None:
    """So it is with an unnamed file that had one for a moment, and with one that was aborted."""
    file = unnamed(disk, parent)
    disk.link_unnamed(file, "f", parent)
    disk.unlink("f", parent)
    with pytest.raises(FileNotFoundError):
        disk.link_unnamed(file, "f", parent)
    disk.close(file)


def test_a_directory_without_a_name_takes_none(disk: Disk, parent: int, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    directory = disk.open_directory("d", parent)
    (tmp_path / "d").rmdir()
    file = unnamed(disk, parent)
    with pytest.raises(FileNotFoundError):
        disk.link_unnamed(file, "f", directory)
    disk.close(file)
    disk.close(directory)


def test_a_second_descriptor_outlives_the_first(disk: Disk, parent: int, tmp_path: Path) -> None:
    file = unnamed(disk, parent)
    other = disk.duplicate(file)
    assert other != file
    assert not os.get_inheritable(other)
    disk.close(file)
    disk.link_unnamed(other, "f", parent)
    disk.close(other)
    assert (tmp_path / "f").read_bytes() == b"octets"


def test_a_path_and_a_descriptor_of_one_directory_are_one(
    disk: Disk, parent: int, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(".")
    for path in (tmp_path, tmp_path / "link"):
        assert disk.identity_at(str(path)) == disk.identity(parent)
    with pytest.raises(FileNotFoundError):
        disk.identity_at(str(tmp_path / "missing"))


def test_plain_directories(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(".")
    assert disk.is_plain_directory(str(tmp_path))
    assert not disk.is_plain_directory(str(tmp_path / "file"))
    assert not disk.is_plain_directory(str(tmp_path / "link"))
    with pytest.raises(FileNotFoundError):
        disk.is_plain_directory(str(tmp_path / "missing"))
    with pytest.raises(NotADirectoryError):
        disk.is_plain_directory(str(tmp_path / "file" / "below"))


def test_what_is_free(disk: Disk, parent: int, tmp_path: Path) -> None:
    octets, files = disk.free(parent)
    usage = shutil.disk_usage(tmp_path)
    assert 0 < octets <= usage.total
    assert files > 0


@pytest.mark.parametrize("path", ["/proc", "/sys"])
def test_a_file_system_that_does_not_say_what_is_free_has_no_end(path: str, disk: Disk) -> None:
    root = disk.open_root(Path(path))
    assert disk.free(root) == (math.inf, math.inf)
    disk.close(root)


def test_a_second_name(disk: Disk, parent: int, tmp_path: Path) -> None:
    """Of the file that is open, whatever its first name stands for by now."""
    (tmp_path / "d").mkdir()
    directory = disk.open_directory("d", parent)
    file = disk.create("f", parent)
    (tmp_path / "f").rename(tmp_path / "aside")
    (tmp_path / "f").symlink_to("/etc/passwd")
    disk.link(file, "g", directory)
    assert (tmp_path / "d" / "g").samefile(tmp_path / "aside")
    with pytest.raises(FileExistsError):
        disk.link(file, "g", directory)
    disk.close(file)
    disk.close(directory)


def test_a_closed_descriptor_is_an_error(disk: Disk, parent: int) -> None:
    descriptor = os.dup(parent)
    disk.close(descriptor)
    for call in (disk.close, disk.sync, disk.sync_filesystem, disk.identity, disk.duplicate):
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            call(descriptor)
    assert not disk.can_sync_filesystem(descriptor)


def test_syncfs_of_a_memory_file_system_succeeds(disk: Disk) -> None:
    shared = Path("/dev/shm")
    if not os.path.ismount(shared):
        pytest.skip(f"nothing is mounted at {shared}")
    descriptor = disk.open_root(shared)
    disk.sync_filesystem(descriptor)
    disk.close(descriptor)


class FakeLibrary:
    """A C library whose fstatfs tells of a file system that is not there."""

    def __init__(self, kind: int, result: int = 0) -> None:
        self.kind = kind
        self.result = result

    def fstatfs(self, _: int, status: object) -> int:
        status._obj[0] = self.kind  # type: ignore[attr-defined]
        return self.result


def given(monkeypatch: pytest.MonkeyPatch, library: object, release: str) -> Disk:
    """A disk on a system of this kind."""
    uname = os.uname()
    told = os.uname_result((*uname[:2], release, *uname[3:]))
    monkeypatch.setattr(os, "uname", lambda: told)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library)
    for remembered in (libc, disk_module._reports_errors):
        remembered.cache_clear()
    return Disk()


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    for remembered in (libc, disk_module._reports_errors):
        remembered.cache_clear()


@pytest.mark.parametrize(
    ("release", "is_new"),
    [
        ("5.7.19", False),
        ("5.8.0", True),
        ("5.8-rc1", True),
        ("5.10.0-28-amd64", True),
        ("4.19.0", False),
        ("6.1", True),
        ("6.6.87.2-microsoft-standard-WSL2", True),
        ("10.0.1", True),
    ],
)
def test_old_kernels_forget_errors(release: str, is_new: bool, system: pytest.MonkeyPatch) -> None:
    assert given(system, FakeLibrary(0xEF53), release).can_sync_filesystem(0) is is_new


@pytest.mark.parametrize(
    ("kind", "is_durable"),
    [
        (0xEF53, True),  # ext4
        (0x58465342, True),  # XFS
        (0x9123683E, True),  # btrfs
        (0x65735546, False),  # FUSE
        (0x6969, False),  # NFS
        (0x01021994, False),  # tmpfs
        (0x794C7630, False),  # overlayfs
        (0, False),
    ],
)
def test_where_syncfs_waits_for_the_disk(
    kind: int, is_durable: bool, system: pytest.MonkeyPatch
) -> None:
    assert given(system, FakeLibrary(kind), "6.1.0").can_sync_filesystem(0) is is_durable


def test_a_file_system_that_cannot_be_asked_gets_fsync(system: pytest.MonkeyPatch) -> None:
    assert not given(system, FakeLibrary(0xEF53, -1), "6.1.0").can_sync_filesystem(0)


def test_an_unnamed_file_where_the_file_system_has_none(tmp_path: Path) -> None:
    """FUSE as a rule, and NFS: it has a name for a moment."""
    disk = Disk()
    parent = disk.open_root(tmp_path)
    with without_tmpfile():
        descriptor, can_be_named = disk.create_unnamed(parent)
    assert not can_be_named
    disk.write(descriptor, b"octets")
    assert os.pread(descriptor, 100, 0) == b"octets"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        disk.link_unnamed(descriptor, "name", parent)
    disk.close(descriptor)
    disk.close(parent)


def test_an_unnamed_file_that_cannot_be_had(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    descriptor = os.open(file, os.O_RDONLY)
    with pytest.raises(NotADirectoryError):
        Disk().create_unnamed(descriptor)
    os.close(descriptor)
