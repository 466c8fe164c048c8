"""Maildirs that are kept open: never the wrong one, never too many, and none is lost."""

from __future__ import annotations

import errno
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from lmtpd.delivery.folders import FEWEST_OPEN, MOST_OPEN, OpenMaildir, OpenMaildirs, open_maildir
from lmtpd.delivery.layout import Layout
from lmtpd.delivery.maildir import MaildirStore
from lmtpd.delivery.message import Message
from lmtpd.delivery.tree import MaildirTree
from lmtpd.failures import LinkOutsideError, StoreVanishedError
from tests.support.faulty_disk import Fault, FaultyDisk, open_descriptors

ALICE, BOB = ("example.org", "alice"), ("example.org", "bob")
NAMES = ("tmp", "new", "cur")


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    disk = FaultyDisk()
    yield disk
    disk.give_back()


@pytest.fixture
def tree(tmp_path: Path, disk: FaultyDisk) -> MaildirTree:
    (tmp_path / "store").mkdir()
    return MaildirTree(tmp_path / "store", disk)


@pytest.fixture
def folders(tree: MaildirTree) -> OpenMaildirs:
    return OpenMaildirs(tree)


@pytest.fixture
def home(tree: MaildirTree) -> Path:
    """Where Alice's maildir is."""
    return tree.root.joinpath(*ALICE)


def of(number: int) -> tuple[str, str]:
    return "example.org", f"m{number:03}"


