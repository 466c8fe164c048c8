"""One copy on its way: tmp/, fsync, new/, fsync; and second names for the same octets.

What a reader of the Maildir relies on is here too: unique names, private modes, right sizes in the
names, and nothing left over from what was not delivered.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtpd.delivery.disk import Disk
from lmtpd.delivery.layout import Layout
from lmtpd.delivery.maildir import MaildirDelivery, MaildirStore
from lmtpd.delivery.message import Message
from lmtpd.delivery.store import Place
from lmtpd.delivery.tree import MaildirTree
from lmtpd.failures import UnsafeMailboxError
from tests.support.faulty_disk import Call, Fault, FaultyDisk, open_descriptors

MAILBOX = "alice@example.org"
ID = "0123456789abcdef"
PLACE = "example.org/alice"
AT = ("example.org", "alice")
FIELDS = b"Return-Path: <>\n"
NOW_NS = 1_700_000_000_012_345_678
NAME = re.compile(
    r"(?P<seconds>\d+)\.M(?P<microseconds>\d{6})P(?P<process>\d+)Q(?P<count>\d+)R(?P<id>[0-9a-f]+)"
    r"\.(?P<host>[^/:,]+),S=(?P<size>\d+),W=(?P<wire_size>\d+)"
)


class Interruption(BaseException):
    """Stands for what is no Exception: a signal, the end of a greenlet."""


def make_store(root: Path, disk: Disk, host: str = "mx.example.org") -> MaildirStore:
    return MaildirStore(Layout("{domain}/{local}"), MaildirTree(root, disk), host, lambda: NOW_NS)


def publish(delivery: MaildirDelivery) -> str:
    delivery.publish()
    try:
        delivery.sync_folder()
    except OSError:
        delivery.retract()
        raise
    return delivery.name


def message(store: MaildirStore, content: bytes, *, is_spilled: bool = False) -> Message:
    """A complete message; FIELDS are its lead."""
    made = Message(store._tree, lambda: FIELDS, is_binary=True)
    made.append(content)
    if is_spilled:
        made.spill()
    made.finish()
    made.settle()
    return made


def deliver(store: MaildirStore, content: bytes, fields: bytes = b"") -> str:
    with closing(store.begin(AT, ID)) as delivery:
        delivery.write(fields, message(store, content))
        delivery.sync()
        publish(delivery)
    store.rest()
    return delivery.name


KEPT_OPEN = 2
"""Descriptors of a mailbox that was used: tmp/ and new/."""


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    disk = FaultyDisk()
    yield disk
    disk.give_back()


@pytest.fixture
def store(tmp_path: Path, disk: FaultyDisk) -> MaildirStore:
    return make_store(tmp_path, disk)


# The order of things.


def shortened(calls: list[Call]) -> list[tuple[str, str]]:
    """Without the part of the name that nobody can foretell."""
    return [(kind, re.sub(r"\d+\.M\d+P\w+", "NAME", place)) for kind, place in calls]


IN_TMP = f"{PLACE}/tmp/NAME.mx.example.org"
IN_NEW = f"{PLACE}/new/NAME.mx.example.org,S=5,W=6"


WRITTEN = [
    ("create", IN_TMP),
    ("write", IN_TMP),
    ("sync", IN_TMP),
    ("close", IN_TMP),
    ("rename", IN_NEW),
    ("sync", f"{PLACE}/new"),
]


def test_every_call_of_a_delivery_into_a_mailbox_that_is_open(
    store: MaildirStore, disk: FaultyDisk
) -> None:
    deliver(store, b"first\n")
    disk.calls.clear()
    deliver(store, b"!?\n", b"Hi")
    assert shortened(disk.calls) == [("identity_at", f"{PLACE}/new"), *WRITTEN]


def test_every_call_of_a_delivery_into_a_mailbox_that_is_there_and_not_open(
    disk: FaultyDisk, tmp_path: Path
) -> None:
    tree = MaildirTree(tmp_path, disk)
    store = MaildirStore(Layout("{domain}/{local}"), tree, "mx.example.org")
    store.create(MAILBOX)
    disk.calls.clear()
    deliver(store, b"!?\n", b"Hi")
    assert shortened(disk.calls) == [
        ("open_root", "."),
        ("open_directory", "example.org"),
        ("sync", "."),
        ("open_directory", PLACE),
        ("sync", "example.org"),
        ("close", "example.org"),
        ("close", "."),
        ("open_directory", f"{PLACE}/tmp"),
        ("open_directory", f"{PLACE}/new"),
        ("open_directory", f"{PLACE}/cur"),
        ("sync", PLACE),
        ("identity", f"{PLACE}/new"),
        ("close", f"{PLACE}/cur"),
        ("close", PLACE),
        *WRITTEN,
    ]


def test_every_change_of_a_delivery_into_a_new_mailbox(
    store: MaildirStore, disk: FaultyDisk
) -> None:
    deliver(store, b"Hi!?\n")
    changes = disk.made("make_directory", "create", "write", "sync", "rename", "unlink")
    assert shortened(changes) == [
        ("make_directory", "example.org"),
        ("sync", "."),
        ("make_directory", PLACE),
        ("sync", "example.org"),
        ("make_directory", f"{PLACE}/tmp"),
        ("make_directory", f"{PLACE}/new"),
        ("make_directory", f"{PLACE}/cur"),
        ("sync", PLACE),
        ("create", IN_TMP),
        ("write", IN_TMP),
        ("sync", IN_TMP),
        ("rename", IN_NEW),
        ("sync", f"{PLACE}/new"),
    ]


def test_each_step_of_a_delivery(store: MaildirStore, disk: FaultyDisk, tmp_path: Path) -> None:
    with closing(store.begin(AT, ID)) as delivery:
        delivery.write(b"", message(store, b"Hi!?\n"))
        assert disk.made("rename") == []
        delivery.sync()
        delivery.sync()
        assert shortened(disk.made("sync", "rename"))[-1:] == [("sync", IN_TMP)]
        assert [Path(name).parent.name for name in files(tmp_path)] == ["tmp"]
        assert delivery.name == ""
        delivery.publish()
        assert files(tmp_path) == [f"{PLACE}/new/{delivery.name}"]
        delivery.sync_folder()
    assert [place for _, place in shortened(disk.made("sync"))].count(IN_TMP) == 1
    assert files(tmp_path) == [f"{PLACE}/new/{delivery.name}"]
    new = (tmp_path / PLACE / "new").stat()
    assert delivery.folder == (new.st_dev, new.st_ino)
    assert delivery.device == new.st_dev


def test_what_is_retracted_is_gone(store: MaildirStore, disk: FaultyDisk, tmp_path: Path) -> None:
    with closing(store.begin(AT, ID)) as delivery:
        delivery.write(b"", message(store, b"Hi!?\n"))
        delivery.publish()
        delivery.retract()
    assert files(tmp_path) == []
    assert shortened(disk.made("unlink")) == [("unlink", IN_NEW)]


def test_the_file_system_is_synced_by_any_delivery_on_it(tmp_path: Path) -> None:
    disk = FaultyDisk(has_syncfs=True)
    store = make_store(tmp_path, disk)
    with closing(store.begin(AT, ID)) as delivery:
        delivery.write(b"", message(store, b"x"))
        assert delivery.can_sync_filesystem()
        disk.calls.clear()
        delivery.sync_filesystem()
        delivery.publish()
        delivery.sync_filesystem()
        assert disk.made("sync", "sync_filesystem") == [("sync_filesystem", f"{PLACE}/new")] * 2
        disk.has_syncfs = False
        assert not delivery.can_sync_filesystem()
    assert files(tmp_path) == [f"{PLACE}/new/{delivery.name}"]
    store.rest()


def test_nothing_is_written_behind_the_fsync(store: MaildirStore) -> None:
    with closing(store.begin(AT, ID)) as delivery:
        delivery.sync()
        with pytest.raises(ValueError, match="sync"):
            delivery.write(b"", message(store, b"late"))
        with pytest.raises(ValueError, match="sync"):
            delivery.append(b"late")
        delivery.date(1.0)  # nothing that counts
        publish(delivery)
    assert delivery.name.endswith(",S=0,W=0")


def test_in_pieces_with_a_date_and_flags(store: MaildirStore, tmp_path: Path) -> None:
    with closing(store.begin(AT, ID)) as first:
        made = first._maildir
        name = store.name(ID)
        file = first._disk.create(name, made.tmp)
        with closing(MaildirDelivery(first._disk, made, name, file, info=":2,S")) as delivery:
            for piece in (b"a\r", b"\nb", b"\n"):
                delivery.append(piece)
            delivery.date(1_600_000_000.5)
            delivery.sync()
            assert publish(delivery) == f"{name},S=5,W=6:2,S"
    found = tmp_path / PLACE / "new" / delivery.name
    assert found.read_bytes() == b"a\r\nb\n"
    assert found.stat().st_mtime == 1_600_000_000.5


def test_what_was_delivered(store: MaildirStore, tmp_path: Path) -> None:
    before = open_descriptors() + KEPT_OPEN
    name = deliver(store, b"\nbody\n", b"Subject: x\n")
    assert files(tmp_path) == [f"{PLACE}/new/{name}"]
    assert (tmp_path / PLACE / "new" / name).read_bytes() == b"Subject: x\n\nbody\n"
    assert open_descriptors() == before


def test_modes(store: MaildirStore, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        name = deliver(store, b"x")
    finally:
        os.umask(before)
    mailbox = tmp_path / PLACE
    for path in (mailbox.parent, mailbox, *(mailbox / one for one in ("tmp", "new", "cur"))):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((mailbox / "new" / name).stat().st_mode) == 0o600


def test_create_makes_an_empty_maildir_durably(
    store: MaildirStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    before = open_descriptors()
    store.create(MAILBOX)
    store.create(MAILBOX)
    mailbox = tmp_path / PLACE
    assert sorted(path.name for path in mailbox.iterdir()) == ["cur", "new", "tmp"]
    assert disk.made("make_directory", "sync") == [
        ("make_directory", "example.org"),
        ("sync", "."),
        ("make_directory", PLACE),
        ("sync", "example.org"),
        ("make_directory", f"{PLACE}/tmp"),
        ("make_directory", f"{PLACE}/new"),
        ("make_directory", f"{PLACE}/cur"),
        ("sync", PLACE),
        # Somebody else may have made what is there, a moment ago.
        ("sync", "."),
        ("sync", "example.org"),
        ("sync", PLACE),
    ]
    assert open_descriptors() == before
    name = deliver(store, b"x")
    store.create(MAILBOX)
    assert files(tmp_path) == [f"{PLACE}/new/{name}"]


@pytest.mark.parametrize("mailbox", ["", "alice", "../x@example.org", "a%2Fb@example.org"])
def test_unsafe_mailboxes(mailbox: str, store: MaildirStore, tmp_path: Path) -> None:
    for attempt in (store.locate, store.create, lambda name: store.begin(store.locate(name), ID)):
        with pytest.raises(UnsafeMailboxError):
            attempt(mailbox)
    assert list(tmp_path.iterdir()) == []


def test_locate_is_equal_for_one_mailbox(store: MaildirStore) -> None:
    assert store.locate(MAILBOX) == store.locate(MAILBOX) != store.locate("bob@example.org")


# Names.


def test_the_grammar_of_names(store: MaildirStore) -> None:
    found = NAME.fullmatch(deliver(store, b"a\r\nb\nc"))
    assert found
    assert found["seconds"] == "1700000000"
    assert found["microseconds"] == "012345"
    assert found["process"] == str(os.getpid())
    assert found["id"] == ID
    assert found["host"] == "mx.example.org"
    assert (found["size"], found["wire_size"]) == ("6", "7")


@pytest.mark.parametrize(
    ("host", "escaped"),
    [
        ("mx.example.org", "mx.example.org"),
        ("a/b", "a\\057b"),
        ("a:b", "a\\072b"),
        ("a,b", "a\\054b"),
        ("/:,/", "\\057\\072\\054\\057"),
    ],
)
def test_the_host_is_escaped(host: str, escaped: str, disk: Disk, tmp_path: Path) -> None:
    name = deliver(make_store(tmp_path, disk, host), b"x")
    assert name.partition("R")[2] == f"{ID}.{escaped},S=1,W=1"


@pytest.mark.parametrize("octets", [150, 200, 253])
def test_a_host_name_of_any_legal_length_fits_into_the_name(
    octets: int, disk: Disk, tmp_path: Path
) -> None:
    host = ".".join(["a" * 49] * 6)[:octets].rstrip(".")
    name = deliver(make_store(tmp_path, disk, host), b"x" * 100_000)
    assert (tmp_path / PLACE / "new" / name).stat().st_size == 100_000


def test_names_are_unique_within_one_moment(store: MaildirStore) -> None:
    assert len({deliver(store, b"x") for _ in range(50)}) == 50


def test_names_are_unique_over_a_fork(store: MaildirStore, tmp_path: Path) -> None:
    """The same store, clock, message and counter on both sides of the fork."""
    deliver(store, b"before")
    children = []
    for _ in range(3):
        child = os.fork()
        if not child:
            try:
                deliver(store, b"child")
            finally:
                os._exit(0)
        children.append(child)
    deliver(store, b"parent")
    for child in children:
        os.waitpid(child, 0)
    found = [NAME.fullmatch(path.name) for path in (tmp_path / PLACE / "new").iterdir()]
    assert len(found) == 5
    assert all(found)
    assert {int(name["process"]) for name in found if name} == {os.getpid(), *children}


def test_the_time_is_now_by_default(disk: Disk, tmp_path: Path) -> None:
    store = MaildirStore(Layout("{domain}/{local}"), MaildirTree(tmp_path, disk), "host")
    found = NAME.fullmatch(deliver(store, b"x"))
    assert found
    written_s = (tmp_path / PLACE / "new" / found[0]).stat().st_mtime
    assert abs(int(found["seconds"]) - written_s) < 60


# Sizes.

LINE_ENDS = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"\n\n", b"a", b"\0", b""])).map(
    b"".join
)
LINES = LINE_ENDS.map(lambda lines: lines and lines + b"\n")


@pytest.fixture(scope="module")
def sized(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MaildirStore, Path]]:
    root = tmp_path_factory.mktemp("sized")
    disk = FaultyDisk()
    yield make_store(root, disk), root
    disk.give_back()


@pytest.mark.parametrize("way", ["written", "copied", "adopted"])
@given(lead=LINES, fields=LINES, pieces=st.lists(LINE_ENDS))
def test_sizes_in_the_name(
    way: str, sized: tuple[MaildirStore, Path], lead: bytes, fields: bytes, pieces: list[bytes]
) -> None:
    store, root = sized
    made = Message(store._tree, lambda: lead, is_binary=True)
    for piece in pieces:
        made.append(piece)
        if way != "written":
            made.spill()
    made.finish()
    made.settle()
    adopted = store.adopt(AT, ID, made) if way == "adopted" and pieces else None
    with closing(adopted or store.begin(AT, ID)) as delivery:
        if not adopted:
            delivery.write(fields, made)
        publish(delivery)
    made.close()
    store.rest()
    path = root / PLACE / "new" / delivery.name
    stored = path.read_bytes()
    path.unlink()
    assert stored == (lead if adopted else fields) + b"".join(pieces)
    on_the_wire = re.sub(rb"(?<!\r)\n", b"\r\n", stored)
    assert delivery.name.endswith(f",S={len(stored)},W={len(on_the_wire)}")


# A message's own file.


def test_a_file_is_adopted(store: MaildirStore, disk: FaultyDisk, tmp_path: Path) -> None:
    deliver(store, b"first\n")
    (first,) = files(tmp_path)
    made = message(store, b"Hi!?\n", is_spilled=True)
    before = open_descriptors()
    disk.calls.clear()
    delivery = store.adopt(AT, ID, made)
    assert delivery
    assert [Path(name).parent.name for name in files(tmp_path)] == ["new", "tmp"]
    delivery.sync()
    publish(delivery)
    delivery.close()
    assert disk.calls[1] == ("duplicate", ".incoming-")
    assert [kind for kind, _ in disk.calls] == [
        "identity_at",
        "duplicate",
        "link_unnamed",
        "sync",
        "close",
        "rename",
        "sync",
    ]
    assert open_descriptors() == before
    made.close()
    store.rest()
    (path,) = {tmp_path / name for name in files(tmp_path)} - {tmp_path / first}
    assert path.name == delivery.name
    assert path.read_bytes() == FIELDS + b"Hi!?\n"
    assert NAME.fullmatch(path.name)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_nlink == 1


def test_what_is_in_memory_is_not_adopted(
    store: MaildirStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    disk.calls.clear()
    assert store.adopt(AT, ID, message(store, b"x")) is None
    assert disk.calls == []
    assert list(tmp_path.iterdir()) == []


def test_an_adopted_file_may_be_copied_and_linked(store: MaildirStore, tmp_path: Path) -> None:
    made = message(store, b"Hi\n", is_spilled=True)
    adopted = store.adopt(AT, ID, made)
    assert adopted
    same = store.begin_same(("example.org", "bob"), ID, adopted)
    assert same
    other = store.begin(("example.org", "carol"), ID)
    other.write(b"For: carol\n", made)
    for delivery in (adopted, same, other):
        delivery.sync()
    for delivery in (adopted, same, other):
        publish(delivery)
        delivery.close()
    made.close()
    contents = {name.split("/")[1]: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    assert contents == {
        "alice": FIELDS + b"Hi\n",
        "bob": FIELDS + b"Hi\n",
        "carol": b"For: carol\nHi\n",
    }
    assert adopted.name.endswith(",S=19,W=21")
    assert same.name.endswith(",S=19,W=21")
    assert other.name.endswith(",S=14,W=16")
    store.rest()


def test_an_adopted_file_that_is_not_published_is_gone(store: MaildirStore, tmp_path: Path) -> None:
    """It can still be copied, but gets no name a second time."""
    before = open_descriptors() + KEPT_OPEN
    made = message(store, b"Hi\n", is_spilled=True)
    adopted = store.adopt(AT, ID, made)
    assert adopted
    adopted.close()
    assert files(tmp_path) == []
    assert store.adopt(AT, ID, made) is None
    with closing(store.begin(AT, ID)) as delivery:
        delivery.write(b"", made)
        delivery.publish()
    made.close()
    assert (tmp_path / PLACE / "new" / delivery.name).read_bytes() == b"Hi\n"
    store.rest()
    assert open_descriptors() == before


@pytest.mark.parametrize(
    "number",
    [errno.EXDEV, errno.ENOENT, errno.EMLINK, errno.EPERM, errno.EACCES, errno.EEXIST],
    ids=errno.errorcode.get,
)
def test_where_a_file_gets_no_name(
    number: int, store: MaildirStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    made = message(store, b"Hi\n", is_spilled=True)
    before = open_descriptors() + KEPT_OPEN
    with disk.failing(Fault(number, kind="link_unnamed")):
        assert store.adopt(AT, ID, made) is None
    assert files(tmp_path) == []
    assert open_descriptors() == before
    made.close()


def test_a_mailbox_that_cannot_be_opened_adopts_nothing(
    store: MaildirStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    made = message(store, b"Hi\n", is_spilled=True)
    before = open_descriptors()
    fault = Fault(errno.EACCES, kind="make_directory", under=PLACE)
    with disk.failing(fault), pytest.raises(PermissionError):
        store.adopt(AT, ID, made)
    assert files(tmp_path) == []
    assert open_descriptors() == before
    made.close()


@pytest.mark.parametrize(
    "kind",
    [
        "duplicate",
        "link_unnamed",
    ],
)
def test_an_adoption_that_is_interrupted_leaves_nothing(
    kind: str, store: MaildirStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    made = message(store, b"Hi\n", is_spilled=True)
    before = open_descriptors() + KEPT_OPEN
    with disk.failing(Fault(Interruption(), kind=kind)), pytest.raises(Interruption):
        store.adopt(AT, ID, made)
    assert files(tmp_path) == []
    assert open_descriptors() == before
    made.close()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE], ids=errno.errorcode.get)
def test_descriptors_that_are_scarce_for_an_adoption_are_given_back(
    number: int, store: MaildirStore, disk: FaultyDisk
) -> None:
    for count in range(50):
        store.begin(("example.org", f"m{count:03}"), ID).close()
    kept = len(disk.kept_open())
    made = message(store, b"Hi\n", is_spilled=True)
    with disk.failing(Fault(number, kind="duplicate")), pytest.raises(OSError, match="Too many"):
        store.adopt(AT, ID, made)
    made.close()
    store.rest()
    assert len(disk.kept_open()) < kept


# What is not delivered leaves nothing.


@pytest.mark.parametrize("steps", [0, 1, 2], ids=["begun", "written", "synced"])
@pytest.mark.parametrize("error", [None, ValueError("x"), Interruption()], ids=repr)
def test_leaving_unpublished_leaves_nothing(
    steps: int, error: BaseException | None, store: MaildirStore, tmp_path: Path
) -> None:
    before = open_descriptors() + KEPT_OPEN

    def attempt() -> None:
        with closing(store.begin(AT, ID)) as delivery:
            if steps:
                delivery.write(b"", message(store, b"partly"))
            if steps == 2:
                delivery.sync()
            assert [Path(name).parent.name for name in files(tmp_path)] == ["tmp"]
            if error:
                raise error

    if error:
        with pytest.raises(type(error)):
            attempt()
    else:
        attempt()
    assert files(tmp_path) == []
    assert open_descriptors() == before


@pytest.mark.parametrize("is_open", [True, False], ids=["open", "not-open"])
@pytest.mark.parametrize(
    "fault",
    [
        *(Fault(errno.EIO, number=number) for number in range(25)),
        *(Fault(errno.ENOENT, number=number) for number in range(25)),
        *(Fault(Interruption(), number=number) for number in range(25)),
        Fault(errno.ENOSPC, kind="create"),
        Fault(errno.EIO, kind="rename"),
    ],
    ids=lambda fault: f"{fault.kind or fault.number}-{fault.error}",
)
def test_a_failure_up_to_the_rename_leaves_nothing(
    fault: Fault, is_open: bool, disk: FaultyDisk, tmp_path: Path
) -> None:
    make_store(tmp_path, disk).create(MAILBOX)
    store = make_store(tmp_path, disk)
    if is_open:
        deliver(store, b"before")
    kept = files(tmp_path)
    with disk.failing(fault):
        try:
            deliver(store, b"!?\n", b"Hi")
        except (OSError, Interruption):
            # An interruption behind the rename comes too late to undo it.
            late = {"new"} if isinstance(fault.error, Interruption) else set()
            fresh = set(files(tmp_path)) - set(kept)
            assert {Path(name).parent.name for name in fresh} <= late
        else:
            assert len(files(tmp_path)) == len(kept) + 1
            kind = disk.calls[fault.number].kind if fault.number in range(len(disk.calls)) else ""
            # ENOENT is taken for a mailbox that was moved away a moment ago: another try is due.
            again = {"open_root", "open_directory", "create", "identity", "sync"}
            harmless = {"", "close", "identity_at"}
            assert kind in (harmless | again if fault.error == errno.ENOENT else harmless)
        at = disk.calls[fault.number or 0].kind if len(disk.calls) > (fault.number or 0) else ""
    if not (isinstance(fault.error, Interruption) and at == "close"):
        deliver(store, b"afterwards")
        assert disk.kept_open() == [f"{PLACE}/new", f"{PLACE}/tmp"]


def test_a_failed_fsync_of_new_takes_the_name_away_again(
    store: MaildirStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    before = open_descriptors() + KEPT_OPEN
    with disk.failing(Fault(errno.EIO, kind="sync", under=f"{PLACE}/new")):
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            deliver(store, b"Hi!?\n")
        assert shortened(disk.made("rename", "unlink")) == [("rename", IN_NEW), ("unlink", IN_NEW)]
    assert files(tmp_path) == []
    assert open_descriptors() == before


def test_a_name_that_cannot_be_taken_away_again_is_told_and_the_message_whole(
    store: MaildirStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    before = open_descriptors() + KEPT_OPEN
    faults = (
        Fault(errno.EIO, kind="sync", under=f"{PLACE}/new"),
        Fault(errno.EROFS, kind="unlink"),
    )
    with disk.failing(*faults), pytest.raises(OSError, match=os.strerror(errno.EROFS)):
        deliver(store, b"Hi!?\n")
    assert [(tmp_path / name).read_bytes() for name in files(tmp_path)] == [b"Hi!?\n"]
    assert open_descriptors() == before


def test_a_leftover_in_tmp_hides_no_error(store: MaildirStore, disk: FaultyDisk) -> None:
    before = open_descriptors() + KEPT_OPEN
    faults = (Fault(errno.ENOSPC, kind="write"), Fault(errno.EIO, kind="unlink"))
    with disk.failing(*faults), pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        deliver(store, b"x")
    assert open_descriptors() == before


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_close_that_fails_is_a_message_that_may_be_lost(
    number: int, store: MaildirStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    """NFS tells of a full disk at close: the file does not go into new/, nor is it closed twice."""
    faults = (Fault(number, kind="close", under=f"{PLACE}/tmp/"),)
    with disk.failing(*faults), pytest.raises(OSError, match=os.strerror(number)):
        deliver(store, b"x")
    assert [place for _, place in shortened(disk.made("close"))].count(IN_TMP) == 1
    assert files(tmp_path) == []


def test_a_file_whose_fsync_failed_is_closed_once(
    store: MaildirStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    before = open_descriptors() + KEPT_OPEN
    faults = (Fault(errno.EIO, kind="sync", under=f"{PLACE}/tmp/"), Fault(errno.EIO, kind="close"))
    with disk.failing(*faults), pytest.raises(OSError, match=os.strerror(errno.EIO)):
        deliver(store, b"x")
    assert [place for _, place in shortened(disk.made("close"))].count(IN_TMP) == 1
    assert files(tmp_path) == []
    assert open_descriptors() == before


def test_descriptors_that_cannot_be_given_back_do_not_undo_a_delivery(
    store: MaildirStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    """What is durable in new/ is delivered: to say otherwise would make a second copy."""
    with disk.failing(), closing(store.begin(AT, ID)) as delivery:
        delivery.write(b"", message(store, b"x"))
        delivery.publish()
        disk.faults.append(Fault(errno.EIO, kind="close"))
    store.rest()
    assert files(tmp_path) == [f"{PLACE}/new/{delivery.name}"]


def test_a_tmp_name_is_never_taken_over(store: MaildirStore, tmp_path: Path) -> None:
    """A name that is there already, by whatever accident, is somebody's message."""
    last = NAME.fullmatch(deliver(store, b"x"))
    assert last
    base = last[0].partition(",")[0]
    name = base.replace(f"Q{last['count']}R", f"Q{int(last['count']) + 1}R")
    path = tmp_path / PLACE / "tmp" / name
    path.write_bytes(b"somebody's")
    with pytest.raises(FileExistsError):
        store.begin(AT, ID)
    assert path.read_bytes() == b"somebody's"


