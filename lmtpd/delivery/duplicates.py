"""Duplicates: a message that is sent again because its final reply was lost gets no second copy.

A client that hears no reply after the dot has to send the message again, whatever we have done
with it (RFC 1047). So each copy is remembered from the moment before it becomes visible until its
client says anything that it can only have said after the reply. If instead the connection ends, or
our process, and within a day the same octets come from the same sender for the same recipient, then
the mailbox is looked through; and what is there is not delivered again.

    Unconfirmed        what may be a repetition: memory that all workers share
    the file's name    what is one: it carries the same key

The first may be wrong: that costs one listing of the mailbox. A copy that its reader has moved or
removed by then is not found, and the message is delivered: nothing is lost.

What was in memory dies with the server, by a power cut too. But what its clients had not heard of
by then was among the last that it did; so those names count as unconfirmed, in each mailbox.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import struct
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

from .store import MailboxStore, Place

KEY_OCTETS = 8
LAST_SECONDS = 60
"""Before the end of a server: clients have heard of what was done earlier."""

_ENTRY = struct.Struct(f"={KEY_OCTETS}sI")
_BUCKETS = 16384
_BUCKET_OCTETS = 8 * _ENTRY.size
_NOBODY = 0

# time.unique.host, as MaildirStore makes names; flags and sizes follow.
_NAME = re.compile(r"([0-9]{1,12})\.M([0-9]{6})P[^.]*D([0-9a-f]{16})\.")


def key_of(recipient: str, reverse_path: str, digest: bytes) -> bytes:
    """What a delivery has in common with its repetition, and with nothing else.

    Args:
        recipient: the address of RCPT.
        reverse_path: the address of MAIL.
        digest: of the message's octets.
    """
    envelope = f"{recipient}\0{reverse_path}\0".encode("utf-8", "surrogatepass")
    return hashlib.sha256(envelope + digest).digest()[:KEY_OCTETS]


class Unconfirmed:
    """Keys of deliveries of which the client may not know, and the process that still talks to it.

    It is made before the workers are forked, and outlives each of them. There is no lock that one
    could leave behind: two that change a bucket at the same moment may forget a key. A bucket that
    is full forgets its oldest.
    """

    def __init__(self, kept: tuple[int, float] | None = None) -> None:
        """Nothing is known yet, or what another program knew in our place.

        Args:
            kept: what it had in `kept`.
        """
        octets = _BUCKETS * _BUCKET_OCTETS
        if kept is None:
            # A descriptor outlives the program that has made it, unlike other shared memory.
            kept = os.memfd_create("unconfirmed"), time.time()
            os.ftruncate(kept[0], octets)
        self.kept = kept
        """The descriptor of the memory, and `since`."""
        weakref.finalize(self, os.close, kept[0])
        self._memory = mmap.mmap(kept[0], octets)
        self.since = kept[1]
        """Seconds since the epoch: what was delivered earlier, another server did."""

    def add(self, key: bytes) -> None:
        """A copy is about to become visible; its client is connected to this process."""
        self._put(key, os.getpid())

    def abandon(self, key: bytes) -> None:
        """The client has gone, and has not shown that it knows."""
        self._put(key, _NOBODY)

    def confirm(self, key: bytes) -> None:
        """The client knows."""
        begin, entries, at = self._bucket(key)
        if at >= 0:
            self._write(begin, _without(entries, at))

    def may_be_repeated(self, key: bytes) -> bool:
        """Whether there is such a delivery, whose client nobody talks to any more."""
        _, entries, at = self._bucket(key)
        return at >= 0 and not _is_running(_ENTRY.unpack_from(entries, at)[1])

    def _put(self, key: bytes, owner: int) -> None:
        begin, entries, at = self._bucket(key)
        self._write(begin, _ENTRY.pack(key, owner) + _without(entries, at))

    def _bucket(self, key: bytes) -> tuple[int, bytes, int]:
        """Where it begins, its entries, the youngest first, and where the key's is among them."""
        begin = int.from_bytes(key[:4]) % _BUCKETS * _BUCKET_OCTETS
        entries = self._memory[begin : begin + _BUCKET_OCTETS]
        at = entries.find(key)
        return begin, entries, at if at % _ENTRY.size == 0 else -1

    def _write(self, begin: int, entries: bytes) -> None:
        whole = entries[:_BUCKET_OCTETS].ljust(_BUCKET_OCTETS, b"\0")
        self._memory[begin : begin + _BUCKET_OCTETS] = whole


def _without(entries: bytes, at: int) -> bytes:
    """All but the one that begins there; -1 stands for none."""
    return entries[:at] + entries[at + _ENTRY.size :] if at >= 0 else entries


def _is_running(pid: int) -> bool:
    return pid != _NOBODY and Path(f"/proc/{pid}").exists()


class Duplicates:
    """Finds the copy that a message would repeat. One thread at a time uses it."""

    def __init__(
        self,
        store: MailboxStore,
        unconfirmed: Unconfirmed,
        window_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """With a window of 0 nothing is remembered."""
        self._store = store
        self._unconfirmed = unconfirmed
        self._window_seconds = window_seconds
        self._clock = clock
        self._looked_through: set[Place] = set()

    @property
    def are_found(self) -> bool:
        """Whether the setting is on; else no key is needed."""
        return self._window_seconds > 0

    def add(self, key: bytes) -> None:
        """A copy is about to become visible."""
        self._unconfirmed.add(key)

    def find(self, place: Place, key: bytes) -> str:
        """The name of the copy in this mailbox, durable by now; empty if it has none.

        Raises:
            OSError: the mailbox cannot be read.
            StoreError: the store is not as it should be.
        """
        if self._clock() < self._unconfirmed.since + self._window_seconds:
            self._look_through(place)
        if not self._unconfirmed.may_be_repeated(key):
            return ""
        wanted = key.hex()
        name = next((name for _, found, name in self._copies(place) if found == wanted), "")
        if name:
            # Whoever has published it may have died before it was durable, and promised nothing.
            self._store.sync_names(place)
        return name

    def _look_through(self, place: Place) -> None:
        """Once: remember what the server before us did last."""
        if place in self._looked_through:
            return
        since = self._unconfirmed.since
        before = [(when, key) for when, key, _ in self._copies(place) if when <= since]
        newest = max((when for when, _ in before), default=0.0)
        for when, key in before:
            if when >= newest - LAST_SECONDS:
                self._unconfirmed.abandon(bytes.fromhex(key))
        self._looked_through.add(place)

    def _copies(self, place: Place) -> Iterator[tuple[float, str, str]]:
        """Time, key in hexadecimal and name of what was delivered not too long ago."""
        oldest = self._clock() - self._window_seconds
        for name in self._store.names(place):
            found = _NAME.match(name)
            if found and int(found[1]) >= oldest:
                yield float(f"{found[1]}.{found[2]}"), found[3], name
