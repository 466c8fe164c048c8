"""What crashes left in tmp/ goes in its time, and nothing else does."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from lmtpd.delivery.disk import UNNAMED
from lmtpd.delivery.sweep import ABANDONED_SECONDS, sweep
from tests.support.faulty_disk import open_descriptors


def make_maildir(path: Path, *names: str) -> Path:
    for name in names or ("tmp", "new", "cur"):
        (path / name).mkdir(parents=True)
    return path


def make_file(path: Path, age_s: float = ABANDONED_SECONDS + 60) -> Path:
    path.write_bytes(b"partly")
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


def test_only_old_files_in_tmp_go(tmp_path: Path) -> None:
    mailbox = make_maildir(tmp_path / "example.org" / "alice")
    gone = [make_file(mailbox / "tmp" / name) for name in ("1", "2")]
    kept = [
        make_file(mailbox / "tmp" / "young", ABANDONED_SECONDS - 60),
        make_file(mailbox / "tmp" / "from-the-future", -3600),
        make_file(mailbox / "new" / "message"),
        make_file(mailbox / "cur" / "message"),
        make_file(mailbox / "subscriptions"),
        make_file(mailbox.parent / "note"),
        make_file(tmp_path / "note"),
    ]
    assert sweep(str(tmp_path)) == len(gone)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in kept)
    assert sweep(str(tmp_path)) == 0


def test_every_maildir_at_any_depth(tmp_path: Path) -> None:
    places = [tmp_path, *(tmp_path / name for name in ("a", "b/c", "b/c/.Sent", "d/e/f/g"))]
    gone = [make_file(make_maildir(place) / "tmp" / "x") for place in places]
    assert sweep(str(tmp_path)) == len(gone)


def test_the_age_can_be_chosen(tmp_path: Path) -> None:
    path = make_file(make_maildir(tmp_path) / "tmp" / "x", 100)
    assert sweep(str(tmp_path), 200) == 0
    assert sweep(str(tmp_path), 50) == 1
    assert not path.exists()


@pytest.mark.parametrize("names", [("tmp",), ("tmp", "new"), ("tmp", "cur"), ("new", "cur")])
def test_a_tmp_that_is_no_maildirs_is_left_alone(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in make_maildir(tmp_path, *names).iterdir():
        make_file(name / "x")
    assert sweep(str(tmp_path)) == 0


def test_links_and_directories_stay(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    victim = make_file(outside / "x")
    store = tmp_path / "store"
    tmp = make_maildir(store / "alice") / "tmp"
    (tmp / "link").symlink_to(victim)
    (tmp / "directory").mkdir()
    os.mkfifo(tmp / "pipe")
    then = time.time() - 2 * ABANDONED_SECONDS
    for name in ("link", "directory", "pipe"):
        os.utime(tmp / name, (then, then), follow_symlinks=False)
    make_maildir(store / "bob", "new", "cur")
    (store / "bob" / "tmp").symlink_to(outside)
    make_maildir(outside / "carol")
    make_file(outside / "carol" / "tmp" / "x")
    (store / "carol").symlink_to(outside / "carol")
    assert sweep(str(store)) == 0
    assert sorted(path.name for path in tmp.iterdir()) == ["directory", "link", "pipe"]
    assert stat.S_ISLNK((tmp / "link").lstat().st_mode)
    assert victim.exists()


def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can write in one mailbox could have a root server empty /tmp, or another's tmp/."""
    folder = make_maildir(tmp_path / "store" / "mallory" / ".Sub")
    own = make_file(folder / "tmp" / "x")
    outside = make_maildir(tmp_path / "outside")
    victim = make_file(outside / "tmp" / "x")
    aside = folder.with_name("aside")
    really_open = os.open

    def open_a_moment_later(path: str, flags: int, **kwargs: int) -> int:
        if str(path).endswith("tmp") and not aside.exists():
            folder.rename(aside)
            folder.symlink_to(outside)
        return really_open(path, flags, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", open_a_moment_later)
        assert sweep(str(tmp_path / "store")) == 1
    assert victim.exists()
    assert not (aside / "tmp" / own.name).exists()


def test_a_thousand_folders_in_one_another_stop_nothing(tmp_path: Path) -> None:
    """More than Python goes into itself, and each would cost a descriptor."""
    made = [os.open(tmp_path, os.O_RDONLY)]
    try:
        for _ in range(1200):
            os.mkdir("a", dir_fd=made[-1])
            made.append(os.open("a", os.O_RDONLY, dir_fd=made[-1]))
            os.close(made.pop(-2))
        gone = make_file(make_maildir(tmp_path / "b") / "tmp" / "x")
        assert sweep(str(tmp_path)) == 1
        assert not gone.exists()
    finally:
        os.close(made.pop())
        # Python's own way goes into itself as well.
        subprocess.run(["rm", "-rf", str(tmp_path / "a")], check=True)


def test_a_root_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to("store")
    make_file(make_maildir(tmp_path / "store" / "a") / "tmp" / "x")
    make_file(tmp_path / "store" / f"{UNNAMED}1")
    assert sweep(str(tmp_path / "link")) == 2


def test_no_store_no_fault(tmp_path: Path) -> None:
    assert sweep(str(tmp_path / "missing")) == 0


def test_a_tmp_that_cannot_be_listed_is_left_for_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_file(make_maildir(tmp_path) / "tmp" / "x")
    before = open_descriptors()

    def unreadable(_: int) -> list[str]:
        raise OSError("unreadable")

    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", unreadable)
        assert sweep(str(tmp_path)) == 0
    assert path.exists()
    assert open_descriptors() == before


def test_a_neighbour_that_was_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp = make_maildir(tmp_path) / "tmp"
    paths = [make_file(tmp / name) for name in ("1", "2", "3")]
    unlink = os.unlink

    def after_the_neighbour(name: str, *, dir_fd: int) -> None:
        if name == "2":
            unlink(name, dir_fd=dir_fd)
        unlink(name, dir_fd=dir_fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", after_the_neighbour)
        assert sweep(str(tmp_path)) == 2
    assert not any(path.exists() for path in paths)