# Second names.

OTHERS = (("example.org", "bob"), ("example.org", "carol"), ("example.net", "dora"))


def with_others(
    store: MaildirStore, opened: ExitStack, *places: Place
) -> tuple[MaildirDelivery, list[MaildirDelivery]]:
    """A copy for Alice, and second names of it for the others."""
    source = opened.enter_context(closing(store.begin(AT, ID)))
    source.write(b"H", message(store, b"i\n"))
    linked = [store.begin_same(place, ID, source) for place in places]
    return source, [opened.enter_context(closing(one)) for one in linked if one]


def test_second_names_have_the_same_octets(store: MaildirStore, tmp_path: Path) -> None:
    with ExitStack() as opened:
        source, linked = with_others(store, opened, *OTHERS)
        everyone = [source, *linked]
        for delivery in everyone:
            delivery.sync()
        for delivery in everyone:
            publish(delivery)
    paths = [tmp_path / name for name in files(tmp_path)]
    assert len(paths) == 1 + len(OTHERS)
    assert {path.read_bytes() for path in paths} == {b"Hi\n"}
    assert len({path.stat().st_ino for path in paths}) == 1
    assert {path.name for path in paths} == {delivery.name for delivery in everyone}
    assert NAME.fullmatch(source.name)
    assert source.name.endswith(",S=3,W=4")
    assert {path.parent.name for path in paths} == {"new"}


