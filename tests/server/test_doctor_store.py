"""`lmtpd.py doctor` on stores that are closed, full, read-only, foreign or frozen."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.components import lacking, require, require_root
from tests.support.doctor import doctor
from tests.support.loop_disk import LoopDisk
from tests.support.namespace import MountError, MountNamespace
from tests.support.nobody import NOBODY, with_python_open
from tests.support.processes import free_port
from tests.support.server import PROJECT
from tests.support.store_on import SmallDisk

ALL_CALLS = ("create", "write", "fsync", "rename", "fsync of the directory", "link", "unlink")


def store(root: Path) -> tuple[object, ...]:
    """The settings of a store where nobody serves, and which may be small."""
    none = ("--lmtp-disk-reserve", "none")
    return "--lmtp-port", free_port(), "--lmtp-maildir-root", root, *none


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallDisk]:
    require_root("only root may mount")
    try:
        with SmallDisk("tmpfs", tmp_path) as disk:
            yield disk
    except MountError as error:
        lacking(str(error))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    require_root("only root may mount")
    require("ext4")
    try:
        with LoopDisk("ext4", tmp_path) as disk:
            yield disk
    except MountError as error:
        lacking(str(error))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others can pass through."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_store_that_is_well(tmp_path: Path) -> None:
    found = doctor(*store(tmp_path))
    kept = found.the("store", "ok", "a file was kept: ")
    assert all(f"{call} " in kept.text for call in ALL_CALLS)
    found.the("store", "ok", f"{tmp_path} belongs to ")
    found.the("store", "ok", "MB are free")
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_file_system(tmp_path: Path) -> None:
    require_root("only root may mount")
    namespace = MountNamespace()
    try:
        namespace.run("mount", "--bind", str(tmp_path), str(tmp_path))
        namespace.run("mount", "-o", "remount,bind,ro", str(tmp_path))
        found = doctor(*store(tmp_path), prefix=namespace.prefix(PROJECT))
    finally:
        namespace.end()
    assert found.code == os.EX_TEMPFAIL
    mount = found.the("store", "fail", f"mounted at {tmp_path} is read-only")
    assert f"mount -o remount,rw {tmp_path}" in mount.remedy
    found.the("store", "fail", "create failed: Read-only file system")


def test_memory_is_no_store(small: SmallDisk) -> None:
    found = doctor(*store(small.path), prefix=small.prefix())
    found.the("store", "warn", f"tmpfs mounted at {small.path} is memory")
    found.the("store", "note", f"while {small.path} is not mounted")


def test_a_marker_says_enough(small: SmallDisk) -> None:
    (small.seen / ".here").touch()
    marker = ("--lmtp-maildir-marker", ".here")
    found = doctor(*store(small.path), *marker, prefix=small.prefix())
    assert "note" not in found.levels("store")


def test_no_room(small: SmallDisk) -> None:
    with small.without_room():
        found = doctor(*store(small.path), prefix=small.prefix())
    assert found.code == os.EX_TEMPFAIL
    assert "df -h" in found.the("store", "fail", "write failed: No space left").remedy
    assert "df -h" in found.the("store", "fail", "every MAIL hears 452").remedy


def test_less_than_the_reserve(small: SmallDisk) -> None:
    for reserve, level in (("5M", "fail"), ("3M", "warn")):
        found = doctor(*store(small.path), "--lmtp-disk-reserve", reserve, prefix=small.prefix())
        found.the("store", level, "lmtp-disk-reserve")


def test_no_inodes(small: SmallDisk) -> None:
    with small.without_inodes():
        found = doctor(*store(small.path), prefix=small.prefix())
    assert "df -i" in found.the("store", "fail", "inodes are free").remedy
    found.the("store", "fail", "create failed: No space left")


def test_a_root_of_somebody_else(open_folder: Path) -> None:
    settings = (*store(open_folder), "--lmtp-user", "nobody")
    found = doctor(*settings, prefix=with_python_open())
    assert found.code == os.EX_TEMPFAIL
    closed = found.the("store", "fail", f"{open_folder} belongs to root, mode 0755: nobody may not")
    assert closed.remedy == f"chown nobody {open_folder}"
    found.the("store", "fail", "create failed: Permission denied")


def test_a_mailbox_of_somebody_else(open_folder: Path) -> None:
    for name in ("alice", "bob"):
        (open_folder / "example.org" / name / "new").mkdir(parents=True)
    for path in (open_folder, open_folder / "example.org", *open_folder.glob("*/alice/**")):
        os.chown(path, NOBODY, NOBODY)
    os.chown(open_folder / "example.org" / "bob", NOBODY, NOBODY)
    settings = (*store(open_folder), "--lmtp-user", "nobody")
    found = doctor(*settings, prefix=with_python_open())
    wrong = found.the("store", "fail", "nobody may not write in 1 of 2 mailboxes")
    assert f"{open_folder}/example.org/bob/new" in wrong.text
    assert "chown -R nobody" in wrong.remedy
    os.chown(open_folder / "example.org" / "bob" / "new", NOBODY, NOBODY)
    found = doctor(*settings, prefix=with_python_open())
    found.the("store", "ok", "2 mailboxes, to be written by nobody")


def test_a_root_for_everybody(open_folder: Path) -> None:
    open_folder.chmod(0o777)
    mended = doctor(*store(open_folder)).the("store", "warn", "everybody may put mailboxes there")
    assert mended.remedy == f"chmod o-w {open_folder}"


def test_a_disk_that_hangs_hangs_nothing_else(disk: LoopDisk) -> None:
    with disk.frozen():
        found = doctor(*store(disk.path), prefix=disk.prefix(PROJECT))
    assert found.code == os.EX_TEMPFAIL
    late = found.the("store", "fail", "no answer within 20 s")
    assert f"the file system at {disk.path} hangs" in late.remedy
    assert found.levels("hooks")


def test_a_disk_that_dies(disk: LoopDisk) -> None:
    disk.cut()
    found = doctor(*store(disk.path), prefix=disk.prefix(PROJECT))
    found.the("store", "fail", "no mail can be kept")
