"""Users: the accounts of the system that get mail, as the C library knows them (NSS).

Python's own `pwd` says "not found" for a directory service that is down as well, and mail would
bounce for it. getpwnam_r tells the two apart: with glibc and musl a name that is not there is 0
without an entry, and each number is a failure. `os.getgrouplist` holds the interpreter's lock while
a server is asked, and with it the event loop; asked by ctypes, the C library holds up nobody.

Both may wait for as long as a service behind NSS lets them: they are called on real threads only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..failures import HomeError
from ..libc import libc
from .rights import Ids

HOLD_SECONDS = 60.0
"""How long delivery relies on what was found: RCPT has just asked, and does not ask twice."""

_NOBODY = 65534
"""The kernel's name for owners that it cannot tell; the account beside it is no person's."""
_NO_HOMES = frozenset({"/", "/nonexistent", "/dev/null", "/var/empty"})
"""What stands in the place of a home where there is none; an empty one is none either."""
_MOST_OCTETS = 1024 * 1024
# Strangers choose the name, and it goes to every service behind NSS.
_NAME = re.compile(r"\w[\w.-]{0,127}")


@dataclass(frozen=True, slots=True)
class User:
    """An account with a home directory."""

    name: str
    ids: Ids
    home: str


class _Passwd(ctypes.Structure):
    """struct passwd of Linux."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("uid", ctypes.c_uint32),
        ("gid", ctypes.c_uint32),
        ("gecos", ctypes.c_char_p),
        ("home", ctypes.c_char_p),
        ("shell", ctypes.c_char_p),
    )


def ask(name: str, library: ctypes.CDLL | None = None) -> User | None:
    """The account of this name; None if there is none.

    Raises:
        OSError: a service behind NSS has failed, and nobody can tell.
    """
    library, octets = library or libc(), name.encode()
    entry, found, size = _Passwd(), ctypes.c_void_p(), 1024
    while True:
        buffer = ctypes.create_string_buffer(size)
        number = library.getpwnam_r(octets, ctypes.byref(entry), buffer, size, ctypes.byref(found))
        if number != errno.ERANGE or size >= _MOST_OCTETS:
            break
        size *= 2
    if number:
        raise OSError(number, f"{os.strerror(number)} (getpwnam)")
    if not found:
        return None
    groups = _groups(library, octets, entry.gid)
    return User(name, Ids(entry.uid, entry.gid, groups), os.fsdecode(entry.home or b""))


def _groups(library: ctypes.CDLL, name: bytes, gid: int) -> tuple[int, ...]:
    """All groups of a user; a service that fails makes them fewer, never more."""
    room, count = 0, ctypes.c_int(32)
    while count.value > room:
        room = count.value
        groups = (ctypes.c_uint32 * room)()
        if library.getgrouplist(name, ctypes.c_uint32(gid), groups, ctypes.byref(count)) >= 0:
            return tuple(groups[: count.value])
    raise OSError(errno.ENOMEM, f"{os.strerror(errno.ENOMEM)} (getgrouplist)")


class Users:
    """Who of them gets mail: every account of a person, whatever its shell is."""

    def __init__(
        self,
        minimum_uid: int,
        ask: Callable[[str], User | None] = ask,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._minimum_uid = minimum_uid
        self._ask = ask
        self._clock = clock
        self._known: dict[str, tuple[User, float]] = {}

    def find(self, name: str) -> User | None:
        """The user, asked for now; None for one who gets no mail, as accounts of the system do.

        Raises:
            OSError: nobody can tell.
        """
        user = self._ask(name) if _NAME.fullmatch(name) else None
        if user and user.ids.uid >= self._minimum_uid and _is_person(user):
            self._known[name] = user, self._clock()
            return user
        self._known.pop(name, None)
        return None

    def recall(self, name: str) -> User:
        """The user as found a moment ago, or else asked for; while nobody can tell, as ever found.

        Raises:
            OSError: nobody can tell.
            HomeError: there is none any more, or it gets no mail.
        """
        known, since = self._known.get(name, (None, 0.0))
        if known and self._clock() - since < HOLD_SECONDS:
            return known
        try:
            user = self.find(name)
        except OSError:
            if known:
                return known
            raise
        if not user:
            raise HomeError(f"~{name}: no such user")
        return user


def _is_person(user: User) -> bool:
    has_home = user.home.startswith("/") and user.home not in _NO_HOMES
    return has_home and user.ids.uid not in (0, _NOBODY)
