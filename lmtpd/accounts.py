"""Accounts: users and groups of this machine that settings speak of, by name or by number.

They are asked for when the configuration is read, and never while mail comes: behind a name may be
a directory service, which lets one wait. A number need not have a name here, for a container's
users may have none.
"""

from __future__ import annotations

import grp
import pwd
from dataclasses import dataclass

_LARGEST = 2**32 - 2
"""The number behind it is -1, which tells the kernel to change nothing."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user's or a group's number, and what the operator calls it."""

    number: int
    name: str


def user(text: str) -> Account:
    """A user by its name or number.

    Raises:
        ValueError: there is none of this name, or nobody can tell.
    """
    if text.isdecimal():
        return _numbered(text)
    try:
        return Account(pwd.getpwnam(text).pw_uid, text)
    except (KeyError, ValueError):
        raise ValueError(f"{text!r} is no user of this machine") from None


def group(text: str) -> Account:
    """A group by its name or number.

    Raises:
        ValueError: there is none of this name, or nobody can tell.
    """
    if text.isdecimal():
        return _numbered(text)
    try:
        return Account(grp.getgrnam(text).gr_gid, text)
    except (KeyError, ValueError):
        raise ValueError(f"{text!r} is no group of this machine") from None


def _numbered(text: str) -> Account:
    if len(text) > 10 or int(text) > _LARGEST:
        raise ValueError(f"{text!r} is beyond {_LARGEST}, the largest number of a user or group")
    return Account(int(text), str(int(text)))
