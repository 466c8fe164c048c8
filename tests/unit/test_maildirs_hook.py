"""The hook `maildirs`: who has a directory exists, and asking leaves no trace."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from lmtpd.delivery.layout import Layout
from lmtpd.delivery.maildir import MaildirStore
from lmtpd.delivery.tree import MaildirTree
from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import Peer
from lmtpd.recipients.maildirs import MaildirsVerifier
from lmtpd.recipients.verdict import Kind, RcptContext, Verdict
from tests.support.faulty_disk import Fault, FaultyDisk, open_descriptors

CONTEXT = RcptContext(Peer(""))
ALICE = Address("alice", "example.org")


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "store" / "example.org" / "alice").mkdir(parents=True)
    return tmp_path / "store"


@pytest.fixture
def hook(root: Path, disk: FaultyDisk) -> MaildirsVerifier:
    return MaildirsVerifier(Layout("{domain}/{local}"), MaildirTree(root, disk))


def test_it_waits_for_the_disk_on_a_thread(hook: MaildirsVerifier) -> None:
    assert hook.blocking


def test_who_has_a_directory_exists(hook: MaildirsVerifier) -> None:
    assert hook.verify(ALICE, CONTEXT) == Verdict.accept("alice@example.org")


@pytest.mark.parametrize(
    "address",
    [
        Address("bob", "example.org"),
        Address("alice", "example.net"),
        Address("Alice", "example.org"),
        Address("alice", ""),
        Address("", "example.org"),
        Address("..", "example.org"),
        Address("../example.org/alice", "example.org"),
        Address("alice/../alice", "example.org"),
        Address("%61lice%2f", "example.org"),
        Address("a" * 256, "example.org"),
        Address("alice\0", "example.org"),
        Address("file", "example.org"),
    ],
    ids=str,
)
def test_others_are_left_to_the_next_hook(
    address: Address, hook: MaildirsVerifier, root: Path
) -> None:
    (root / "example.org" / "file").touch()
    assert hook.verify(address, CONTEXT) is None


def test_nothing_is_made(hook: MaildirsVerifier, root: Path, disk: FaultyDisk) -> None:
    before = sorted(root.rglob("*")), open_descriptors()
    for local in ("alice", "bob"):
        hook.verify(Address(local, "example.org"), CONTEXT)
        hook.verify(Address(local, "example.net"), CONTEXT)
    assert (sorted(root.rglob("*")), open_descriptors()) == before
    assert not disk.made("make_directory", "create", "sync", "rename", "unlink", "write")


def test_what_was_delivered_to_exists(hook: MaildirsVerifier, root: Path) -> None:
    layout = Layout("{domain}/{local}")
    MaildirStore(layout, MaildirTree(root, FaultyDisk()), "host").create("bob@example.net")
    bob = Address("bob", "example.net")
    assert hook.verify(bob, CONTEXT) == Verdict.accept("bob@example.net")


def test_an_alias_by_link(hook: MaildirsVerifier, root: Path) -> None:
    (root / "example.net").symlink_to("example.org")
    verdict = hook.verify(Address("alice", "example.net"), CONTEXT)
    assert verdict == Verdict.accept("alice@example.net")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.ENFILE])
@pytest.mark.parametrize(
    ("local", "kind"),
    [
        ("alice", "is_plain_directory"),
        ("missing", "is_plain_directory"),
        ("missing", "open_root"),
        ("alias", "open_root"),
        ("alias", "open_directory"),
    ],
)
def test_a_disk_that_cannot_tell_defers(
    local: str, kind: str, number: int, hook: MaildirsVerifier, disk: FaultyDisk, root: Path
) -> None:
    (root / "example.org" / "alias").symlink_to("alice")
    with disk.failing(Fault(number, kind=kind)):
        assert f"[Errno {number}]" in deferral(hook, local)


def test_a_root_that_is_gone_defers(hook: MaildirsVerifier, root: Path) -> None:
    root.rename(root.with_name("elsewhere"))
    assert deferral(hook, "alice").startswith("FileNotFoundError: ")


def test_a_lost_mount_defers(root: Path, disk: FaultyDisk) -> None:
    disk.is_mounted = True
    hook = MaildirsVerifier(Layout("{domain}/{local}"), MaildirTree(root, disk))
    assert hook.verify(ALICE, CONTEXT) == Verdict.accept("alice@example.org")
    disk.is_mounted = False
    (root / "example.org" / "alice").rmdir()  # what lies below the mount is empty
    for local in ("alice", "bob"):
        assert deferral(hook, local).startswith("StoreVanishedError: ")


def test_a_link_out_of_the_store_defers(hook: MaildirsVerifier, root: Path) -> None:
    (root / "example.org" / "bob").symlink_to(root.parent)
    assert deferral(hook, "bob").startswith("LinkOutsideError: example.org/bob: ")


def deferral(hook: MaildirsVerifier, local: str) -> str:
    """The reason; an error would be one of the whole back-end, and that be left alone."""
    verdict = hook.verify(Address(local, "example.org"), CONTEXT)
    assert verdict
    assert verdict.kind is Kind.DEFER
    return verdict.reason


def test_a_mailbox_that_was_just_made_is_never_called_unknown(hook: MaildirsVerifier) -> None:
    assert hook.negative_ttl_s == 0
    assert 0 < hook.positive_ttl_s < 10
