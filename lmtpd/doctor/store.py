"""The store: may a worker write there, is there room, and does the disk keep what it promises?"""

from __future__ import annotations

import itertools
import os
import shlex
import stat
from collections.abc import Callable

from .. import try_it, wiring
from ..config import Config, ConfigError
from ..delivery.disk import Disk
from ..delivery.layout import Layout
from ..delivery.room import FILES_RESERVED
from ..server.confinement import act_as_worker
from . import filesystem, probe
from .finding import Findings, fail, ok, warn
from .holders import user_name

_MOST_MAILBOXES = 1000
"""That are looked at: a store may hold very many."""
_FEW_FILES = 0.02
"""Of all inodes."""


def look(settings: Config) -> Findings:
    """All of it, with the rights of a worker."""
    act_as_worker(settings)
    disk = Disk()
    try:
        root = wiring.tree(settings, disk)
    except ConfigError as error:
        for fault in error.faults:
            yield fail(fault, f"namei -l {_path(settings)}; findmnt; mount -a")
        return
    yield from _owner(settings)
    yield from filesystem.look(settings.lmtp_maildir_root, settings.lmtp_maildir_marker)
    with root.open_root() as directory:
        yield from _room(settings, *disk.free(directory), os.fstatvfs(directory).f_files)
        yield from probe.look(settings.lmtp_maildir_root, directory, disk)
    yield from _mailboxes(settings)


def _owner(settings: Config) -> Findings:
    root, us = settings.lmtp_maildir_root, user_name(os.geteuid())
    status = root.stat()
    mode = stat.S_IMODE(status.st_mode)
    what = f"{root} belongs to {user_name(status.st_uid)}, mode {mode:04o}"
    if mode & stat.S_IWOTH:
        yield warn(f"{what}: everybody may put mailboxes there", f"chmod o-w {_path(settings)}")
    elif status.st_uid != os.geteuid() and not os.access(root, os.W_OK, effective_ids=True):
        yield fail(f"{what}: {us} may not write there", f"chown {us} {_path(settings)}")
    else:
        yield ok(f"{what}; looked at as {us}")


def _room(settings: Config, octets: float, files: float, all_files: int) -> Findings:
    reserve = settings.lmtp_disk_reserve or 0
    where = f"df -h {_path(settings)}"
    left = f"{octets / 1e6:,.0f} MB are free"
    if octets <= reserve:
        yield fail(
            f"{left}, less than lmtp-disk-reserve: every MAIL hears 452 4.3.1",
            f"make room, or set lmtp-disk-reserve lower; {where}; lmtpd mailbox list",
        )
    elif octets < 2 * reserve:
        yield warn(f"{left}, and lmtp-disk-reserve is {reserve / 1e6:,.0f} MB", where)
    else:
        yield ok(f"{left}")
    where = f"df -i {_path(settings)}: remove files, or make a file system with more inodes"
    if files < FILES_RESERVED:
        yield fail(f"{files:.0f} inodes are free: every MAIL hears 452 4.3.1", where)
    elif files < _FEW_FILES * all_files:
        yield warn(f"{files:,.0f} of {all_files:,} inodes are free", where)


def _mailboxes(settings: Config) -> Findings:
    """Whether a worker can deliver to those that are there."""
    layout, root = Layout(settings.lmtp_maildir_path), settings.lmtp_maildir_root
    wrong: list[str] = []
    count = 0
    for mailbox in itertools.islice(try_it.mailboxes(settings), _MOST_MAILBOXES):
        count += 1
        place = root.joinpath(*layout.parts(mailbox))
        for name in ("", "tmp", "new", "cur"):
            if _is_closed(str(place / name), os.access):
                wrong.append(str(place / name))
                break
    us = user_name(os.geteuid())
    if wrong:
        yield fail(
            f"{us} may not write in {len(wrong)} of {count} mailboxes, {wrong[0]} for one",
            f"chown -R {us} {_path(settings)}; then: lmtpd mailbox check --fix",
        )
    else:
        more = " or more" if count == _MOST_MAILBOXES else ""
        yield ok(f"{count}{more} mailboxes, to be written by {us}")


def _is_closed(path: str, access: Callable[..., bool]) -> bool:
    """It is there, and not for us."""
    return access(path, os.F_OK, effective_ids=True) and not access(
        path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True
    )


def _path(settings: Config) -> str:
    return shlex.quote(str(settings.lmtp_maildir_root))
