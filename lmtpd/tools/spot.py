"""Spot: one mailbox for a command: its name, and where it is, as delivery finds it.

Whoever owns a mailbox may change it at any moment, and the command may be root's. So all is done
from open directories, no link is followed, and in a home it is done with the user's own rights.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import try_it, wiring
from ..config import Config
from ..delivery.disk import Disk
from ..delivery.home_disk import HomeDisk
from ..delivery.layout import home_of, is_home
from ..delivery.store import Place
from ..delivery.tree import MaildirTree
from ..shipped import rules_of
from ..terminal import CommandError
from .address import address_of
from .owners_disk import OwnersDisk

if TYPE_CHECKING:
    from ..delivery.maildir import MaildirStore

FOLDERS = ("tmp", "cur", "new")
"""cur/ before new/: what is in the wrong one of them goes there."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Spot:
    """Where a mailbox is."""

    mailbox: str
    store: MaildirStore
    tree: MaildirTree
    place: Place

    @classmethod
    def of(cls, settings: Config, mailbox: str) -> Spot:
        """The place of a mailbox, whether there is one or not.

        Raises:
            ConfigError: the root cannot be opened.
            OSError, StoreError: it cannot be told, or no mailbox can have that name.
        """
        return cls(mailbox, *wiring.store_of(settings, mailbox, OwnersDisk()))

    @property
    def path(self) -> Path:
        """For people."""
        return self.tree.root.joinpath(*self.place)

    @property
    def is_in_home(self) -> bool:
        """Whether a user of the system owns it."""
        return isinstance(self.tree.disk, HomeDisk)

    def rights(self) -> AbstractContextManager[None]:
        """Those with which its inside is touched."""
        disk = self.tree.disk
        return disk.rights() if isinstance(disk, HomeDisk) else nullcontext()

    def disk(self) -> Disk:
        """What makes things in it, within `rights`."""
        return Disk() if self.is_in_home else self.tree.disk


class Naming:
    """From what was typed to the name of a mailbox. No hook is asked: it may be anybody's code."""

    def __init__(self, settings: Config) -> None:
        self._settings = settings
        self._rules = rules_of(settings)
        self._homes = wiring.homes(settings)

    def mailbox(self, text: str) -> str:
        """`~alice` is the home of alice, and so is her address where the hook `passwd` takes it.

        Raises:
            CommandError: it is no address, or nobody can tell whether a home is meant.
        """
        if is_home(text):
            return text
        address = self._rules.normal(address_of(self._settings, text))
        domains = self._settings.lmtp_passwd_domains or {self._settings.lmtp_default_domain}
        if self._homes and address.domain in domains:
            try:
                user = self._homes.users.find(address.local)
            except OSError as error:
                raise CommandError(os.EX_TEMPFAIL, f"{address}: {error}") from error
            if user:
                return home_of(user.name)
        return address.mailbox


def spots(settings: Config, texts: list[str]) -> Iterator[Spot]:
    """Those that are named, or else all in the store, one after the other.

    Raises:
        CommandError, ConfigError: a text is no address, or the root cannot be opened.
        OSError, StoreError: it cannot be told where one is, or the store cannot be read.
    """
    if texts:
        naming = Naming(settings)
        yield from (Spot.of(settings, naming.mailbox(text)) for text in texts)
        return
    directories = wiring.tree(settings, OwnersDisk())
    store = wiring.store(settings, directories)
    for mailbox in try_it.mailboxes(settings):
        yield Spot(mailbox, store, directories, store.locate(mailbox))


@contextmanager
def entered(name: str, parent: int) -> Iterator[int]:
    """A directory below an open one, no link followed.

    Raises:
        OSError: it is not there, or no directory, or closed to us.
    """
    directory = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        yield directory
    finally:
        os.close(directory)


def sub_folders(directory: int) -> list[str]:
    """Names of what may be Maildir++ folders in a mailbox: `.Sent`, `.Archive.2026`."""
    with os.scandir(directory) as entries:
        found = [
            one.name
            for one in entries
            if one.name.startswith(".") and one.is_dir(follow_symlinks=False)
        ]
    return sorted(found)
