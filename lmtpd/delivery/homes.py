"""Homes: the Maildirs of the system's users, behind the contract of a store.

The mailbox `~alice` is the Maildir in the home of the user alice. HomeStore takes all mailboxes:
homes are its own, and everything else goes to the store that it was given, so that one message may
reach both kinds.
"""

from __future__ import annotations

import errno
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from ..failures import HomeError, StoreError
from .home_disk import HomeDisk
from .layout import Layout, is_home, user_of
from .maildir import MaildirDelivery, MaildirStore
from .message import Message
from .rights import Rights
from .store import Delivery, Place
from .sweep import ABANDONED_SECONDS
from .tree import MaildirTree
from .users import User, Users

PATIENCE_SECONDS = 1.0
"""With a look at a home that another one is waiting for already."""
MOST_OPEN = 200
"""Homes whose Maildir is kept open, two descriptors each."""


class Homes:
    """Where the users' Maildirs are. Any thread may use it."""

    def __init__(
        self,
        users: Users,
        path: str,
        rights: Rights,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Homes with a Maildir each.

        Args:
            users: who has one.
            path: of the Maildir, below the home.
            rights: lends us those of each user.
            clock: monotonic seconds.
        """
        self.users = users
        self.layout = Layout(path)
        self._rights = rights
        self._clock = clock
        self._looks: dict[str, float] = {}
        """When the look at a home began that has no end yet."""

    def check(self) -> None:
        """Whether delivery as other users is possible at all.

        Raises:
            OSError: it is not.
        """
        self._rights.check()

    def find(self, mailbox: str) -> tuple[User, Place]:
        """Whose it is, and where: the user's number, the home, and the path below it.

        Raises:
            OSError: nobody can tell.
            StoreError: there is no such user, or the home does not answer.
        """
        user = self.users.recall(user_of(mailbox))
        self._check_answers(user)
        return user, (str(user.ids.uid), user.home, *self.layout.parts(mailbox))

    def folder(self, mailbox: str) -> Path:
        """The Maildir of a mailbox, for people.

        Raises:
            OSError, StoreError: as `find`.
        """
        user, place = self.find(mailbox)
        return Path(user.home, *_below(place))

    def disk(self, user: User) -> HomeDisk:
        """The operating system as this user finds it."""
        return HomeDisk(user, self._rights)

    def look(self, user: User) -> None:
        """Say what delivery would say of the home, and create nothing.

        One that does not answer costs the first who looks his time, and hardly anybody after him:
        otherwise a single user could have the hook held to be down for all.

        Raises:
            OSError, StoreError: mail cannot be put there now.
        """
        self._check_answers(user)
        self._looks.setdefault(user.home, self._clock())
        parts = self.layout.parts(user.name)
        try:
            tree = MaildirTree(Path(user.home), self.disk(user))
            for name in ("tmp", "new"):
                # What is missing would be made; a home that is missing is another error.
                with suppress(FileNotFoundError), tree.opened((*parts, name)):
                    pass
        finally:
            self._looks.pop(user.home, None)

    def _check_answers(self, user: User) -> None:
        since = self._looks.get(user.home)
        if since is not None and self._clock() - since > PATIENCE_SECONDS:
            raise HomeError(f"~{user.name}: {user.home} does not answer")


class _Home(NamedTuple):
    """A user's home that mail was put into."""

    user: User
    store: MaildirStore


class HomeStore:
    """Mailboxes in homes, and all others in another store. One thread at a time uses it."""

    def __init__(
        self,
        homes: Homes,
        others: MaildirStore,
        host: str,
        clock: Callable[[], float] = time.time,
        most_open: int = MOST_OPEN,
    ) -> None:
        self._homes = homes
        self._others = others
        self._host = host
        self._clock = clock
        self._most_open = most_open
        self._are_scarce = False
        """Descriptors."""
        self._used: set[Place] = set()
        self._opened: OrderedDict[Place, _Home] = OrderedDict()
        self._outdated: list[_Home] = []

    def locate(self, mailbox: str) -> Place:
        """Where it is; of a home also whose, and it is there.

        Raises:
            OSError: nobody can tell.
            StoreError: there is no such user, or the home is not as it should be.
        """
        if not is_home(mailbox):
            return self._others.locate(mailbox)
        user, place = self._homes.find(mailbox)
        known = self._opened.get(place)
        if not known or known.user.ids != user.ids:
            with self._heeding():
                self._open(user, place)
        self._opened.move_to_end(place)
        self._used.add(place)
        return place

    def names(self, place: Place) -> list[str]:
        """As the store of this place."""
        return self._store(place).names(_below(place))

    def sync_names(self, place: Place) -> None:
        """As the store of this place."""
        self._store(place).sync_names(_below(place))

    def begin(self, place: Place, label: str) -> MaildirDelivery:
        """As the store of this place."""
        with self._heeding():
            return self._store(place).begin(_below(place), label)

    def adopt(self, place: Place, label: str, message: Message) -> MaildirDelivery | None:
        """As the store of this place; never in a home, where the file would be ours."""
        return self._store(place).adopt(_below(place), label, message)

    def begin_same(self, place: Place, label: str, delivery: Delivery) -> MaildirDelivery | None:
        """As the store of this place; nobody shares a file with a home."""
        return self._store(place).begin_same(_below(place), label, delivery)

    def rest(self) -> None:
        """Close homes that were not used for long, or all where descriptors are scarce."""
        self._others.rest()
        while self._used:
            self._opened[self._used.pop()].store.rest()
        most = 0 if self._are_scarce else self._most_open
        self._are_scarce = False
        self._keep(most)

    def close(self) -> None:
        """Close all of them, and the other store."""
        self._others.close()
        self._keep(0)

    def _keep(self, most: int) -> None:
        while len(self._opened) > most:
            self._outdated.append(self._opened.popitem(last=False)[1])
        while self._outdated:
            self._outdated.pop().store.close()

    def _open(self, user: User, place: Place) -> None:
        disk = self._homes.disk(user)
        tree = MaildirTree(Path(user.home), disk)
        store = MaildirStore(self._homes.layout, tree, self._host)
        known = self._opened.pop(place, None)
        if known:
            self._outdated.append(known)
        self._opened[place] = _Home(user, store)
        # What an earlier process has left there; a home that is kept open has nothing new.
        oldest = self._clock() - ABANDONED_SECONDS
        with suppress(OSError, StoreError), tree.opened((*_below(place), "tmp")) as tmp:
            disk.sweep(tmp, oldest)

    @contextmanager
    def _heeding(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._are_scarce |= error.errno in (errno.EMFILE, errno.ENFILE)
            raise

    def _store(self, place: Place) -> MaildirStore:
        return self._opened[place].store if _is_in_home(place) else self._others


def _is_in_home(place: Place) -> bool:
    """No part of another place holds a slash."""
    return len(place) > 1 and place[1].startswith("/")


def _below(place: Place) -> Place:
    """The place as its own store knows it."""
    return place[2:] if _is_in_home(place) else place
