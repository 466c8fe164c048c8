"""Homes are mailboxes like others, but for what nobody shall share with their users."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from lmtpd.delivery.agent import Outcome
from lmtpd.delivery.home_disk import HomeDisk
from lmtpd.delivery.homes import PATIENCE_SECONDS, Homes
from lmtpd.delivery.rights import Rights
from lmtpd.delivery.sweep import ABANDONED_SECONDS
from lmtpd.delivery.users import Users
from lmtpd.failures import HomeError, UnsafeMailboxError
from lmtpd.protocol import replies
from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import Recipient
from tests.support.faulty_disk import Fault, FaultyDisk, open_descriptors
from tests.support.home_server import ALICE, BOB, CAROL, NOW, TEAM, HomeServer, to
from tests.support.lent import LendingKernel, user_at


@pytest.fixture
def server(tmp_path: Path) -> HomeServer:
    return HomeServer(tmp_path)


def all_delivered(outcomes: tuple[Outcome, ...]) -> bool:
    return all(outcome.reply.is_success for outcome in outcomes)


def test_homes_and_others_get_their_copies(server: HomeServer) -> None:
    outcomes = server.deliver(ALICE, CAROL, BOB, TEAM)
    assert all_delivered(outcomes)
    assert [len(server.homes.new(name)) for name in ("alice", "bob", "dave")] == [1, 1, 0]
    assert len(server.carol()) == 1
    assert outcomes[3].names == (*outcomes[0].names, *outcomes[1].names)
    assert server.homes.new("alice")[0].endswith(b"Hi!\n")
    for folder in ("", "tmp", "new", "cur"):
        assert (server.maildir("alice") / folder).stat().st_mode & 0o7777 == 0o700
    assert not list(server.maildir("dave").parent.glob("*"))


def test_a_thread_that_ends_gives_back_all_that_it_kept_open(server: HomeServer) -> None:
    assert all_delivered(server.deliver(ALICE, CAROL, BOB))
    disks = (server.disk, *server.homes.disks.values())
    assert all(disk.kept_open() for disk in disks if disk.calls)
    server.agent.close()
    assert [disk.kept_open() for disk in disks if disk.kept_open()] == []


def test_where_it_is(server: HomeServer) -> None:
    home = str(server.home("alice"))
    place = str(os.geteuid()), home, "mail", "inbox"
    assert server.store.locate("~alice") == place
    assert server.store.locate("carol@example.org") == ("example.org", "carol")
    assert server.homes.folder("~alice") == server.maildir("alice")
    with pytest.raises(UnsafeMailboxError):
        server.store.locate("/home/alice")


def test_who_is_not_there_does_not_bounce(server: HomeServer) -> None:
    """A user who is removed between RCPT and the final dot."""
    (outcome,) = server.deliver(to("zoe"))
    assert isinstance(outcome.cause, HomeError)
    assert outcome.reply == replies.STORE_MISCONFIGURED.about(Address("zoe", "example.org"))
    with pytest.raises(HomeError):
        server.homes.folder("~zoe")


@pytest.mark.parametrize("is_known", [True, False])
def test_a_home_that_is_not_there_is_deferred(is_known: bool, server: HomeServer) -> None:
    if is_known:
        server.deliver(ALICE)
    server.home("alice").rename(server.home("alice").with_name("moved"))
    outcomes = server.deliver(ALICE, BOB)
    assert outcomes[0].reply == replies.STORE_MISCONFIGURED.about(ALICE.address)
    assert outcomes[1].reply.is_success
    assert not server.home("alice").exists()
    server.home("alice").with_name("moved").rename(server.home("alice"))
    assert all_delivered(server.deliver(ALICE))


def test_every_directory_on_the_way_is_durable(server: HomeServer) -> None:
    server.deliver(ALICE)
    synced = [call.place for call in server.homes.disks["alice"].made("sync")]
    assert synced[:4] == ["..", ".", "mail", "mail/inbox"]
    assert synced[-1] == "mail/inbox/new"
    server.homes.disks["alice"].calls.clear()
    server.deliver(ALICE)
    kinds = [call.kind for call in server.homes.disks["alice"].calls]
    assert kinds == ["identity_at", "create", "write", "sync", "close", "rename", "sync"]


def test_the_file_system_is_synced_once_for_all(tmp_path: Path) -> None:
    server = HomeServer(tmp_path, mode="syncfs")
    server.homes.has_syncfs = True
    assert all_delivered(server.deliver(ALICE, BOB, CAROL))
    disks = (server.disk, *server.homes.disks.values())
    assert sum(len(disk.made("sync_filesystem")) for disk in disks) == 2


@pytest.mark.parametrize("change", ["moved", "replaced", "link"])
def test_a_maildir_that_its_user_moved(change: str, server: HomeServer) -> None:
    server.deliver(ALICE)
    maildir = server.maildir("alice")
    maildir.rename(maildir.with_name("old"))
    if change == "replaced":
        maildir.mkdir()
    if change == "link":
        maildir.symlink_to("old")
    (outcome,) = server.deliver(ALICE)
    assert outcome.reply.is_success is (change != "link")
    assert len(list((maildir.with_name("old") / "new").iterdir())) == 1
    assert change == "link" or len(server.homes.new("alice")) == 1


# What is not shared.


@pytest.mark.parametrize("first", [ALICE, CAROL], ids=["home-first", "home-last"])
@pytest.mark.parametrize("is_spilled", [True, False])
@pytest.mark.parametrize("has_delivered_to", [True, False])
def test_no_file_has_a_name_in_two_hands(
    has_delivered_to: bool, is_spilled: bool, first: Recipient, tmp_path: Path
) -> None:
    server = HomeServer(tmp_path, has_delivered_to=has_delivered_to)
    erin = to("erin", "erin@example.org")
    others = [one for one in (ALICE, BOB, CAROL, erin) if one is not first]
    assert all_delivered(server.deliver(first, *others, is_spilled=is_spilled))
    for name in ("alice", "bob"):
        (file,) = (server.maildir(name) / "new").iterdir()
        assert file.stat().st_nlink == 1
        assert file.read_bytes().endswith(b"Hi!\n")
        for call in server.homes.disks[name].calls:
            assert call.kind not in ("link", "link_unnamed", "duplicate")
    (file,) = server.carol()
    assert file.stat().st_nlink == (2 if first is CAROL and not has_delivered_to else 1)
    is_adopted = bool(server.disk.made("link_unnamed"))
    assert is_adopted is (is_spilled and first is CAROL)


# Repetitions.


def test_a_repetition_is_found_in_a_home(server: HomeServer) -> None:
    (first,) = server.deliver(ALICE)
    server.unconfirmed.abandon(first.key)
    (second,) = server.deliver(ALICE)
    assert (second.is_repetition, second.names) == (True, first.names)
    assert len(server.homes.new("alice")) == 1
    synced = [call.place for call in server.homes.disks["alice"].made("sync")]
    assert synced[-2:] == ["mail/inbox/new", "mail/inbox/cur"]


# What is kept open.


def test_so_many_homes_are_kept_open(tmp_path: Path) -> None:
    server = HomeServer(tmp_path, most_open=2)
    before = open_descriptors()
    for name in ("alice", "bob", "alice", "dave"):
        assert all_delivered(server.deliver(to(name)))
        assert open_descriptors() <= before + 4
    alice, bob, dave = (server.homes.disks[name] for name in ("alice", "bob", "dave"))
    assert bob.kept_open() == [], "that was not used for the longest time"
    assert alice.kept_open() == dave.kept_open() == ["mail/inbox/new", "mail/inbox/tmp"]
    assert all_delivered(server.deliver(ALICE, BOB, to("dave")))
    assert open_descriptors() == before + 4


@pytest.mark.parametrize("kind", ["open_root", "create"])
def test_all_are_closed_where_descriptors_are_scarce(kind: str, server: HomeServer) -> None:
    before = open_descriptors()
    server.deliver(ALICE, BOB)
    if kind == "open_root":
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(FaultyDisk, "open_root", _too_many)
            (outcome,) = server.deliver(to("dave"))
    else:
        with server.homes.disks["alice"].failing(Fault(errno.EMFILE, kind=kind)):
            (outcome,) = server.deliver(ALICE)
    assert outcome.reply.code == replies.OUT_OF_RESOURCES.code
    assert open_descriptors() == before
    assert all_delivered(server.deliver(ALICE, BOB))
    assert open_descriptors() == before + 4


def _too_many(*_: object) -> int:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_another_fault_closes_nothing(server: HomeServer) -> None:
    server.deliver(BOB)
    before = open_descriptors()
    server.deliver(ALICE)
    with server.homes.disks["alice"].failing(Fault(errno.EIO, kind="create")):
        server.deliver(ALICE)
    assert open_descriptors() == before + 2


def test_a_user_whose_rights_have_changed(server: HomeServer) -> None:
    server.deliver(ALICE)
    before, disk = open_descriptors(), server.homes.disks["alice"]
    user = user_at(server.home("alice"))
    server.homes.users_there["alice"] = type(user)(
        "alice", type(user.ids)(user.ids.uid, user.ids.gid, (1, 2)), user.home
    )
    server.homes.users._known.clear()
    assert all_delivered(server.deliver(ALICE))
    assert disk.kept_open() == []
    assert server.homes.disks["alice"] is not disk
    assert open_descriptors() == before


def test_two_names_of_one_user(server: HomeServer) -> None:
    server.homes.users_there["al"] = server.homes.users_there["alice"]
    assert all_delivered(server.deliver(ALICE, to("al")))
    assert len(server.homes.new("alice")) == 1


# What a crash has left.


@pytest.fixture
def leftovers(server: HomeServer) -> list[Path]:
    tmp = server.maildir("alice") / "tmp"
    tmp.mkdir(parents=True)
    files = [tmp / "old", tmp / "young"]
    for file, age_s in zip(files, (ABANDONED_SECONDS + 1, ABANDONED_SECONDS - 1), strict=True):
        file.touch()
        os.utime(file, (NOW - age_s, NOW - age_s))
    return files


def test_it_is_swept_when_a_home_is_opened(server: HomeServer, leftovers: list[Path]) -> None:
    old, young = leftovers
    assert all_delivered(server.deliver(ALICE))
    assert (old.exists(), young.exists()) == (False, True)
    old.touch()
    os.utime(old, (0, 0))
    assert all_delivered(server.deliver(ALICE))
    assert old.exists(), "once for each time that it is opened"


def test_a_sweep_that_fails_hurts_nobody(server: HomeServer, leftovers: list[Path]) -> None:
    shutil.rmtree(server.maildir("alice"))
    server.maildir("alice").symlink_to("/etc")
    (outcome,) = server.deliver(ALICE)
    assert isinstance(outcome.cause, HomeError)
    server.maildir("alice").unlink()
    assert all_delivered(server.deliver(ALICE))
    assert not any(file.exists() for file in leftovers)


# What RCPT asks.


def test_a_look_creates_nothing(server: HomeServer) -> None:
    server.homes.look(server.homes.users_there["alice"])
    assert list(server.home("alice").iterdir()) == []
    server.deliver(ALICE)
    server.homes.look(server.homes.users_there["alice"])


@pytest.mark.parametrize("trap", ["home", "mail", "inbox"])
def test_a_look_says_what_delivery_would(trap: str, server: HomeServer) -> None:
    server.deliver(ALICE)
    maildir = server.maildir("alice")
    path = {"home": server.home("alice"), "mail": maildir.parent, "inbox": maildir}[trap]
    shutil.rmtree(path)
    if trap != "home":
        path.symlink_to("/etc")
    with pytest.raises(HomeError) as told:
        server.homes.look(server.homes.users_there["alice"])
    (outcome,) = server.deliver(ALICE)
    assert str(outcome.cause) == str(told.value)


def test_a_home_that_does_not_answer_is_not_waited_for_by_all(
    server: HomeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor by a delivery; when it answers at last, all is well."""
    now, homes = 1000.0, server.homes
    homes._clock = lambda: now
    alice, real = homes.users_there["alice"], FaultyDisk.open_root

    def hang(disk: FaultyDisk, path: Path) -> int:
        """While this call is under way others come."""
        nonlocal now
        monkeypatch.setattr(FaultyDisk, "open_root", real)
        homes.find("~alice")
        now += PATIENCE_SECONDS + 0.1
        with pytest.raises(HomeError, match="does not answer"):
            homes.look(alice)
        alices, bobs = server.deliver(ALICE, BOB)
        assert (alices.reply.code, bobs.reply.code) == (451, 250)
        return real(disk, path)

    monkeypatch.setattr(FaultyDisk, "open_root", hang)
    homes.look(alice)
    homes.look(alice)
    assert all_delivered(server.deliver(ALICE))


def test_the_disk_is_the_user_s() -> None:
    alice = user_at("/home/alice")
    homes = Homes(Users(1000), "Maildir", Rights(LendingKernel()))
    assert isinstance(homes.disk(alice), HomeDisk)


def test_the_check_is_that_of_rights(server: HomeServer) -> None:
    server.homes.check()
    assert server.homes.kernel.calls
    assert server.homes.kernel.is_ours
