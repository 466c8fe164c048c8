"""What is done in a home is done with its user's rights, and no name there leads elsewhere.

Whoever runs this is the user; real users, and one who attacks, are in tests/backends.
"""

from __future__ import annotations

import contextlib
import errno
import inspect
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmtpd.delivery import home_disk
from lmtpd.delivery.disk import Disk
from lmtpd.delivery.home_disk import MOST_NAMES, HomeDisk, open_one_by_one, openat2
from lmtpd.delivery.rights import Rights
from lmtpd.failures import HomeError
from tests.support.faulty_disk import open_descriptors
from tests.support.lent import OURS, LendingKernel, user_at

FOREIGN = OURS.uid + 1
LENT = 9
"""Calls that lend rights and take them back, once."""


def has_openat2() -> bool:
    try:
        os.close(openat2("proc", os.open("/proc", os.O_PATH)))
    except OSError as error:
        return error.errno not in (errno.ENOSYS, errno.EPERM)
    return True


def refuse(*_: object) -> int:
    """A kernel without openat2, or a filter of system calls."""
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / "Maildir").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def kernel() -> LendingKernel:
    return LendingKernel()


@pytest.fixture(params=[openat2, refuse], ids=["openat2", "one-by-one"])
def disk(request: pytest.FixtureRequest, home: Path, kernel: LendingKernel) -> HomeDisk:
    return HomeDisk(user_at(home), Rights(kernel), request.param)


@pytest.fixture
def root(disk: HomeDisk, home: Path) -> Iterator[int]:
    """The home, open; in the end nothing else is, and no rights are lent."""
    before = open_descriptors()
    descriptor = disk.open_root(home)
    yield descriptor
    disk.close(descriptor)
    assert open_descriptors() == before


# Rights.


def public(cls: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(cls, callable) if name[0] != "_"}


def test_every_call_is_the_user_s() -> None:
    assert public(Disk) <= {*vars(HomeDisk)}


def calls(home: Path, root: int, file: int) -> dict[str, tuple[object, ...]]:
    """Each call of a Disk that touches one, with what makes it succeed."""
    return {
        "make_directory": ("d", root),
        "identity": (root,),
        "identity_at": (str(home / "Maildir"),),
        "is_plain_directory": (str(home / "Maildir"),),
        "is_mount_point": (root,),
        "free": (root,),
        "names": (root,),
        "write": (file, b"x"),
        "copy": (file, 0, 1, file),
        "date": (file, 1.0),
        "sync": (file,),
        "sync_filesystem": (file,),
        "can_sync_filesystem": (file,),
        "link": (file, "other", root),
        "rename": ("other", root, "third", root),
        "unlink": ("third", root),
        "sweep": (root, 0.0),
    }


def test_the_rights_are_the_user_s_for_each_call(
    disk: HomeDisk, home: Path, root: int, kernel: LendingKernel
) -> None:
    tried = {"open_root", "close", "create_unnamed", "link_unnamed", "rights", "sync_above"}

    def lent(name: str, *arguments: object) -> Any:
        tried.add(name)
        kernel.calls.clear()
        found = getattr(disk, name)(*arguments)
        assert len(kernel.calls) == (2 * LENT if name == "sweep" else LENT), name
        assert kernel.is_ours
        return found

    file = lent("create", "file", root)
    for name, arguments in calls(home, root, file).items():
        lent(name, *arguments)
    disk.close(lent("open_directory", "Maildir", root))
    disk.close(lent("duplicate", file))
    kernel.calls.clear()
    disk.close(file)
    assert len(kernel.calls) == LENT
    assert tried >= public(Disk)


def test_rights_that_are_refused_leave_nothing(
    disk: HomeDisk, home: Path, root: int, kernel: LendingKernel
) -> None:
    """Not even root's way to do it after all."""
    original = kernel._write_down

    def refuse_once(call: str) -> None:
        kernel._write_down = original  # type: ignore[method-assign]
        raise PermissionError(errno.EPERM, call)

    kernel._write_down = refuse_once  # type: ignore[method-assign]
    with pytest.raises(PermissionError):
        disk.create("file", root)
    assert not (home / "file").exists()


