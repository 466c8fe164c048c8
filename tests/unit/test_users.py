"""Who of the system's accounts gets mail, and that a service which is down is no answer."""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
from typing import Any

import pytest

from lmtpd.delivery.rights import Ids
from lmtpd.delivery.users import HOLD_SECONDS, User, Users, ask
from lmtpd.failures import HomeError

ALICE = User("alice", Ids(1000, 1000, (1000, 27)), "/home/alice")


class Library:
    """A C library with one account, and what can go wrong with it."""

    def __init__(self, *, number: int = 0, octets: int = 1, groups: int = 2) -> None:
        self.number = number
        """What getpwnam_r returns."""
        self.octets = octets
        """What an entry takes."""
        self.groups = groups
        self.home: bytes | None = b"/home/alice"
        self.sizes: list[int] = []

    def getpwnam_r(self, name: bytes, entry: Any, _: object, size: int, found: Any) -> int:
        self.sizes.append(size)
        if self.number or size < self.octets:
            return self.number or errno.ERANGE
        if name == b"alice":
            entry._obj.uid, entry._obj.gid = 1000, 1000
            entry._obj.home = self.home
            found._obj.value = 1
        return 0

    def getgrouplist(self, name: bytes, gid: ctypes.c_uint32, groups: Any, count: Any) -> int:
        assert (name, gid.value) == (b"alice", 1000)
        room, count._obj.value = count._obj.value, self.groups
        if room < self.groups:
            return -1
        groups[: self.groups] = [1000 + number for number in range(self.groups)]
        return self.groups


def asked(library: Library, name: str = "alice") -> User | None:
    return ask(name, library)  # type: ignore[arg-type]


def test_an_account() -> None:
    assert asked(Library()) == User("alice", Ids(1000, 1000, (1000, 1001)), "/home/alice")
    assert asked(Library(), "bob") is None


@pytest.mark.parametrize(
    "number", [errno.ENOENT, errno.EAGAIN, errno.EIO, errno.ECONNREFUSED, errno.ESRCH]
)
def test_a_service_that_fails_is_an_error(number: int) -> None:
    """For pwd.getpwnam each of them is a name that is not there."""
    with pytest.raises(OSError, match="getpwnam") as caught:
        asked(Library(number=number))
    assert caught.value.errno == number


def test_an_entry_that_is_large() -> None:
    library = Library(octets=5000)
    assert asked(library)
    assert library.sizes == [1024, 2048, 4096, 8192]
    with pytest.raises(OSError, match="getpwnam"):
        asked(Library(octets=10**9))


def test_many_groups() -> None:
    user = asked(Library(groups=1000))
    assert user
    assert len(user.ids.groups) == 1000


def test_groups_that_cannot_be_had() -> None:
    library = Library()
    library.getgrouplist = lambda *_: -1  # type: ignore[method-assign]
    with pytest.raises(OSError, match="getgrouplist"):
        asked(library)


def test_no_home() -> None:
    library = Library()
    library.home = None
    user = asked(library)
    assert user
    assert user.home == ""


def test_the_real_library() -> None:
    expected = pwd.getpwuid(0)
    user = ask(expected.pw_name)
    assert user
    groups = tuple(os.getgrouplist(expected.pw_name, expected.pw_gid))
    assert user == User(expected.pw_name, Ids(0, expected.pw_gid, groups), expected.pw_dir)
    assert ask("nobody-has-this-name") is None


# Who gets mail.


class Directory:
    """What NSS says."""

    def __init__(self) -> None:
        self.users = {"alice": ALICE}
        self.asked: list[str] = []
        self.is_down = False
        self.now = 1000.0

    def ask(self, name: str) -> User | None:
        self.asked.append(name)
        if self.is_down:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")
        return self.users.get(name)


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def users(directory: Directory) -> Users:
    return Users(1000, directory.ask, lambda: directory.now)


def test_a_person_is_found(users: Users) -> None:
    assert users.find("alice") == ALICE
    assert users.find("bob") is None


@pytest.mark.parametrize(
    ("uid", "home"),
    [
        (999, "/home/x"),
        (1, "/usr/sbin"),
        (0, "/root"),
        (65534, "/home/x"),
        (1001, "/nonexistent"),
        (1001, "/dev/null"),
        (1001, "/"),
        (1001, ""),
        (1001, "home/x"),
    ],
)
def test_accounts_of_the_system_are_unknown(
    uid: int, home: str, users: Users, directory: Directory
) -> None:
    directory.users["x"] = User("x", Ids(uid, 1000, ()), home)
    assert users.find("x") is None
    with pytest.raises(HomeError, match="~x: no such user"):
        users.recall("x")


def test_root_never_gets_mail(directory: Directory) -> None:
    directory.users["root"] = User("root", Ids(0, 0, ()), "/home/root")
    assert Users(0, directory.ask).find("root") is None


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "-x", "a/b", "../x", "a b", "a\0", "a:b", "~a", "a@b", "*", "x" * 129],
)
def test_what_can_be_no_name_is_not_asked_for(
    name: str, users: Users, directory: Directory
) -> None:
    assert users.find(name) is None
    assert directory.asked == []


@pytest.mark.parametrize(
    "name", ["alice", "a", "al.ice", "al_ice", "al-ice", "1234", "_x", "müller"]
)
def test_what_can_be_a_name_is(name: str, users: Users, directory: Directory) -> None:
    users.find(name)
    assert directory.asked == [name]


# What delivery knows.


def test_what_rcpt_has_found_is_not_asked_for_again(users: Users, directory: Directory) -> None:
    users.find("alice")
    directory.now += HOLD_SECONDS - 1
    assert users.recall("alice") == ALICE
    assert directory.asked == ["alice"]
    directory.now += 1
    assert users.recall("alice") == ALICE
    assert directory.asked == ["alice"] * 2


def test_rcpt_asks_each_time(users: Users, directory: Directory) -> None:
    users.find("alice")
    del directory.users["alice"]
    assert users.find("alice") is None
    with pytest.raises(HomeError):
        users.recall("alice")


def test_while_nss_is_down_what_was_found_is_good_enough(
    users: Users, directory: Directory
) -> None:
    users.find("alice")
    directory.is_down = True
    directory.now += 10 * HOLD_SECONDS
    with pytest.raises(ConnectionRefusedError):
        users.find("alice")
    assert users.recall("alice") == ALICE
    with pytest.raises(ConnectionRefusedError):
        users.recall("bob")
