"""Rights: whose the kernel checks on this thread, our own or those of a user who gets mail.

Linux keeps them for each thread: the ids that file systems look at (fsuid, fsgid, supplementary
groups) and the effective capabilities. The ids alone would not do. Root that has another's fsuid
still has CAP_SYS_RESOURCE, for which no disk quota holds, and a server that is not root keeps every
capability that it was given; so no capability is effective while we act for a user.

seteuid would give the same rights, and the user those of a fellow: fsuid was made for servers,
whom their users shall neither signal nor trace. The C library's setgroups and seteuid change all
threads at once; what is called here changes the calling thread alone.

No call is believed: setfsuid, for one, reports no error. And whoever cannot be himself again must
not go on, for the next file would be made with a user's rights, or a user's with root's.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..libc import libc

_ASK = 0xFFFFFFFF
"""No id: setfsuid and setfsgid answer with the one in force, and change nothing."""

# Of setgroups(2), and of setgroups32 where ids had 16 bits first. A wrong one is noticed.
_SETGROUPS_64 = {"x86_64": 116, "ppc64": 81, "ppc64le": 81, "s390x": 206}
_SETGROUPS_GENERIC, _SETGROUPS_32 = 159, 206
_CAPABILITY_VERSION_3 = 0x20080522

Capabilities = ctypes.c_uint32 * 6
"""Effective, permitted and inheritable ones: the low halves, then the high halves."""


@dataclass(frozen=True, slots=True)
class Ids:
    """What a file system knows somebody by."""

    uid: int
    gid: int
    groups: tuple[int, ...]


class Kernel:
    """System calls that concern the calling thread alone.

    Each raises OSError if it had not the effect that was asked for.
    """

    def __init__(self, library: ctypes.CDLL | None = None) -> None:
        """By way of this C library; not given: the process's own."""
        self._libc = library or libc()
        self._setgroups = _setgroups_number(platform.machine(), is_64=sys.maxsize > 2**32)

    def fsuid(self) -> int:
        """Whose files are made."""
        return int(self._libc.setfsuid(_ASK)) & _ASK

    def set_fsuid(self, uid: int) -> None:
        """setfsuid(2)."""
        self._libc.setfsuid(uid)
        _check(self.fsuid() == uid, errno.EPERM, f"setfsuid({uid})")

    def set_fsgid(self, gid: int) -> None:
        """setfsgid(2)."""
        self._libc.setfsgid(gid)
        _check(int(self._libc.setfsgid(_ASK)) & _ASK == gid, errno.EPERM, f"setfsgid({gid})")

    def set_groups(self, groups: tuple[int, ...]) -> None:
        """setgroups(2), of this thread; not where they are in force, for it needs a capability."""
        if {*os.getgroups()} == {*groups}:
            return
        array = (ctypes.c_uint32 * len(groups))(*groups)
        count = ctypes.c_size_t(len(groups))
        failed = self._libc.syscall(ctypes.c_long(self._setgroups), count, array)
        _check(not failed, ctypes.get_errno(), "setgroups")
        _check({*os.getgroups()} == {*groups}, errno.ENOSYS, "setgroups")

    def capabilities(self) -> ctypes.Array[ctypes.c_uint32]:
        """capget(2)."""
        found = Capabilities()
        _check(not self._libc.capget(_header(), found), ctypes.get_errno(), "capget")
        return found

    def set_capabilities(self, wanted: ctypes.Array[ctypes.c_uint32]) -> None:
        """capset(2)."""
        _check(not self._libc.capset(_header(), wanted), ctypes.get_errno(), "capset")


def _setgroups_number(machine: str, *, is_64: bool) -> int:
    return _SETGROUPS_64.get(machine, _SETGROUPS_GENERIC) if is_64 else _SETGROUPS_32


def _header() -> ctypes.Array[ctypes.c_uint32]:
    """struct __user_cap_header_struct: this thread."""
    return (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)


def _check(is_so: bool, number: int, call: str) -> None:
    if not is_so:
        raise OSError(number, f"{os.strerror(number)} ({call})")


def _end_process() -> None:
    """At once: nothing of ours may run with the rights of somebody else."""
    os.write(2, b"lmtpd: the rights of a user cannot be given up, the worker ends\n")
    os._exit(os.EX_SOFTWARE)


class Rights:
    """Lends a thread the rights of a user, for as long as one call takes."""

    def __init__(
        self, kernel: Kernel | None = None, end: Callable[[], object] = _end_process
    ) -> None:
        """Our own are those of the calling thread.

        Args:
            kernel: the system calls.
            end: must not return; called when our own rights cannot be had back.
        """
        self._kernel = kernel or Kernel()
        self._end = end
        self._own = Ids(os.geteuid(), os.getegid(), tuple(os.getgroups()))
        self._capabilities = self._kernel.capabilities()
        low, high = self._capabilities[1:3], self._capabilities[4:6]
        self._no_capabilities = Capabilities(0, *low, 0, *high)

    def check(self) -> None:
        """Try with the ids of nobody.

        Raises:
            OSError: we may not lend any rights.
        """
        with self.of(Ids(65534, 65534, (65534,))):
            pass

    @contextmanager
    def of(self, ids: Ids) -> Iterator[None]:
        """Act with a user's rights and no others; not within another such context.

        Raises:
            OSError: they cannot be had, and nothing was done.
        """
        if self._kernel.fsuid() != self._own.uid:
            raise RuntimeError("the rights of a user are lent already")
        try:
            self._become(ids)
            self._kernel.set_capabilities(self._no_capabilities)
            yield
        finally:
            self._return()

    def _become(self, ids: Ids) -> None:
        self._kernel.set_groups(ids.groups)
        self._kernel.set_fsgid(ids.gid)
        self._kernel.set_fsuid(ids.uid)

    def _return(self) -> None:
        try:
            self._kernel.set_capabilities(self._capabilities)
            self._become(self._own)
            # Who becomes root again gets some that he had not made effective before.
            self._kernel.set_capabilities(self._capabilities)
        except BaseException:
            self._end()
            raise
