"""What was promised, held against what a power cut after each single call would have left.

A promise is a 250 that a client has read, with the number of calls that the file system had done by
then. From that call on, each cut has to leave the message whole and once in new/ of its mailbox. So
has the tree that programs see, for what it has lost may any moment be lost on the disk. And no
file may have a name in new/ before its octets are durable: the name can reach the disk by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.support.lossy_fs import Call
from tests.support.strict_model import StrictModel

_SYNCS = frozenset({"fsync", "fsyncdir"})
_REMOVALS = frozenset({"rename", "unlink", "rmdir", "truncate", "write"})
_NAMINGS = frozenset({"create", "link", "rename"})


@dataclass(frozen=True, slots=True)
class Promise:
    """One message in one mailbox."""

    count: int
    mailbox: str
    stored: bytes
    """What the file ends with; trace fields stand in front of it."""

    @property
    def new(self) -> str:
        local, _, domain = self.mailbox.rpartition("@")
        return f"/{domain}/{local}/new"


@dataclass(frozen=True, slots=True)
class Breach:
    """What a cut after the call of this number would have shown."""

    index: int
    where: str
    why: str


def breaches(calls: Sequence[Call], promises: Iterable[Promise]) -> list[Breach]:
    """Cut after every call: the first breach of each promise, and names that came too early."""
    return list(_Judge(promises).judge(calls))


class _Judge:
    def __init__(self, promises: Iterable[Promise]) -> None:
        self._model = StrictModel()
        self._coming = sorted(promises, key=lambda promise: -promise.count)
        self._held: list[Promise] = []
        self._names: dict[Promise, str] = {}

    def judge(self, calls: Sequence[Call]) -> Iterator[Breach]:
        for call in calls:
            # Between two entries of the record nothing changes: one look stands for all of them.
            yield from self._fall_due(before=call.index)
            if not call.error:
                yield from self._early_name(call)
                getattr(self._model, call.name)(*call.arguments)
                yield from self._look_after(call)
        yield from self._fall_due(before=None)
        end = calls[-1].index if calls else 0
        for durable in (True, False):
            # Now for doubles as well, which would have cost too much at each call.
            self._names.clear()
            for promise in list(self._held):
                yield from self._check(promise, end, durable=durable)

    def _fall_due(self, before: int | None) -> Iterator[Breach]:
        while self._coming and (before is None or self._coming[-1].count < before):
            promise = self._coming.pop()
            self._held.append(promise)
            yield from self._check(promise, promise.count, durable=True)

    def _look_after(self, call: Call) -> Iterator[Breach]:
        """A call concerns the mailboxes of its domain; one on the root concerns all."""
        if call.name in _SYNCS or call.name in _REMOVALS:
            domain = "/".join(call.path.split("/")[:2])
            for promise in [one for one in self._held if one.new.startswith(domain)]:
                yield from self._check(promise, call.index, durable=call.name in _SYNCS)

    def _check(self, promise: Promise, index: int, *, durable: bool) -> Iterator[Breach]:
        files = self._model.survivors(promise.new, durable=durable)
        known = files.get(self._names.get(promise, ""))
        if known and known.ends_with(promise.stored, durable=durable):
            return
        copies = self._copies(promise, durable=durable)
        if len(copies) == 1:
            self._names[promise] = copies[0]
            return
        self._held.remove(promise)
        state = "lost" if not copies else f"there {len(copies)} times"
        after = "a power cut" if durable else "what programs did"
        yield Breach(index, promise.mailbox, f"{state} after {after}")

    def _copies(self, promise: Promise, *, durable: bool) -> list[str]:
        files = self._model.survivors(promise.new, durable=durable)
        return [
            name for name, file in files.items() if file.ends_with(promise.stored, durable=durable)
        ]

    def _early_name(self, call: Call) -> Iterator[Breach]:
        if call.name not in _NAMINGS or call.path.split("/")[-2] != "new":
            return
        if call.name == "create" or not self._model.find(call.arguments[0]).is_durable:
            yield Breach(call.index, call.path, "named in new/ before its octets are durable")
