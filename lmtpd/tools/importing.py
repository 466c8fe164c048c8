"""`lmtpd.py mailbox import`: messages that came another way, by the steps of a delivery.

Each is durable in tmp/ before it is visible, and a group of them is made durable together. In the
place of a delivery's id the file's name has the SHA-256 of what it holds, and a number among its
likes: so an import that was stopped, at whatever moment, is run again and goes on. What a reader
has moved to another folder, or removed, by then comes again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..config import Config
from ..delivery.commit import CommitMode, Failures, GroupCommit
from ..delivery.folders import OpenMaildir, open_maildir
from ..delivery.maildir import MaildirDelivery
from ..failures import DeliveryError, told
from ..terminal import CommandError, Progress, printable, tell
from . import sources
from .mbox import Quoting
from .sources import Item
from .spot import Naming, Spot

_TOGETHER = 100
_TOGETHER_OCTETS = 32 * 1024 * 1024
_MARK = "maildirfolder"
_LABEL = re.compile(r"R(I[0-9a-f]{32}N[0-9]+)\.")


def run(settings: Config, texts: Sequence[str], *, paths: Sequence[Path], quoting: Quoting) -> int:
    """Import all sources into one mailbox, one after the other.

    Raises:
        CommandError: the mailbox is not there, a source cannot be read, or the disk refuses.
    """
    mailbox = Naming(settings).mailbox(texts[0])
    try:
        spot = Spot.of(settings, mailbox)
        with spot.tree.opened(spot.place):
            pass
    except (OSError, DeliveryError) as error:
        text = f"{printable(mailbox)}: {printable(str(error))}; mailbox add makes one"
        raise CommandError(os.EX_NOUSER, text) from error
    for path in paths:
        _import(spot, settings, path, quoting)
    return os.EX_OK


def _import(spot: Spot, settings: Config, path: Path, quoting: Quoting) -> None:
    target = _Target(spot, CommitMode(settings.lmtp_commit))
    where = str(path)
    try:
        with Progress("messages") as progress, target:
            for item in sources.items(path, quoting):
                where = item.where
                target.take(item)
                progress.step()
    except (OSError, DeliveryError) as error:
        text = f"{where}: {told(error)}; {target.imported} imported: run it again to go on"
        raise CommandError(os.EX_IOERR, printable(text)) from error
    found = f"{path}: {target.imported} imported, {target.known} there already"
    tell(printable(found))


class _Target:
    """A mailbox that is imported into. A context manager: what is left at its end goes then."""

    def __init__(self, spot: Spot, mode: CommitMode) -> None:
        self._spot = spot
        self._commit = GroupCommit(mode)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._opened = ExitStack()
        self._folder: _Folder | None = None
        self._group: list[MaildirDelivery] = []
        self._group_octets = 0
        self.imported = 0
        self.known = 0

    def __enter__(self) -> _Target:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._opened:
            try:
                # One that fails takes nothing from those before it.
                if kind is None or issubclass(kind, Exception):
                    self._publish()
            finally:
                self._let_go()

    def take(self, item: Item) -> None:
        """Put a message into tmp/, unless it was imported before.

        Raises:
            OSError: it cannot be read, or not be written.
            StoreError: the store is not as it should be.
        """
        if self._folder is None or self._folder.name != item.folder:
            self._publish()
            self._opened.close()
            self._folder = self._opened.enter_context(_opened(self._spot, item.folder))
        digest = _digest(item.pieces())
        self._counts[item.folder, digest] += 1
        label = f"I{digest}N{self._counts[item.folder, digest]}"
        if label in self._folder.known:
            self.known += 1
            return
        delivery = self._folder.begin(self._spot, label, item.flags)
        try:
            self._group_octets += _write(item, delivery, digest)
        except BaseException:
            delivery.close()
            raise
        self._group.append(delivery)
        if len(self._group) >= _TOGETHER or self._group_octets >= _TOGETHER_OCTETS:
            self._publish()

    def _publish(self) -> None:
        """The sequence of a delivery.

        Raises:
            Exception: of the first one that failed.
        """
        batches = self._commit.batches(self._group)
        failures: Failures = {}
        for batch in batches:
            failures |= batch.sync()
        for batch in batches:
            failures |= batch.publish([one for one in self._group if one not in failures])
        self.imported += len(self._group) - len(failures)
        self._let_go()
        for error in failures.values():
            raise error

    def _let_go(self) -> None:
        for delivery in self._group:
            delivery.close()
        self._group.clear()
        self._group_octets = 0


class _Folder:
    """The inbox or a sub-folder, open."""

    def __init__(self, name: str, new: OpenMaildir, cur: OpenMaildir, known: set[str]) -> None:
        self.name = name
        self.known = known
        """Labels of what was imported before."""
        self._new = new
        self._cur = cur

    def begin(self, spot: Spot, label: str, flags: str | None) -> MaildirDelivery:
        """One that is new goes to new/, any other to cur/, where its reader has put it."""
        maildir, info = (self._new, "") if flags is None else (self._cur, f":2,{flags}")
        name, disk = spot.store.name(label), spot.tree.disk
        return MaildirDelivery(
            disk, maildir, name, disk.create(name, maildir.tmp), None, None, info
        )


@contextmanager
def _opened(spot: Spot, name: str) -> Iterator[_Folder]:
    tree = spot.tree
    place = (*spot.place, name) if name else spot.place
    new = open_maildir(tree, place)
    with ExitStack() as opened:
        opened.callback(tree.release, new.tmp)
        opened.callback(tree.release, new.new)
        directory = opened.enter_context(tree.opened(place))
        folder = opened.enter_context(tree.entered(directory, "cur"))
        if name:
            with suppress(FileExistsError):
                tree.disk.close(tree.disk.create(_MARK, directory))
        cur = OpenMaildir(
            new.tmp, folder, tree.disk.identity(folder), str(spot.path / name / "cur")
        )
        found = filter(None, map(_LABEL.search, spot.store.names(place)))
        known = {label[1] for label in found}
        if known:
            # Whoever has put them there may have been stopped before they were durable.
            spot.store.sync_names(place)
        yield _Folder(name, new, cur, known)


def _digest(pieces: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()[:32]


def _write(item: Item, delivery: MaildirDelivery, digest: str) -> int:
    """How many octets were written."""
    again, octets = hashlib.sha256(), 0
    for piece in item.pieces():
        again.update(piece)
        delivery.append(piece)
        octets += len(piece)
    if again.hexdigest()[:32] != digest:
        raise OSError("it has changed while it was read")
    if item.when is not None:
        delivery.date(item.when)
    return octets
