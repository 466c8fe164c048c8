"""The store's directories: made durably, found without leaving the root, never taken for lost.

Durable means: the parent of every directory that was made, or is seen for the first time, has been
fsynced before the directory is used. A link leads on only within the store.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from lmtpd.delivery.disk import Disk
from lmtpd.delivery.layout import Layout
from lmtpd.delivery.maildir import MaildirStore
from lmtpd.delivery.tree import MaildirTree
from lmtpd.failures import LinkOutsideError, StoreVanishedError, reply_for
from tests.support.faulty_disk import Fault, FaultyDisk, open_descriptors

PARTS = ("example.org", "alice")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    path.mkdir()
    return path


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def tree(root: Path, disk: FaultyDisk) -> MaildirTree:
    return MaildirTree(root, disk)


def use(tree: MaildirTree, parts: tuple[str, ...], *, create: bool = True) -> Path:
    """Open and close; where it was."""
    descriptor = tree.open(parts, create=create)
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    finally:
        tree.disk.close(descriptor)


# Durability.


def test_all_is_made_and_every_parent_fsynced(tree: MaildirTree, disk: FaultyDisk) -> None:
    use(tree, PARTS)
    assert disk.made("make_directory", "sync") == [
        ("make_directory", "example.org"),
        ("sync", "."),
        ("make_directory", "example.org/alice"),
        ("sync", "example.org"),
    ]


def test_directories_have_mode_0700(tree: MaildirTree, root: Path) -> None:
    before = os.umask(0)
    try:
        use(tree, PARTS)
    finally:
        os.umask(before)
    for path in (root / "example.org", root / "example.org" / "alice"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_what_others_made_is_fsynced_when_first_seen(
    tree: MaildirTree, disk: FaultyDisk, root: Path
) -> None:
    root.joinpath(*PARTS).mkdir(parents=True)
    use(tree, PARTS)
    assert disk.made("make_directory", "sync") == [("sync", "."), ("sync", "example.org")]


def test_what_is_there_is_made_durable_too(tree: MaildirTree, disk: FaultyDisk, root: Path) -> None:
    """An administrator, or a neighbour process, may have made it a moment ago."""
    root.joinpath(*PARTS).mkdir(parents=True)
    for _ in range(2):
        disk.calls.clear()
        use(tree, PARTS)
        assert disk.made("make_directory", "sync") == [("sync", "."), ("sync", "example.org")]


def test_a_failed_fsync_is_not_taken_for_a_good_one(tree: MaildirTree, disk: FaultyDisk) -> None:
    with disk.failing(Fault(errno.EIO, kind="sync", under="example.org")):
        with pytest.raises(OSError, match="error"):
            tree.open(PARTS, create=True)
        assert disk.made("sync")[-1].place == "example.org"
    disk.calls.clear()
    use(tree, PARTS)
    assert disk.made("make_directory", "sync")[-1] == ("sync", "example.org")


def test_looking_makes_nothing_and_fsyncs_nothing(
    tree: MaildirTree, disk: FaultyDisk, root: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        tree.open(PARTS, create=False)
    assert not tree.holds(PARTS)
    assert list(root.iterdir()) == []
    root.joinpath(*PARTS).mkdir(parents=True)
    assert tree.holds(PARTS)
    assert not disk.made("make_directory", "sync")


# What is there.


def test_a_root_that_is_missing_is_an_error_from_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        MaildirTree(tmp_path / "missing", Disk())


def test_a_root_that_is_a_file_is_an_error_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        MaildirTree(tmp_path / "file", Disk())


def test_a_root_that_went_away_is_an_error_and_not_an_unknown_mailbox(
    tree: MaildirTree, root: Path
) -> None:
    root.rmdir()
    with pytest.raises(FileNotFoundError):
        tree.holds(PARTS)
    with pytest.raises(FileNotFoundError):
        tree.open(PARTS, create=True)
    assert not root.exists()


@pytest.mark.parametrize(
    ("name", "is_there"),
    [
        ("alice", True),
        ("bob", False),
        ("file", False),
        ("file/below", False),
        ("alice/below", False),
        ("dangling", False),
        ("loop", False),
        ("to-alice", True),
        ("to-file", False),
    ],
)
def test_holds(name: str, is_there: bool, tree: MaildirTree, root: Path) -> None:
    domain = root / "example.org"
    (domain / "alice").mkdir(parents=True)
    (domain / "file").touch()
    (domain / "dangling").symlink_to("nowhere")
    (domain / "loop").symlink_to("loop")
    (domain / "to-alice").symlink_to("alice")
    (domain / "to-file").symlink_to("file")
    before = open_descriptors()
    assert tree.holds(("example.org", *name.split("/"))) is is_there
    assert open_descriptors() == before


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EIO, errno.ELOOP, errno.EMFILE, errno.ENAMETOOLONG, errno.ESTALE]
)
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("alice", "is_plain_directory"),
        ("missing", "is_plain_directory"),
        ("missing", "open_root"),
        ("missing", "is_mount_point"),
        ("to-alice", "is_plain_directory"),
        ("to-alice", "open_root"),
        ("to-alice", "is_mount_point"),
        ("to-alice", "open_directory"),
    ],
)
def test_a_disk_that_cannot_tell_does_not_say_no(
    name: str, kind: str, number: int, root: Path
) -> None:
    disk = FaultyDisk()
    disk.is_mounted = True
    tree = MaildirTree(root, disk)
    root.joinpath(*PARTS).mkdir(parents=True)
    (root / "example.org" / "to-alice").symlink_to("alice")
    before = open_descriptors()
    with disk.failing(Fault(number, kind=kind)):
        with pytest.raises(OSError, match=r"\[Errno") as caught:
            tree.holds(("example.org", name))
        assert caught.value.errno == number
    assert open_descriptors() == before


@pytest.mark.parametrize("kind", ["open_root", "open_directory", "make_directory", "sync"])
def test_a_failure_on_the_way_leaks_no_descriptor(
    kind: str, tree: MaildirTree, disk: FaultyDisk
) -> None:
    before = open_descriptors()
    with (
        disk.failing(Fault(errno.EIO, kind=kind)),
        pytest.raises(OSError, match=os.strerror(errno.EIO)),
    ):
        tree.open(PARTS, create=True)
    assert open_descriptors() == before


def test_a_file_in_the_way_is_an_error_for_a_delivery(tree: MaildirTree, root: Path) -> None:
    (root / "example.org").mkdir()
    (root / "example.org" / "alice").touch()
    with pytest.raises(NotADirectoryError):
        tree.open(PARTS, create=True)


# The marker.


def test_a_store_without_its_marker_is_not_there(root: Path, disk: FaultyDisk) -> None:
    with pytest.raises(StoreVanishedError, match="is the file system mounted"):
        MaildirTree(root, disk, "here")
    (root / "here").touch()
    tree = MaildirTree(root, disk, "here")
    use(tree, PARTS)
    assert tree.holds(PARTS)
    assert not tree.holds(("example.org", "bob"))
    (root / "here").unlink()
    before = open_descriptors()
    for ask in (lambda: tree.holds(PARTS), lambda: use(tree, PARTS)):
        with pytest.raises(StoreVanishedError) as caught:
            ask()
        assert reply_for(caught.value).status == "4.3.5"
    assert open_descriptors() == before
    (root / "here").touch()
    assert tree.holds(PARTS)


def test_a_disk_that_cannot_tell_does_not_say_that_the_marker_is_gone(
    root: Path, disk: FaultyDisk
) -> None:
    (root / "here").touch()
    tree = MaildirTree(root, disk, "here")
    with (
        disk.failing(Fault(errno.EIO, kind="identity_at")),
        pytest.raises(OSError, match=os.strerror(errno.EIO)),
    ):
        tree.holds(PARTS)


# Links.


def _absolute(link: Path, target: Path) -> None:
    link.symlink_to(target)


def _relative(link: Path, target: Path) -> None:
    link.symlink_to(os.path.relpath(target, link.parent))


def _through_another(link: Path, target: Path) -> None:
    between = link.with_name(f"{link.name}-between")
    between.symlink_to(target)
    link.symlink_to(between.name)


Linker = Callable[[Path, Path], None]
each_linker = pytest.mark.parametrize(
    "make_link", [_absolute, _relative, _through_another], ids=lambda one: one.__name__[1:]
)


@each_linker
@pytest.mark.parametrize("create", [True, False], ids=["create", "look"])
def test_a_link_within_the_store_is_followed(
    make_link: Linker, create: bool, tree: MaildirTree, root: Path
) -> None:
    real = root / "example.org" / "alice"
    real.mkdir(parents=True)
    make_link(root / "example.net", root / "example.org")
    make_link(root / "example.org" / "al", real)
    for parts in (("example.net", "alice"), ("example.org", "al"), ("example.net", "al")):
        before = open_descriptors()
        assert use(tree, parts, create=create) == real.resolve()
        assert open_descriptors() == before
        assert tree.holds(parts)


def test_a_mailbox_behind_a_link_is_made_durably(
    tree: MaildirTree, disk: FaultyDisk, root: Path
) -> None:
    (root / "example.org").mkdir()
    (root / "example.net").symlink_to("example.org")
    use(tree, ("example.net", "alice"))
    assert (root / "example.org" / "alice").is_dir()
    assert disk.made("make_directory", "sync") == [
        ("sync", "."),
        ("make_directory", "example.org/alice"),
        ("sync", "example.org"),
    ]


def test_a_root_that_is_a_link_is_the_operators_own(tmp_path: Path) -> None:
    (tmp_path / "real" / "example.org" / "alice").mkdir(parents=True)
    (tmp_path / "real" / "example.net").symlink_to("example.org")
    (tmp_path / "store").symlink_to("real")
    tree = MaildirTree(tmp_path / "store", Disk())
    assert tree.holds(PARTS)
    assert tree.holds(("example.net", "alice"))


@each_linker
@pytest.mark.parametrize("create", [True, False], ids=["create", "look"])
@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("example.org/alice", "outside"),
        ("example.org/alice", "outside/alice"),
        ("example.org/alice", "outside/missing"),
        ("example.org/alice", "outside/file"),
        ("example.org", "outside"),
        ("example.org", ""),
        ("example.org/alice", "store-of-another"),
        ("example.org/alice", "/"),
    ],
    ids=lambda value: value or "above",
)
def test_a_link_out_of_the_store_is_refused(
    link: str, target: str, make_link: Linker, create: bool, tree: MaildirTree, root: Path
) -> None:
    outside = root.parent / "outside"
    (outside / "alice").mkdir(parents=True)
    (outside / "file").touch()
    (root.parent / "store-of-another").mkdir()
    (root / link).parent.mkdir(exist_ok=True)
    make_link(root / link, root.parent / target)
    before = open_descriptors(), sorted(root.parent.rglob("*"))
    with pytest.raises(LinkOutsideError):
        tree.open(PARTS, create=create)
    with pytest.raises(LinkOutsideError):
        tree.holds(PARTS)
    assert (open_descriptors(), sorted(root.parent.rglob("*"))) == before


@pytest.mark.parametrize("target", ["..", "../../store"])
def test_a_link_to_the_root_itself_is_no_mailbox(
    target: str, tree: MaildirTree, root: Path
) -> None:
    (root / "example.org").mkdir()
    (root / "example.org" / "alice").symlink_to(target)
    with pytest.raises((LinkOutsideError, OSError)):
        tree.open(PARTS, create=True)


def test_links_in_a_circle_are_an_error(tree: MaildirTree, root: Path) -> None:
    (root / "example.org").mkdir()
    (root / "example.org" / "alice").symlink_to("alice")
    with pytest.raises(OSError, match=r"directory|links"):
        tree.open(PARTS, create=True)


def _file(path: Path) -> None:
    path.touch()


def _link_out(path: Path) -> None:
    path.symlink_to("../../../outside")


def _link_to_another_mailbox(path: Path) -> None:
    path.symlink_to(f"../bob/{path.name}")


def _link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("name", ["tmp", "new", "cur"])
@pytest.mark.parametrize(
    "put",
    [_file, _link_out, _link_to_another_mailbox, _link_to_nothing],
    ids=lambda one: one.__name__[1:],
)
def test_a_maildirs_own_directories_are_directories(
    put: Callable[[Path], None], name: str, tree: MaildirTree, root: Path
) -> None:
    """Whoever can write in one mailbox cannot lead a delivery to another place."""
    outside = root.parent / "outside"
    outside.mkdir()
    store = MaildirStore(Layout("{domain}/{local}"), tree, "host")
    store.create("bob@example.org")
    root.joinpath(*PARTS).mkdir()
    put(root.joinpath(*PARTS, name))
    before = open_descriptors(), outside.stat().st_mtime_ns
    for attempt in (lambda one: store.begin(store.locate(one), "1"), store.create):
        with pytest.raises((LinkOutsideError, NotADirectoryError)) as caught:
            attempt("alice@example.org")
        assert reply_for(caught.value).is_transient
    assert (open_descriptors(), outside.stat().st_mtime_ns) == before
    assert not [path for path in root.parent.rglob("*") if path.is_file() and path.name != name]


# A store that is not mounted any more.


def test_a_lost_mount_is_noticed_before_anything_is_made(root: Path, disk: FaultyDisk) -> None:
    disk.is_mounted = True
    tree = MaildirTree(root, disk)
    use(tree, PARTS)
    disk.is_mounted = False
    before = open_descriptors()
    for parts in (PARTS, ("example.org", "bob")):
        with pytest.raises(StoreVanishedError):
            tree.open(parts, create=True)
    with pytest.raises(StoreVanishedError):
        tree.holds(("example.org", "missing"))
    assert not (root / "example.org" / "bob").exists()
    assert open_descriptors() == before
    disk.is_mounted = True
    assert tree.holds(PARTS)


def test_nobody_is_unknown_because_a_mount_was_lost(root: Path, disk: FaultyDisk) -> None:
    disk.is_mounted = True
    tree = MaildirTree(root, disk)
    use(tree, PARTS)
    disk.is_mounted = False
    (root / "example.org").rename(root.parent / "beneath")  # what lies below the mount is empty
    with pytest.raises(StoreVanishedError):
        tree.holds(PARTS)
    (root.parent / "beneath").rename(root / "example.org")
    disk.is_mounted = True
    assert tree.holds(PARTS)


def test_a_root_that_never_was_a_mount_point_may_become_one(root: Path, disk: FaultyDisk) -> None:
    disk.is_mounted = False
    tree = MaildirTree(root, disk)
    use(tree, PARTS)
    disk.is_mounted = True
    assert tree.holds(PARTS)


_IN_A_NAMESPACE = """
    import ctypes, os, sys
    libc = ctypes.CDLL(None, use_errno=True)
    root = sys.argv[1]

    def call(name, *arguments):
        if getattr(libc, name)(*arguments):
            print(f"{name}: {os.strerror(ctypes.get_errno())}")
            sys.exit(77)

    call("unshare", 0x00020000)  # CLONE_NEWNS
    call("mount", b"none", b"/", None, 0x44000, None)  # MS_REC | MS_PRIVATE
    call("mount", b"none", root.encode(), b"tmpfs", 0, b"size=256k")

    from pathlib import Path
    from lmtpd.delivery.agent import DeliveryAgent, Job
    from lmtpd.delivery.commit import GroupCommit
    from lmtpd.delivery.disk import Disk
    from lmtpd.delivery.duplicates import Duplicates, Unconfirmed
    from lmtpd.delivery.layout import Layout
    from lmtpd.delivery.maildir import MaildirStore
    from lmtpd.delivery.message import Message
    from lmtpd.delivery.tree import MaildirTree
    from lmtpd.protocol.address import Address
    from lmtpd.protocol.envelope import Envelope, Peer, Recipient

    tree = MaildirTree(Path(root), Disk())
    store = MaildirStore(Layout("{domain}/{local}"), tree, "host")
    agent = DeliveryAgent(store, GroupCommit(), Duplicates(store, Unconfirmed(), 0), "host")
    recipient = Recipient(Address("alice", "example.org"), ("alice@example.org",))

    def deliver(size):
        envelope = Envelope("1", "", recipients=[recipient])
        message = Message(tree, lambda: agent.lead(envelope, Peer("")), is_binary=False)
        message.append(b"Subject: x\\r\\n\\r\\n" + bytes(size))
        message.finish()
        (outcomes,) = agent.deliver([Job(message, envelope, Peer(""))])
        for outcome in outcomes:
            print(outcome.reply.code, outcome.reply.status)

    deliver(100)
    deliver(1_000_000)
    new, tmp = (Path(root, "example.org", "alice", name) for name in ("new", "tmp"))
    print(len(list(new.iterdir())), len(list(tmp.iterdir())))
    deliver(100)
    call("umount2", root.encode(), 2)  # MNT_DETACH
    deliver(100)
    print(os.listdir(root))
"""


def test_a_real_mount_that_fills_up_and_goes_away(root: Path) -> None:
    if os.geteuid() != 0 or not hasattr(ctypes.CDLL(None), "unshare"):
        pytest.skip("a mount needs root")
    script = textwrap.dedent(_IN_A_NAMESPACE)
    here = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(root)],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(f"no mount namespace here: {done.stdout.strip()}")
    assert done.stdout.splitlines() == [
        "250 2.0.0",
        "452 4.3.1",
        "1 0",
        "250 2.0.0",
        "451 4.3.5",
        "[]",
    ], done.stderr
