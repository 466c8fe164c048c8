"""`lmtpd.py mailbox check`: what is wrong with mailboxes, and mending it without losing a message.

The server may deliver and readers may read meanwhile, for nothing is done that they do not do
themselves: a directory that is missing is made, a message goes from new/ to cur/ in one step, a
leftover in tmp/ goes after 36 hours, a file never changes its octets.
What could be meant, or could hide a message, is told and left.

Run by root it stands before whatever a mailbox's owner has put there: no link is followed, and a
file is given back to its owner only if it has no second name, which could be another's.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ..config import Config
from ..delivery.store import Place
from ..delivery.sweep import ABANDONED_SECONDS, remove_abandoned
from ..failures import DeliveryError, told
from ..terminal import CommandError, Progress, printable, tell
from .removal import ASIDE, parent_of
from .spot import FOLDERS, Spot, entered, spots, sub_folders

_INFO = ":"
"""Begins the flags; they belong to names in cur/."""
_MARK = "maildirfolder"
"""An empty file by which Maildir++ knows a sub-folder."""

Mend = Callable[[], object]


def run(settings: Config, texts: list[str], *, fixes: bool) -> int:
    """Look at mailboxes; EX_DATAERR if something is left to be mended.

    Raises:
        CommandError: the store cannot be read, or one that was named is not there.
    """
    faults = left = 0
    try:
        with Progress("mailboxes") as progress:

            def say(text: str) -> None:
                progress.hide()
                tell(printable(text))

            last: Place | None = None
            for spot in spots(settings, texts):
                checkup = Checkup(spot, say, fixes=fixes)
                if spot.place[:-1] != last:
                    last = spot.place[:-1]
                    checkup.beside()
                checkup.run()
                faults, left = faults + checkup.faults, left + checkup.left
                progress.step()
            count = progress.done
    except (OSError, DeliveryError) as error:
        raise CommandError(os.EX_NOINPUT, printable(str(error))) from error
    hint = "; --fix mends what can be mended" if left and not fixes else ""
    tell(f"mailboxes: {count}, faults: {faults}, mended: {faults - left}{hint}")
    return os.EX_DATAERR if left else os.EX_OK


class Checkup:
    """Of one mailbox."""

    def __init__(self, spot: Spot, say: Callable[[str], object], *, fixes: bool) -> None:
        self._spot = spot
        self._say = say
        self._fixes = fixes
        self._disk = spot.disk()
        self._oldest = time.time() - ABANDONED_SECONDS
        self.faults = 0
        self.left = 0
        """Faults that were not mended."""

    def run(self) -> None:
        """Look at all of it. What cannot be read is a fault like others."""
        spot = self._spot
        with self._telling(""), spot.tree.opened(spot.place) as directory, spot.rights():
            self._folder(directory, "")
            for name in sub_folders(directory):
                self._sub_folder(directory, name)

    def beside(self) -> None:
        """Look for what removals that were stopped have left in the directory around it."""
        if not self._spot.is_in_home:
            with self._telling(".."), parent_of(self._spot) as parent:
                for name in self._disk.names(parent):
                    if name.startswith(ASIDE):
                        self._found(f"../{name}", "is left of a removal; run that again")

    def _sub_folder(self, directory: int, name: str) -> None:
        with self._telling(name), entered(name, directory) as folder:
            names = self._disk.names(folder)
            if not {*FOLDERS, _MARK}.intersection(names):
                return  # no Maildir's, whatever it is
            self._folder(folder, f"{name}/")
            if _MARK not in names:
                mark = functools.partial(self._mark, folder)
                self._found(f"{name}/{_MARK}", "is missing", mark)

    def _folder(self, directory: int, where: str) -> None:
        self._entry(".", directory, where or ".", os.stat("..", dir_fd=directory))
        for name in FOLDERS:
            with self._telling(where + name):
                self._inside(directory, name, where)

    def _inside(self, directory: int, name: str, where: str) -> None:
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            make = functools.partial(self._make, name, directory)
            self._found(where + name, "is missing", make)
            return
        if not stat.S_ISDIR(status.st_mode):
            self._found(where + name, "is no directory, and no link is followed")
            return
        above = os.fstat(directory)
        self._entry(name, directory, where + name, above)
        with entered(name, directory) as folder:
            match name:
                case "tmp":
                    self._leftovers(folder, where)
                case "new":
                    self._messages(folder, f"{where}new/", above, directory)
                case _:
                    self._messages(folder, f"{where}cur/", above, None)

    def _leftovers(self, tmp: int, where: str) -> None:
        for name, status in _entries(tmp):
            if not stat.S_ISREG(status.st_mode):
                self._found(f"{where}tmp/{name}", "is no file")
            elif status.st_mtime < self._oldest:
                self._found(
                    f"{where}tmp/{name}",
                    "was left there by a delivery that nobody was told of",
                    functools.partial(_remove, tmp, name, self._oldest),
                )

    def _messages(
        self, folder: int, where: str, above: os.stat_result, maildir: int | None
    ) -> None:
        """Those in cur/; or in new/ of this Maildir, where they have no flags."""
        for name, status in _entries(folder):
            if name.startswith("."):
                continue  # no reader takes it for a message
            if not stat.S_ISREG(status.st_mode):
                self._found(where + name, "is no file")
                continue
            if status.st_size == 0:
                self._found(where + name, "is empty: what was in it is lost")
            self._entry(name, folder, where + name, above)
            if maildir is not None and _INFO in name:
                self._found(
                    where + name,
                    "has flags, which belong to cur/",
                    functools.partial(_move, name, folder, maildir),
                )

    def _entry(self, name: str, parent: int, where: str, above: os.stat_result) -> None:
        """Owner and mode, of what is behind a name now, whatever comes there later."""
        try:
            held = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        except FileNotFoundError:
            return  # its reader was quicker
        try:
            self._owner_and_mode(f"/proc/self/fd/{held}", os.fstat(held), where, above)
        finally:
            os.close(held)

    def _owner_and_mode(
        self, path: str, status: os.stat_result, where: str, above: os.stat_result
    ) -> None:
        is_directory = stat.S_ISDIR(status.st_mode)
        # A file with a second name may be another's, who would lose it, or have it read.
        is_alone = is_directory or status.st_nlink == 1
        if above.st_uid not in (0, status.st_uid):
            whose = f"belongs to the user {status.st_uid}, what it is in to {above.st_uid}"
            # Only what is root's was made by mistake.
            is_mistake = status.st_uid == 0 and is_alone
            give = functools.partial(os.chown, path, above.st_uid, above.st_gid)
            self._found(where, whose, give if is_mistake else None)
        mode = stat.S_IMODE(status.st_mode)
        right = (mode | (stat.S_IRWXU if is_directory else stat.S_IRUSR)) & ~stat.S_IWOTH
        if right != mode:
            change = functools.partial(os.chmod, path, right)
            self._found(where, f"has the mode {mode:04o}", change if is_alone else None)

    def _make(self, name: str, directory: int) -> None:
        self._disk.make_directory(name, directory)
        self._disk.sync(directory)

    def _mark(self, folder: int) -> None:
        self._disk.close(self._disk.create(_MARK, folder))
        self._disk.sync(folder)

    def _found(self, where: str, what: str, mend: Mend | None = None) -> None:
        self.faults += 1
        state = "" if mend else "; left as it is"
        if mend and self._fixes:
            try:
                mend()
            except OSError as error:
                state = f"; not mended: {told(error)}"
            else:
                state = "; mended"
                self.left -= 1
        self.left += 1
        self._say(f"{self._spot.mailbox} {where}: {what}{state}")

    @contextmanager
    def _telling(self, where: str) -> Iterator[None]:
        try:
            yield
        except (OSError, DeliveryError) as error:
            self._found(where or ".", f"cannot be looked at: {told(error)}")


def _entries(directory: int) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # its reader was quicker
                yield entry.name, entry.stat(follow_symlinks=False)


def _move(name: str, new: int, maildir: int) -> None:
    """From new/ to cur/ in one step, as readers do it, and over no other message.

    With two names for a moment its reader could give the one other flags, and have it twice.
    """
    with entered("cur", maildir) as cur:
        with suppress(FileNotFoundError):
            there = os.stat(name, dir_fd=cur, follow_symlinks=False)
            if not os.path.samestat(there, os.stat(name, dir_fd=new, follow_symlinks=False)):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), f"cur/{name}")
            os.unlink(name, dir_fd=new)
        with suppress(FileNotFoundError):  # its reader was quicker
            os.rename(name, name, src_dir_fd=new, dst_dir_fd=cur)
        os.fsync(cur)
        os.fsync(new)


def _remove(tmp: int, name: str, oldest: float) -> None:
    if not remove_abandoned(tmp, name, oldest):
        raise OSError("it is not what it was")