def leads_to(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def is_at(maildir: OpenMaildir, path: Path) -> bool:
    """Whether both descriptors are those of this maildir."""
    return (leads_to(maildir.tmp), leads_to(maildir.new)) == (str(path / "tmp"), str(path / "new"))


# Opening.


def test_a_maildir_is_made_and_its_tmp_and_new_are_open(
    folders: OpenMaildirs, home: Path, disk: FaultyDisk
) -> None:
    maildir = folders.get(ALICE)
    assert is_at(maildir, home)
    new = (home / "new").stat()
    assert maildir.identity == (new.st_dev, new.st_ino)
    assert sorted(path.name for path in home.iterdir()) == sorted(NAMES)
    assert disk.kept_open() == ["example.org/alice/new", "example.org/alice/tmp"]


def test_it_is_opened_once(folders: OpenMaildirs, disk: FaultyDisk) -> None:
    first = folders.get(ALICE)
    disk.calls.clear()
    assert folders.get(ALICE) is first
    assert disk.calls == [("identity_at", "example.org/alice/new")]


def test_by_itself_it_is_not_kept(tree: MaildirTree, disk: FaultyDisk) -> None:
    one, other = open_maildir(tree, ALICE), open_maildir(tree, ALICE)
    assert one.identity == other.identity
    assert len({one.tmp, one.new, other.tmp, other.new}) == 4
    for maildir in (one, other):
        tree.release(maildir.tmp)
        tree.release(maildir.new)
    assert disk.kept_open() == []


@pytest.mark.parametrize("error", [errno.EIO, errno.EMFILE, errno.ENOENT], ids=errno.errorcode.get)
@pytest.mark.parametrize("is_there", [True, False], ids=["there", "missing"])
def test_a_maildir_that_cannot_be_opened_leaves_nothing_open(
    is_there: bool, error: int, tmp_path: Path, home: Path, disk: FaultyDisk
) -> None:
    """Whichever of the calls it is."""
    lost: list[str] = []
    number, count = 0, 1
    while number < count:
        tree = MaildirTree(tmp_path / "store", disk)
        shutil.rmtree(home.parent, ignore_errors=True)
        if is_there:
            for name in NAMES:
                (home / name).mkdir(parents=True)
        with disk.failing(Fault(error, number=number)):
            try:
                maildir = open_maildir(tree, ALICE)
            except OSError:
                count += 1  # there is another call to come
            else:
                count += disk.calls[number : number + 1] != []
                tree.release(maildir.tmp)
                tree.release(maildir.new)
            if disk.kept_open():
                lost.append(f"{disk.calls[number]} loses {disk.kept_open()}")
        disk.give_back()
        number += 1
    assert number > 10
    assert not lost


# Noticing.


def _moved_away(home: Path) -> None:
    home.rename(home.with_name("old"))


def _domain_moved_away(home: Path) -> None:
    home.parent.rename(home.parent.with_name("old.example"))


def _removed(home: Path) -> None:
    shutil.rmtree(home)


def _made_anew(home: Path) -> None:
    _moved_away(home)
    for name in NAMES:
        (home / name).mkdir(parents=True)


def _removed_and_made_anew(home: Path) -> None:
    _removed(home)
    for name in NAMES:
        (home / name).mkdir(parents=True)


def _restored(home: Path) -> None:
    shutil.copytree(home, home.with_name("backup"))
    _moved_away(home)
    home.with_name("backup").rename(home)


def _new_replaced(home: Path) -> None:
    (home / "new").rename(home / "newer")
    (home / "new").mkdir()


def _new_removed(home: Path) -> None:
    (home / "new").rmdir()


Change = Callable[[Path], None]
each_change = pytest.mark.parametrize(
    "change",
    [
        _moved_away,
        _domain_moved_away,
        _removed,
        _made_anew,
        _removed_and_made_anew,
        _restored,
        _new_replaced,
        _new_removed,
    ],
    ids=lambda one: one.__name__[1:],
)


@each_change
def test_what_is_not_there_any_more_is_opened_anew(
    change: Change, folders: OpenMaildirs, home: Path, disk: FaultyDisk
) -> None:
    before = folders.get(ALICE)
    change(home)
    after = folders.get(ALICE)
    assert after is not before
    assert is_at(after, home)
    assert folders.get(ALICE) is after
    folders.trim()
    assert disk.kept_open() == ["example.org/alice/new", "example.org/alice/tmp"]
    assert is_at(after, home)


@each_change
def test_mail_goes_where_the_mailbox_is(change: Change, tree: MaildirTree, home: Path) -> None:
    store = MaildirStore(Layout("{domain}/{local}"), tree, "host")

    def deliver() -> str:
        with closing(store.begin(ALICE, "1")) as delivery:
            delivery.sync()
            delivery.publish()
            delivery.sync_folder()
        store.rest()
        return delivery.name

    first = home / "new" / deliver()
    first.unlink()
    change(home)
    assert [path.name for path in (home / "new").glob("*")] == []
    name = deliver()
    found = [path for path in tree.root.parent.rglob("*") if path.is_file()]
    assert found == [home / "new" / name]


def _replaced(path: Path) -> None:
    path.rename(path.with_name("old"))
    path.mkdir()


def _emptied(path: Path) -> None:
    path.rmdir()


def _renewed(path: Path) -> None:
    path.rmdir()
    path.mkdir()


@pytest.mark.parametrize("is_linked", [False, True], ids=["written", "linked"])
@pytest.mark.parametrize(
    "change", [_replaced, _emptied, _renewed], ids=lambda one: one.__name__[1:]
)
def test_a_tmp_that_was_replaced_hinders_no_delivery(
    change: Change, is_linked: bool, tree: MaildirTree, home: Path, disk: FaultyDisk
) -> None:
    """A file that was made in the directory without a name could not be moved into new/."""
    store = MaildirStore(Layout("{domain}/{local}"), tree, "host")
    store.begin(ALICE, "1").close()
    change(home / "tmp")
    message = Message(tree, bytes, is_binary=True)
    with closing(store.begin(BOB, "1")) as source:
        source.write(b"x", message)
        same = store.begin_same(ALICE, "1", source) if is_linked else None
        with closing(same or store.begin(ALICE, "1")) as delivery:
            if not same:
                delivery.write(b"x", message)
            source.sync()
            delivery.sync()
            delivery.publish()
            delivery.sync_folder()
    store.rest()
    (path,) = (home / "new").iterdir()
    assert path.read_bytes() == b"x"
    assert {path.parent.name for path in tree.root.rglob("*") if path.is_file()} == {"new"}
    assert len(disk.kept_open()) == 4


@pytest.mark.parametrize(
    "change", [_replaced, _emptied, _renewed], ids=lambda one: one.__name__[1:]
)
def test_a_tmp_that_was_replaced_is_no_place_for_a_messages_file(
    change: Change, tree: MaildirTree, home: Path, disk: FaultyDisk
) -> None:
    """A directory without a name takes no file; the mailbox is opened anew, and gets a copy."""
    store = MaildirStore(Layout("{domain}/{local}"), tree, "host")
    store.begin(ALICE, "1").close()
    change(home / "tmp")
    message = Message(tree, lambda: b"F: lead\n", is_binary=True)
    message.append(b"\nx")
    message.spill()
    message.finish()
    message.settle()
    adopted = store.adopt(ALICE, "1", message)
    with closing(adopted or store.begin(ALICE, "1")) as delivery:
        if not adopted:
            delivery.write(b"F: lead\n", message)
        delivery.sync()
        delivery.publish()
        delivery.sync_folder()
    message.close()
    store.rest()
    (path,) = (home / "new").iterdir()
    assert path.read_bytes() == b"F: lead\n\nx"
    assert [path for path in tree.root.rglob("*") if path.is_file()] == [path]
    assert len(disk.kept_open()) == 2


def test_deliveries_that_are_under_way_keep_what_they_began_with(
    folders: OpenMaildirs, home: Path, disk: FaultyDisk
) -> None:
    before = folders.get(ALICE)
    _moved_away(home)
    after = folders.get(ALICE)
    assert is_at(before, home.with_name("old"))
    assert is_at(after, home)
    folders.forget(ALICE)
    assert is_at(after, home)
    assert len(disk.kept_open()) == 4
    folders.trim()
    assert disk.kept_open() == []


def test_what_was_never_open_is_forgotten_in_peace(folders: OpenMaildirs) -> None:
    folders.forget(ALICE)
    folders.trim()
    assert folders.get(ALICE)


@pytest.mark.parametrize("name", ["alice", "new"])
@pytest.mark.parametrize("target", ["outside", "within", "file", "nothing"])
def test_a_link_or_a_file_in_its_place_is_not_taken_for_it(
    target: str, name: str, folders: OpenMaildirs, home: Path
) -> None:
    """Whoever can write in a mailbox cannot lead what was open to another place."""
    folders.get(("example.org", "bob"))
    folders.get(ALICE)
    other = home.with_name("bob") if target == "within" else home.parents[2] / "outside"
    for one in NAMES if target == "outside" else ():
        (other / one).mkdir(parents=True)
    path = home if name == "alice" else home / name
    path.rename(path.with_name("old"))
    if target == "file":
        path.touch()
    else:
        path.symlink_to(other if name == "alice" else other / name)
    if (target, name) == ("within", "alice"):  # one mailbox may stand for another
        assert is_at(folders.get(ALICE), other)
    else:
        with pytest.raises((LinkOutsideError, NotADirectoryError)):
            folders.get(ALICE)


def test_a_link_to_where_it_has_gone_is_followed_within_the_store(
    folders: OpenMaildirs, home: Path
) -> None:
    before = folders.get(ALICE)
    home.rename(home.with_name("moved"))
    home.symlink_to("moved")
    assert folders.get(ALICE) is before
    assert is_at(before, home.with_name("moved"))


def test_a_lost_mount_is_noticed_although_the_maildir_is_open(
    tmp_path: Path, disk: FaultyDisk
) -> None:
    (tmp_path / "store").mkdir()
    disk.is_mounted = True
    folders = OpenMaildirs(MaildirTree(tmp_path / "store", disk))
    folders.get(ALICE)
    disk.is_mounted = False
    (tmp_path / "store" / "example.org").rename(tmp_path / "example.org")
    with pytest.raises(StoreVanishedError):
        folders.get(ALICE)
    assert list((tmp_path / "store").iterdir()) == []
    folders.trim()
    assert disk.kept_open() == []


@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES, errno.ESTALE, errno.ENOENT])
def test_where_the_path_cannot_be_asked_it_is_opened_anew(
    error: int, folders: OpenMaildirs, home: Path, disk: FaultyDisk
) -> None:
    before = folders.get(ALICE)
    with disk.failing(Fault(error, kind="identity_at")):
        after = folders.get(ALICE)
    assert after is not before
    assert is_at(after, home)
    with disk.failing(Fault(error)), pytest.raises(OSError, match=r"\[Errno"):
        folders.get(ALICE)
    folders.trim()
    assert disk.kept_open() == []
    assert is_at(folders.get(ALICE), home)


