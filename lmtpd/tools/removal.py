"""`lmtpd.py mailbox remove`: a mailbox goes, and no mail with it unless that is asked for.

The server may be delivering meanwhile, and the owner of the mailbox may be hostile. So the mailbox
is moved aside first, in one step and under a name that no address leads to. An empty new/ and cur/
are then removed by rmdir(2), which refuses when a message has come in at the last moment; the
mailbox is put back then. A delivery that finds no new/ any more fails with a 4xx, and comes again.

A removal that was stopped goes on when it is run again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..config import Config
from ..failures import DeliveryError
from ..terminal import CommandError, printable, tell
from .mailboxes import messages
from .spot import Naming, Spot, entered, sub_folders

ASIDE = ".removed-"
"""What the name of a mailbox that is being removed begins with."""

_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)


class _HasMailError(Exception):
    """The mailbox is not empty, or not any more."""


def run(settings: Config, texts: Sequence[str], *, with_mail: bool) -> int:
    """Remove mailboxes, one after the other.

    Raises:
        CommandError: one is not there, holds mail, or cannot be removed; those before it are gone.
    """
    naming = Naming(settings)
    for text in texts:
        mailbox = printable(naming.mailbox(text))
        try:
            spot = Spot.of(settings, naming.mailbox(text))
            if spot.is_in_home:
                raise CommandError(os.EX_NOPERM, f"{mailbox} is in a home, which is its user's")
            with parent_of(spot) as parent:
                _remove(parent, spot.place[-1], with_mail=with_mail)
        except _HasMailError as error:
            raise CommandError(
                os.EX_CANTCREAT,
                f"{mailbox}: {error}; nothing was removed. --with-mail removes the mail as well",
            ) from error
        except FileNotFoundError as error:
            raise CommandError(os.EX_NOUSER, f"{mailbox}: there is no such mailbox") from error
        except (OSError, DeliveryError, RecursionError) as error:
            raise CommandError(os.EX_IOERR, f"{mailbox}: {printable(str(error))}") from error
        tell(f"{mailbox} is removed")
    return os.EX_OK


@contextmanager
def parent_of(spot: Spot) -> Iterator[int]:
    """The directory that a mailbox of the store is in.

    Raises:
        OSError: it cannot be opened.
        StoreError: the store is not as it should be.
    """
    above = spot.place[:-1]
    with spot.tree.opened(above) if above else spot.tree.open_root() as parent:
        yield parent


def _remove(parent: int, name: str, *, with_mail: bool) -> None:
    # `%2f` is in no mailbox's name (lmtpd.delivery.layout), so that no mail comes there.
    prefix = f"{ASIDE}{hashlib.sha256(name.encode()).hexdigest()[:16]}-"
    stopped = [one for one in os.listdir(parent) if one.startswith(prefix)]
    try:
        if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise NotADirectoryError(f"{name} is a symbolic link, and none of those is followed")
        if not with_mail:
            with entered(name, parent) as directory:
                _require_empty(directory)
        aside = f"{prefix}{secrets.token_hex(8)}%2f"
        os.rename(name, aside, src_dir_fd=parent, dst_dir_fd=parent)
        os.fsync(parent)
        stopped.append(aside)
    except FileNotFoundError:
        if not stopped:
            raise
    for aside in stopped:
        if not with_mail:
            _take_what_is_empty(parent, aside, name)
        shutil.rmtree(aside, dir_fd=parent)
    os.fsync(parent)


def _require_empty(directory: int) -> None:
    count = sum(1 for _ in messages(directory))
    for name in sub_folders(directory):
        with entered(name, directory) as folder:
            count += sum(1 for _ in messages(folder))
    if count:
        raise _HasMailError(f"holds {count} messages")


def _take_what_is_empty(parent: int, aside: str, name: str) -> None:
    """From here on no message can come in; or one has, and the mailbox is back.

    Raises:
        _HasMailError: it is.
        OSError: it could not be put back.
    """
    taken = []
    try:
        with entered(aside, parent) as directory:
            _require_empty(directory)
            for one in ("cur", "new"):
                try:
                    owner = os.stat(one, dir_fd=directory, follow_symlinks=False)
                    os.rmdir(one, dir_fd=directory)
                    taken.append((one, owner))
                except FileNotFoundError:
                    continue
    except (_HasMailError, OSError) as error:
        with entered(aside, parent) as directory:
            for one, owner in taken:
                os.mkdir(one, 0o700, dir_fd=directory)
                os.chown(one, owner.st_uid, owner.st_gid, dir_fd=directory, follow_symlinks=False)
        os.rename(aside, name, src_dir_fd=parent, dst_dir_fd=parent)
        os.fsync(parent)
        if isinstance(error, OSError) and error.errno not in _NOT_EMPTY:
            raise
        raise _HasMailError("a message has just come in") from error
