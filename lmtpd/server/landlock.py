"""Landlock: rules that a process gives itself, for good, and for all that it starts (landlock(7)).

They come on top of what its user may do: a hook, a library or a parser that strangers have taken
over writes where mail is written, and nowhere else. They hold for the calling thread and those that
it starts, so they are made before there is a second one.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable
from enum import IntFlag
from pathlib import Path

from ..libc import libc

# The same on every architecture but Alpha.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2

LEAST_ABI = 2
"""Linux 5.19. Before, no file could go from one folder to another, as from tmp/ to new/."""


class Access(IntFlag):
    """What a rule set denies to files, and a rule allows again: writing, in all its forms."""

    WRITE_FILE = 1 << 1
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


_SINCE_ABI_1 = Access(0x1FFF) & ~Access(0b1101)  # to execute, to read files and folders is for all
_SINCE_ABI = {2: Access.REFER, 3: Access.TRUNCATE, 5: Access.IOCTL_DEV}
_STORE = (
    Access.WRITE_FILE
    | Access.REMOVE_DIR
    | Access.REMOVE_FILE
    | Access.MAKE_DIR
    | Access.MAKE_REG
    | Access.REFER
    | Access.TRUNCATE
)
"""What is done to maildirs. Nobody has to make devices there, nor links."""
_FILE = Access.WRITE_FILE | Access.TRUNCATE
_BIND_TCP = 1
BIND_TCP_SINCE = 4
_SIGNALS = 2
_SIGNALS_SINCE = 6


class _RulesetAttr(ctypes.Structure):
    """struct landlock_ruleset_attr; an older kernel takes it while what it does not know is 0."""

    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneathAttr(ctypes.Structure):
    """struct landlock_path_beneath_attr."""

    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


class _NetPortAttr(ctypes.Structure):
    """struct landlock_net_port_attr."""

    _fields_ = (("allowed_access", ctypes.c_uint64), ("port", ctypes.c_uint64))


def abi() -> int:
    """Which version of Landlock the kernel has; 0: none, or it is switched off."""
    answer = libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)
    return max(0, int(answer))


def restrict(writable: Iterable[Path] | None) -> None:
    """From now on write below these places only, choose no TCP port, signal no process outside.

    What the kernel does not know yet is not denied; `abi` says which that is.

    Args:
        writable: folders and files, links followed; None: writing is not restricted.

    Raises:
        OSError: a place is not there, or the kernel refuses.
    """
    version = abi()
    handled = Access(0)
    if writable is not None:
        handled = _SINCE_ABI_1
        for since, access in _SINCE_ABI.items():
            handled |= access if version >= since else Access(0)
    attributes = _RulesetAttr(
        handled,
        _BIND_TCP if version >= BIND_TCP_SINCE else 0,
        _SIGNALS if version >= _SIGNALS_SINCE else 0,
    )
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    rules = _called(_CREATE_RULESET, ctypes.byref(attributes), size, 0)
    try:
        for path in writable or ():
            _allow(rules, path, handled)
        if attributes.handled_access_net:
            # One that the kernel chooses: ldap3 asks for it before it connects.
            _called(_ADD_RULE, rules, _NET_PORT, ctypes.byref(_NetPortAttr(_BIND_TCP, 0)), 0)
        _called(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: Path, handled: Access) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        wanted = _STORE if path.is_dir() else _FILE
        rule = _PathBeneathAttr(wanted & handled, place)
        _called(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(place)


def _called(number: int, *arguments: object) -> int:
    answer = int(libc().syscall(number, *arguments))
    if answer < 0:
        error = ctypes.get_errno()
        what = "Landlock" if error != errno.E2BIG else "Landlock: too many rules"
        raise OSError(error, f"{os.strerror(error)} ({what})")
    return answer