# How many.


def test_most_are_enough_for_a_group_and_far_from_all_there_are() -> None:
    assert FEWEST_OPEN < MOST_OPEN <= 1000


def test_a_bounded_number_is_kept(tree: MaildirTree, disk: FaultyDisk) -> None:
    folders = OpenMaildirs(tree, 3)
    for number in range(10):
        folders.get(of(number))
    assert len(disk.kept_open()) == 20, "deliveries may be using all of them"
    folders.trim()
    assert disk.kept_open() == [
        f"example.org/m{number:03}/{name}" for number in (7, 8, 9) for name in ("new", "tmp")
    ]
    disk.calls.clear()
    for number in (7, 8, 9):
        folders.get(of(number))
    assert not disk.made("open_directory")


def test_those_that_were_used_last_are_kept(tree: MaildirTree, disk: FaultyDisk) -> None:
    folders = OpenMaildirs(tree, 2)
    for number in (0, 1, 2, 0, 3, 0):
        folders.get(of(number))
        folders.trim()
    assert disk.kept_open() == [
        f"example.org/m{number:03}/{name}" for number in (0, 3) for name in ("new", "tmp")
    ]


def test_nothing_is_lost_over_many_uses(tree: MaildirTree, disk: FaultyDisk) -> None:
    before = open_descriptors()
    folders = OpenMaildirs(tree, 5)
    for turn in range(200):
        parts = of(turn * 7 % 12)
        folders.get(parts)
        if turn % 3 == 0:
            shutil.rmtree(tree.root.joinpath(*parts))
        if turn % 10 == 0:
            folders.forget(parts)
        folders.trim()
        assert len(disk.kept_open()) <= 10
    assert open_descriptors() == before + len(disk.kept_open())