def test_second_names_cost_no_fsync_of_the_file(store: MaildirStore, disk: FaultyDisk) -> None:
    with ExitStack() as opened:
        source, linked = with_others(store, opened, *OTHERS)
        disk.calls.clear()
        for delivery in (source, *linked):
            delivery.sync()
        assert shortened(disk.made("sync")) == [("sync", IN_TMP)]


@pytest.mark.parametrize("published", [(), (0,), (1,), (0, 2), (1, 2, 3)], ids=str)
def test_each_name_goes_its_own_way(
    published: tuple[int, ...], store: MaildirStore, tmp_path: Path
) -> None:
    with ExitStack() as opened:
        source, linked = with_others(store, opened, *OTHERS)
        everyone = [source, *linked]
        for number in published:
            everyone[number].publish()
        everyone[-1].sync()
    places = ["/".join(one) for one in (AT, *OTHERS)]
    expected = [f"{places[number]}/new/{everyone[number].name}" for number in published]
    assert files(tmp_path) == sorted(expected)
    assert {(tmp_path / name).read_bytes() for name in expected} <= {b"Hi\n"}


@pytest.mark.parametrize("kind", ["sync", "close"])
def test_octets_that_cannot_be_made_durable_are_so_under_no_name(
    kind: str, store: MaildirStore, disk: FaultyDisk
) -> None:
    with ExitStack() as opened:
        source, linked = with_others(store, opened, *OTHERS)
        with disk.failing(Fault(errno.EIO, kind=kind)):
            for delivery in (source, *linked):
                with pytest.raises(OSError, match=os.strerror(errno.EIO)):
                    delivery.sync()
        for delivery in linked:
            with pytest.raises(OSError, match=os.strerror(errno.EIO)):
                delivery.sync()


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOENT])
def test_where_no_link_can_be_made(
    number: int, store: MaildirStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    with ExitStack() as opened, disk.failing(Fault(number, kind="link")):
        source, _ = with_others(store, opened)
        assert store.begin_same(OTHERS[0], ID, source) is None
        assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("trick", ["replaced", "link", "gone"])
def test_whoever_can_write_in_one_mailbox_changes_no_copy_of_another(
    trick: str, store: MaildirStore, tmp_path: Path
) -> None:
    """He has put a file of his own behind the name that the first copy has in his tmp/."""
    with ExitStack() as opened:
        source, _ = with_others(store, opened)
        (name,) = files(tmp_path)
        (tmp_path / name).unlink()
        if trick == "replaced":
            (tmp_path / name).write_bytes(b"forged")
        elif trick == "link":
            (tmp_path / name).symlink_to("/etc/passwd")
        # A file without a name gets none: then there is a true copy.
        assert store.begin_same(OTHERS[0], ID, source) is None
    assert [one for one in files(tmp_path) if "/bob/" in one] == []


def test_a_second_name_is_that_of_the_copy_itself(store: MaildirStore, tmp_path: Path) -> None:
    """Its name was moved aside, and stands for another file now."""
    with ExitStack() as opened:
        source, _ = with_others(store, opened)
        (name,) = files(tmp_path)
        (tmp_path / name).rename(tmp_path / "aside")
        (tmp_path / name).write_bytes(b"forged")
        same = store.begin_same(OTHERS[0], ID, source)
        assert same
        opened.enter_context(closing(same))
        for delivery in (source, same):
            delivery.sync()
        publish(same)
    (copy,) = (one for one in files(tmp_path) if "/bob/" in one)
    assert (tmp_path / copy).read_bytes() == b"Hi\n"


def test_a_second_name_is_no_source_of_others(store: MaildirStore) -> None:
    with ExitStack() as opened:
        _, linked = with_others(store, opened, OTHERS[0])
        assert store.begin_same(OTHERS[1], ID, linked[0]) is None


def test_a_second_name_is_not_written_to(store: MaildirStore) -> None:
    with ExitStack() as opened:
        _, linked = with_others(store, opened, OTHERS[0])
        with pytest.raises(ValueError, match="sync"):
            linked[0].write(b"", message(store, b"more"))


def test_a_second_name_in_the_same_mailbox(store: MaildirStore, tmp_path: Path) -> None:
    """By another path: one copy more, but neither is renamed over the other."""
    with ExitStack() as opened:
        source, _ = with_others(store, opened)
        (tmp_path / "example.net").symlink_to("example.org")
        same = store.begin_same(("example.net", "alice"), ID, source)
        assert same
        opened.enter_context(closing(same))
        for delivery in (source, same):
            delivery.sync()
            publish(delivery)
    assert files(tmp_path / "example.org") == sorted(
        f"alice/new/{delivery.name}" for delivery in (source, same)
    )


def test_a_mailbox_that_cannot_be_opened_is_no_reason_for_a_second_file(
    store: MaildirStore, disk: FaultyDisk
) -> None:
    with ExitStack() as opened:
        source, _ = with_others(store, opened)
        fault = Fault(errno.EACCES, kind="open_directory", under="example.org/bob")
        with disk.failing(fault), pytest.raises(PermissionError):
            store.begin_same(OTHERS[0], ID, source)


class Foreign:
    """A delivery of some other store."""


def test_other_stores_deliveries_get_no_second_name(store: MaildirStore) -> None:
    assert store.begin_same(AT, ID, Foreign()) is None  # type: ignore[arg-type]


def test_a_store_with_other_rights_shares_no_file(
    store: MaildirStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    """The disk is the rights: a second name would give one user a file of another."""
    theirs = make_store(tmp_path, FaultyDisk())
    with ExitStack() as opened:
        source, _ = with_others(store, opened)
        assert theirs.begin_same(OTHERS[0], ID, source) is None
        spilled = message(store, b"x" * 1000, is_spilled=True)
        assert theirs.adopt(AT, ID, spilled) is None
        spilled.close()
    assert not disk.made("link", "link_unnamed")


def test_a_store_that_is_closed_holds_nothing(store: MaildirStore, disk: FaultyDisk) -> None:
    for place in (AT, *OTHERS):
        store.begin(place, ID).close()
    assert len(disk.kept_open()) == KEPT_OPEN * 4
    store.close()
    assert disk.kept_open() == []
