"""Privileges: what this process may do, given up for good.

All of it before there is a second thread: capabilities and no_new_privs are each thread's own, and
handed down to those that it starts. As in lmtpd.delivery.rights no call is believed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from collections.abc import Iterable, Set
from enum import IntEnum
from itertools import count

from ..delivery.rights import Capabilities, Ids, Kernel
from ..libc import libc


class Capability(IntEnum):
    """Of capabilities(7), those of which we need one somewhere."""

    CHOWN = 0
    DAC_OVERRIDE = 1
    FOWNER = 3
    KILL = 5
    SETGID = 6
    SETUID = 7
    SETPCAP = 8
    NET_BIND_SERVICE = 10


# prctl(2).
_SET_DUMPABLE = 4
_SET_KEEPCAPS = 8
_CAPBSET_READ, _CAPBSET_DROP = 23, 24
_SET_NO_NEW_PRIVS = 38
_CAP_AMBIENT, _CAP_AMBIENT_RAISE = 47, 2


def refuse_more() -> None:
    """Gain nothing by starting a program any more, be it setuid, nor may what we start.

    Raises:
        OSError: the kernel refuses.
    """
    _prctl(_SET_NO_NEW_PRIVS, 1)


def hide_memory() -> None:
    """No core, and no debugger but root's: memory holds mail, passwords and private keys.

    A limit alone does not bind the program that the kernel pipes a core to (core(5)). A change of
    user may undo this; programs that we start are not concerned.

    Raises:
        OSError: the kernel refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_SET_DUMPABLE, 0)


def become(ids: Ids, kept: Set[Capability]) -> None:
    """Be another user, with the capabilities that are to be kept and no others.

    Raises:
        OSError: we may not, or not all of it has come about: then we must not go on.
    """
    _narrow(kept)
    os.setgroups(ids.groups)
    os.setresgid(ids.gid, ids.gid, ids.gid)
    _prctl(_SET_KEEPCAPS, int(bool(kept)))
    os.setresuid(ids.uid, ids.uid, ids.uid)
    _prctl(_SET_KEEPCAPS, 0)
    hold(kept)
    found = os.getresuid(), os.getresgid(), {*os.getgroups()}
    if found != ((ids.uid,) * 3, (ids.gid,) * 3, {*ids.groups}):
        raise PermissionError(errno.EPERM, f"{os.strerror(errno.EPERM)} (setresuid)")


def hold(kept: Set[Capability]) -> None:
    """Give up all capabilities but those which are to be kept, and which we have.

    Raises:
        OSError: the kernel refuses.
    """
    _narrow(kept)
    kernel = Kernel()
    _, low, _, _, high, _ = kernel.capabilities()
    bits = (low | high << 32) & sum(1 << one for one in kept)
    low, high = bits & 0xFFFFFFFF, bits >> 32
    wanted = Capabilities(low, low, 0, high, high, 0)  # without inheritable ones no ambient ones
    if [*wanted] != [*kernel.capabilities()]:  # a unit's filter may forbid the call
        kernel.set_capabilities(wanted)
    if [*wanted] != [*kernel.capabilities()]:
        raise PermissionError(errno.EPERM, f"{os.strerror(errno.EPERM)} (capset)")


def hand_down() -> None:
    """What we may do the program that takes our place may too, if it is not root's (execve(2)).

    Raises:
        OSError: the kernel refuses.
    """
    if os.geteuid() == 0:  # root's keeps all that the bounding set has
        return
    kernel = Kernel()
    effective, permitted, _, high_effective, high, _ = kernel.capabilities()
    if permitted or high:
        # Inheritable first, for only those can be ambient (capabilities(7)).
        kernel.set_capabilities(
            Capabilities(effective, permitted, permitted, high_effective, high, high)
        )
    for capability in Capability:
        if (permitted | high << 32) >> capability & 1:
            _prctl(_CAP_AMBIENT, _CAP_AMBIENT_RAISE, capability)


def _narrow(kept: Iterable[Capability]) -> None:
    """What nobody can have after us, by whichever way; only who has CAP_SETPCAP may say so."""
    effective = Kernel().capabilities()[0]
    if not effective >> Capability.SETPCAP & 1:
        return
    for capability in count():
        is_there = libc().prctl(_CAPBSET_READ, capability, 0, 0, 0)
        if is_there < 0:  # there are no more
            return
        if is_there and capability not in {*kept}:
            _prctl(_CAPBSET_DROP, capability)


def _prctl(option: int, argument: int, further: int = 0) -> None:
    if libc().prctl(option, *map(ctypes.c_ulong, (argument, further, 0, 0))) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)} (prctl {option})")