def test_a_close_that_fails_stops_nothing(tree: MaildirTree, disk: FaultyDisk) -> None:
    folders = OpenMaildirs(tree, 0)
    for number in range(3):
        folders.get(of(number))
    with disk.failing(Fault(errno.EIO, kind="close")):
        folders.trim()
        assert len(disk.calls) == 6
        folders.trim()
        assert len(disk.calls) == 6


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE], ids=errno.errorcode.get)
def test_fewer_are_kept_where_descriptors_are_scarce(
    error: int, tree: MaildirTree, disk: FaultyDisk
) -> None:
    folders = OpenMaildirs(tree, 40)
    for number in range(40):
        folders.get(of(number))
    kept = []
    for _ in range(5):
        with disk.failing(Fault(error, kind="open_directory")):
            with pytest.raises(OSError, match="Too many") as caught:
                folders.get(("example.org", "next"))
            assert caught.value.errno == error
        folders.trim()
        kept.append(len(disk.kept_open()) // 2)
    assert kept == [20, 10, FEWEST_OPEN, FEWEST_OPEN, FEWEST_OPEN]
    assert folders.get(of(39))


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.ENOMEM], ids=errno.errorcode.get)
def test_other_faults_are_no_reason_to_keep_fewer(
    error: int, tree: MaildirTree, disk: FaultyDisk
) -> None:
    folders = OpenMaildirs(tree, 40)
    for number in range(20):
        folders.get(of(number))
    for _ in range(5):
        with disk.failing(Fault(error, kind="open_directory")), pytest.raises(OSError, match="E"):
            folders.get(("example.org", "next"))
        folders.trim()
    assert len(disk.kept_open()) == 40


@contextmanager
def room_for(more: int) -> Iterator[None]:
    """The kernel's own limit: so many descriptors beyond those that are open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def use_all(folders: OpenMaildirs, numbers: range) -> None:
    for number in numbers:
        folders.get(of(number))


def test_where_the_kernel_has_none_left_the_next_deliveries_get_theirs(tree: MaildirTree) -> None:
    """Those that are kept open must not be the reason why others cannot be opened."""
    folders = OpenMaildirs(tree, 100)
    for number in range(100):
        folders.get(of(number))
    with room_for(2):
        with pytest.raises(OSError, match="Too many"):
            use_all(folders, range(100, 1200))
        folders.trim()
        for number in range(10):
            assert folders.get(("example.org", f"late-{number}"))


def deliver_to(store: MaildirStore, mailbox: str) -> None:
    try:
        with closing(store.begin(store.locate(mailbox), "1")) as delivery:
            delivery.sync()
            delivery.publish()
    finally:
        store.rest()


def test_descriptors_that_are_scarce_for_files_are_given_back_too(
    tree: MaildirTree, disk: FaultyDisk
) -> None:
    """All maildirs are open already; what cannot be had is the descriptor of the message."""
    store = MaildirStore(Layout("{domain}/{local}"), tree, "host")
    for number in range(50):
        deliver_to(store, f"m{number:03}@example.org")
    kept = len(disk.kept_open())
    for number in range(10):
        with disk.failing(Fault(errno.EMFILE, kind="create")), pytest.raises(OSError, match="Too"):
            deliver_to(store, f"m{number:03}@example.org")
    assert len(disk.kept_open()) < kept