def test_nothing_in_a_home_becomes_a_copy_elsewhere(disk: HomeDisk, root: int) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EOPNOTSUPP)):
        disk.create_unnamed(root)
    with pytest.raises(OSError, match="x"):
        disk.link_unnamed(root, "x", root)


def leads_to(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def test_where_the_home_s_name_stands_is_no_business_of_its_user(
    disk: HomeDisk, root: int, kernel: LendingKernel
) -> None:
    kernel.calls.clear()
    synced: list[Path] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda one: synced.append(leads_to(one)))
        disk.sync_above(root)
    assert synced == [leads_to(root).parent]
    assert kernel.calls == []


@pytest.mark.parametrize("call", ["open", "fsync"])
@pytest.mark.parametrize(
    ("number", "is_fault"),
    [
        (errno.EACCES, False),  # nobody may look
        (errno.EINVAL, False),  # autofs
        (errno.EROFS, False),
        (errno.EIO, True),
    ],
)
def test_it_is_done_where_it_can_be(
    number: int, is_fault: bool, call: str, disk: HomeDisk, root: int
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    refusal = pytest.raises(OSError, match="error") if is_fault else contextlib.nullcontext()
    with pytest.MonkeyPatch.context() as patched, refusal:
        patched.setattr(os, call, fail)
        disk.sync_above(root)


# Names.


def fifo(path: Path) -> None:
    os.mkfifo(path)


TRAPS: dict[str, Callable[[Path], object]] = {
    "link": lambda path: path.symlink_to("/etc"),
    "link-within": lambda path: path.symlink_to("Maildir"),
    "dangling": lambda path: path.symlink_to("nowhere"),
    "magic": lambda path: path.symlink_to("/proc/self/cwd"),
    "file": Path.touch,
    "fifo": fifo,
}


@pytest.mark.parametrize("trap", TRAPS)
def test_what_is_no_plain_directory_is_not_entered(
    trap: str, disk: HomeDisk, home: Path, root: int
) -> None:
    TRAPS[trap](home / "trap")
    with pytest.raises(HomeError, match=r"~alice: .*'trap'; no plain directory"):
        disk.open_directory("trap", root)
    with pytest.raises(OSError, match="trap"):
        disk.identity_at(str(home / "trap" / "new"))


def test_a_directory_is_made_on_no_link(disk: HomeDisk, home: Path, root: int) -> None:
    (home / "link").symlink_to("made")
    disk.make_directory("link", root)
    assert not (home / "made").exists()


@pytest.mark.parametrize("opened", [openat2, open_one_by_one], ids=["openat2", "one-by-one"])
def test_another_file_system_is_not_entered(opened: Callable[[str, int], int]) -> None:
    if not os.path.ismount("/proc") or not has_openat2():
        pytest.skip("/proc is not mounted here, or there is no openat2")
    top = os.open("/", os.O_RDONLY)
    before = open_descriptors()
    with pytest.raises(OSError, match=os.strerror(errno.EXDEV)):
        opened("proc", top)
    assert open_descriptors() == before
    os.close(top)


@pytest.mark.parametrize("opened", [openat2, open_one_by_one], ids=["openat2", "one-by-one"])
@pytest.mark.parametrize("trap", ["mail", "mail/box", "mail/box/new"])
def test_no_link_on_the_way_is_followed(
    trap: str, opened: Callable[[str, int], int], tmp_path: Path
) -> None:
    if not has_openat2():
        pytest.skip("there is no openat2")
    (tmp_path / "home/mail/box/new").mkdir(parents=True)
    parent = os.open(tmp_path / "home", os.O_RDONLY)
    os.close(opened("mail/box/new", parent))
    (tmp_path / "home" / trap).rename(tmp_path / "elsewhere")
    (tmp_path / "home" / trap).symlink_to(tmp_path / "elsewhere")
    before = open_descriptors()
    with pytest.raises(OSError, match=r"mail|box|new"):
        opened("mail/box/new", parent)
    assert open_descriptors() == before
    os.close(parent)


def test_a_foreign_file_system_is_noticed_one_by_one(home: Path) -> None:
    parent = os.open(home, os.O_RDONLY)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fstat", lambda number: status(device=number))
        with pytest.raises(OSError, match="cross-device"):
            open_one_by_one("Maildir", parent)
    os.close(parent)


def status(*, device: int = 1, owner: int = 0) -> os.stat_result:
    return os.stat_result((0o40700, 2, device, 2, owner, 0, 0, 0, 0, 0))


class Library:
    """A C library with openat2."""

    def __init__(self, answer: int) -> None:
        self.answer = answer

    def syscall(self, number: Any, parent: Any, path: Any, how: Any, size: Any) -> int:
        assert (number.value, parent.value, path.value, size.value) == (437, 7, b"Maildir", 24)
        assert how._obj.resolve == 0b1111
        assert how._obj.flags & os.O_DIRECTORY
        assert how._obj.flags & os.O_NOFOLLOW
        home_disk.ctypes.set_errno(errno.EAGAIN)
        return self.answer


def test_openat2_as_the_kernel_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_disk, "libc", lambda: Library(8))
    assert openat2("Maildir", 7) == 8
    monkeypatch.setattr(home_disk, "libc", lambda: Library(-1))
    with pytest.raises(BlockingIOError, match="Maildir"):
        openat2("Maildir", 7)


