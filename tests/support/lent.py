"""A kernel that lends rights without having any: what it is asked for is written down.

With it whoever runs the tests is every user. What a real kernel does is tried as root, by real
users (tests/backends/test_passwd_*.py).
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from lmtpd.delivery.home_disk import HomeDisk
from lmtpd.delivery.homes import Homes
from lmtpd.delivery.rights import Capabilities, Ids, Kernel, Rights
from lmtpd.delivery.users import User, Users
from tests.support.faulty_disk import Fault, FaultyDisk

OURS = Ids(os.geteuid(), os.getegid(), tuple(os.getgroups()))
"""Of the process of the tests."""
OUR_CAPABILITIES = (7, 7, 0, 1, 1, 0)


class LendingKernel(Kernel):
    """Any rights for the asking; or refused, from the call of some number on."""

    def __init__(self) -> None:
        self.ours = self.ids = OURS
        """Our own, and those that are in force now."""
        self.effective = (7, 1)
        self.calls: list[str] = []
        self.refuse_since: int | None = None

    @property
    def is_ours(self) -> bool:
        """Whether nothing is lent."""
        return self.ids == OURS and self.effective == (7, 1)

    def fsuid(self) -> int:
        return self.ids.uid

    def set_fsuid(self, uid: int) -> None:
        self._write_down("set_fsuid")
        self.ids = Ids(uid, self.ids.gid, self.ids.groups)

    def set_fsgid(self, gid: int) -> None:
        self._write_down("set_fsgid")
        self.ids = Ids(self.ids.uid, gid, self.ids.groups)

    def set_groups(self, groups: tuple[int, ...]) -> None:
        self._write_down("set_groups")
        self.ids = Ids(self.ids.uid, self.ids.gid, groups)

    def capabilities(self) -> ctypes.Array[ctypes.c_uint32]:
        return Capabilities(*OUR_CAPABILITIES)

    def set_capabilities(self, wanted: ctypes.Array[ctypes.c_uint32]) -> None:
        self._write_down("set_capabilities")
        self.effective = wanted[0], wanted[3]
        assert tuple(wanted[1:3] + wanted[4:]) == OUR_CAPABILITIES[1:3] + OUR_CAPABILITIES[4:]

    def _write_down(self, call: str) -> None:
        self.calls.append(call)
        if self.refuse_since is not None and len(self.calls) > self.refuse_since:
            raise PermissionError(1, f"refused ({call})")


def user_at(home: object, name: str = "alice") -> User:
    """A user with our own number, so that what the tests make is his."""
    return User(name, Ids(OURS.uid, OURS.gid, (*OURS.groups, 4711)), str(home))


class FaultyHomeDisk(FaultyDisk, HomeDisk):
    """The disk as a user finds it, with a diary and a list of faults."""

    def __init__(self, user: User, rights: Rights, *, has_syncfs: bool = False) -> None:
        FaultyDisk.__init__(self, has_syncfs=has_syncfs)
        HomeDisk.__init__(self, user, rights)

    def sync_above(self, root: int) -> None:
        self._write_down("sync", f"{self.place(root)}.")


class _Everybody(Users):
    """Root too, who may be running the tests."""

    def find(self, name: str) -> User | None:
        return self._ask(name)


class LentHomes(Homes):
    """Homes below a folder, of users who are all ourselves, on disks that fail when told to."""

    def __init__(self, folder: Path, *names: str, path: str = "Maildir") -> None:
        self.users_there = {name: user_at(folder / name, name) for name in names}
        for user in self.users_there.values():
            Path(user.home).mkdir(parents=True)
        self.kernel = LendingKernel()
        self.disks: dict[str, FaultyHomeDisk] = {}
        """The last that was made for each user."""
        self.has_syncfs = False
        self.faults: list[Fault] = []
        """Of the disk of alice, also where it is made later."""
        super().__init__(_Everybody(1, self.users_there.get), path, Rights(self.kernel))

    def disk(self, user: User) -> FaultyHomeDisk:
        made = FaultyHomeDisk(user, self._rights, has_syncfs=self.has_syncfs)
        self.disks[user.name] = made
        made.faults = self.faults_of(made)
        return made

    def faults_of(self, disk: FaultyHomeDisk) -> list[Fault]:
        """What befalls this one."""
        return list(self.faults) if disk is self.disks.get("alice") else []

    def new(self, name: str) -> list[bytes]:
        """What lies in new/ of a user's Maildir."""
        folder = Path(self.users_there[name].home).joinpath(*self.layout.parts(name), "new")
        return sorted(file.read_bytes() for file in folder.glob("*"))
