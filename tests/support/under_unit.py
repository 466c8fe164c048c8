"""What systemd does to the processes of a unit, without systemd: run a program as the unit says.

    python under_unit.py UNIT PROGRAM [ARGUMENT ...]

Promises: the system calls and the address families that the unit allows are those that the program
has, by a filter of the kernel (seccomp) with the sets that systemd itself prints; no memory is both
written and run; user, capabilities and no_new_privs are not its business (setpriv(1) is for them).
The program takes its place.

Needs libseccomp, which systemd has, and the standard library.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from ctypes.util import find_library
from pathlib import Path

SET_NO_NEW_PRIVS = 38
# prctl(2), since Linux 6.3: the kernel's own MemoryDenyWriteExecute=.
SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
# seccomp(3).
ALLOW, ERRNO, EQUAL = 0x7FFF0000, 0x00050000, 4
EPERM = 1
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}


class Comparison(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def words(unit: Path, key: str) -> list[str]:
    """The values of a key, one for each line that has it."""
    lines = unit.read_text("utf-8").splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def members(name: str) -> Iterator[str]:
    """The calls that a word of SystemCallFilter= stands for."""
    if not name.startswith("@"):
        yield name
        return
    lines = subprocess.check_output(["systemd-analyze", "syscall-filter", name], text=True)
    for line in lines.splitlines()[1:]:
        if line.strip() and not line.strip().startswith("#"):
            yield from members(line.strip())


def allowed(filters: Iterable[str]) -> set[str]:
    """The calls that these lines leave, by systemd.exec(5)."""
    left = {*members("@default")}
    for line in filters:
        named = {call for name in line.removeprefix("~").split() for call in members(name)}
        left = left - named if line.startswith("~") else left | named
    return left


def confine(unit: Path) -> None:
    """This thread, and all that it starts.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    library = ctypes.CDLL(find_library("seccomp"))
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ERRNO | EPERM))
    calls = allowed(words(unit, "SystemCallFilter"))
    numbers = {name: library.seccomp_syscall_resolve_name(name.encode()) for name in calls}
    (families,) = words(unit, "RestrictAddressFamilies")
    for name, number in numbers.items():
        if number < 0:
            continue  # another architecture's
        rules = [Comparison(0, EQUAL, FAMILIES[one], 0) for one in families.split()]
        for rule in rules if name in ("socket", "socketpair") else [None]:
            array = ctypes.byref(rule) if rule else None
            count = ctypes.c_uint(1 if rule else 0)
            check(library.seccomp_rule_add_array(context, ALLOW, number, count, array))
    check(-ctypes.get_errno() if libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) else 0)
    check(-ctypes.get_errno() if libc.prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) else 0)
    check(library.seccomp_load(context))


def check(answer: int) -> None:
    """A negative one is an error number."""
    if answer < 0:
        raise OSError(-answer, os.strerror(-answer))


if __name__ == "__main__":
    confine(Path(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