def test_other_faults_are_told_as_they_are(home: Path, root: int) -> None:
    def fail(path: str, _: int) -> int:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)

    disk = HomeDisk(user_at(home), Rights(LendingKernel()), fail)
    with pytest.raises(PermissionError):
        disk.open_directory("Maildir", root)


# Owners.


@pytest.mark.parametrize(("owner", "is_taken"), [(OURS.uid, True), (0, True), (FOREIGN, False)])
def test_what_is_somebody_else_s_is_not_used(
    owner: int, is_taken: bool, disk: HomeDisk, home: Path, root: int
) -> None:
    """Who made it can read what comes in: for instance in a home that all may write to."""
    refusal = contextlib.nullcontext() if is_taken else pytest.raises(HomeError, match="belongs")
    for open_it in (lambda: disk.open_root(home), lambda: disk.open_directory("Maildir", root)):
        with pytest.MonkeyPatch.context() as patched, refusal:
            real = os.fstat
            patched.setattr(
                os, "fstat", lambda file, real=real: status(device=real(file).st_dev, owner=owner)
            )
            os.close(open_it())


@pytest.mark.parametrize("trap", ["missing", "file", "loop"])
def test_a_home_that_is_not_there(trap: str, home: Path, disk: HomeDisk) -> None:
    home.rename(home.parent / "moved")
    if trap == "file":
        home.touch()
    if trap == "loop":
        home.symlink_to("home")
    with pytest.raises(HomeError, match="~alice: "):
        disk.open_root(home)


def test_a_home_by_a_link_is_the_operator_s(home: Path, disk: HomeDisk) -> None:
    home.rename(home.parent / "moved")
    home.symlink_to("moved")
    os.close(disk.open_root(home))


def test_a_home_that_cannot_be_read(
    disk: HomeDisk, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(PermissionError):
        disk.open_root(home)


# What is in a directory.


def test_names_are_not_without_end(
    disk: HomeDisk, home: Path, root: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        (home / str(number)).touch()
    assert sorted(disk.names(root)) == ["0", "1", "2", "3", "4", "Maildir"]
    assert sorted(disk.names(root)) == ["0", "1", "2", "3", "4", "Maildir"], "again"
    assert MOST_NAMES > 10_000
    monkeypatch.setattr(home_disk, "MOST_NAMES", 3)
    assert len(disk.names(root)) == 3


def test_what_was_left_is_swept(disk: HomeDisk, home: Path, root: int) -> None:
    old, now = 1000.0, time.time()
    for name, when in (("old", old), ("young", now)):
        (home / name).touch()
        os.utime(home / name, (when, when))
    (home / "link").symlink_to("young")
    os.utime(home / "link", (old, old), follow_symlinks=False)
    os.utime(home / "Maildir", (old, old))
    disk.sweep(root, now - 10)
    assert sorted(path.name for path in home.iterdir()) == ["Maildir", "link", "young"]
