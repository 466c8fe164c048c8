"""Worker rights: who the workers are when root has started lmtpd, and what that user may do.

Names are looked up where they are needed, which is at the start and by the commands.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .delivery.rights import Ids, Rights
from .settings import Config


def ids_of(config: Config) -> Ids | None:
    """Those of `lmtp-user` and `lmtp-group`; None if they are not set.

    Raises:
        LookupError: there is no such user or group; the text says so, for the administrator.
    """
    if config.lmtp_user is None:
        return None
    try:
        user = pwd.getpwnam(config.lmtp_user)
    except KeyError:
        raise LookupError(f"there is no user {config.lmtp_user}") from None
    gid = user.pw_gid
    if config.lmtp_group is not None:
        try:
            gid = grp.getgrnam(config.lmtp_group).gr_gid
        except KeyError:
            raise LookupError(f"there is no group {config.lmtp_group}") from None
    return Ids(user.pw_uid, gid, tuple(os.getgrouplist(user.pw_name, gid)))


@contextmanager
def rights_of_workers(config: Config) -> Iterator[bool]:
    """Act as workers will, to see what they will see; False if the rights are our own still.

    That is so where there is no such user, and for everybody but root.
    """
    ids, rights = _known(config), Rights()
    if ids is None or not _may_lend(rights):
        yield False
        return
    with rights.of(ids):
        yield True


def why_unreadable(path: Path) -> str:
    """Why a file cannot be read; empty if it can. Opened: os.access is wrong on some disks."""
    try:
        path.open("rb").close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _may_lend(rights: Rights) -> bool:
    try:
        rights.check()
    except OSError:
        return False
    return True


def _known(config: Config) -> Ids | None:
    try:
        return ids_of(config)
    except LookupError:
        return None
