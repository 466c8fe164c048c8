"""Message: header and body as received, in memory at first, then in a file.

A message that is too large for memory is written once: by then its recipients are known, so its
file begins with the trace fields of the first one, lies where the mail will lie, and becomes that
recipient's copy by getting a name. Until then it has none, and is gone with the process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress

from ..protocol.data import NewlineConverter
from . import trace
from .budget import Budget
from .sizes import Sizes
from .tree import MaildirTree


class Message:
    """Octets in; then content with its header, sizes, and maybe a file."""

    def __init__(
        self,
        tree: MaildirTree,
        lead: Callable[[], bytes],
        budget: Budget | None = None,
        *,
        is_binary: bool,
    ) -> None:
        """An empty message.

        Args:
            tree: where the file is made if one is needed.
            lead: the trace fields that the file begins with; called when it is made.
            budget: of the memory that all messages share; without one each has its full piece.
            is_binary: BODY=BINARYMIME is stored octet for octet (RFC 3030 3); all else gets LF.
        """
        self._tree = tree
        self._make_lead = lead
        self._converter = None if is_binary else NewlineConverter()
        self._memory = bytearray()
        self._budget = budget or Budget()
        self._held = 0
        """What the budget knows of."""
        self._has_begun = False
        self.header = b""
        """The header section, as far as the first piece holds it."""
        self.sizes = Sizes()
        """Of the content, without trace fields."""
        self.file: int | None = None
        """The descriptor of the file that holds the content behind the lead, if there is one."""
        self.lead = Sizes()
        """Of the trace fields that stand before the content there."""
        self.can_be_named = False
        """Whether it can become the copy of the first recipient."""
        self.content = b""
        """What is to be delivered, where there is no file; when it is complete."""
        self._hash = hashlib.sha256()
        self._keepers = 1

    @property
    def size(self) -> int:
        """Octets as stored, without trace fields."""
        return self.sizes.stored + len(self._memory)

    @property
    def is_full(self) -> bool:
        """The memory's share is used up: `spill` is due, on a thread that may wait."""
        return len(self._memory) >= self._budget.piece_octets

    def is_in(self, tree: MaildirTree) -> bool:
        """Whether its file, if there is one, lies below this root."""
        return self._tree is tree

    def digest(self) -> bytes:
        """SHA-256 of the content, for one that is complete."""
        whole = self._hash.copy()
        whole.update(self.content)
        return whole.digest()

    def append(self, data: bytes) -> None:
        """Add content as it came off the wire."""
        self._memory += self._converter.feed(data) if self._converter else data
        self.account()

    def account(self) -> None:
        """Tell the budget what is held, on the event loop: after a thread has changed it."""
        held = len(self._memory) + len(self.content)
        self._budget.change(held - self._held)
        self._held = held

    def spill(self) -> None:
        """Move what is in memory to the file.

        Raises:
            OSError: the disk refuses.
            StoreError: the store is not as it should be.
        """
        disk, lead = self._tree.disk, b""
        if self.file is None:
            lead = self._make_lead()
            self.lead = Sizes(lead)
            with self._tree.open_root() as root:
                self.file, self.can_be_named = disk.create_unnamed(root)
        data = self._take()
        self._hash.update(data)
        disk.write(self.file, lead, data)

    def finish(self) -> None:
        """The content is complete; it is in memory unless there is a file."""
        self._memory += self._converter.finish() if self._converter else b""
        if self.file is None:
            self.content = self._take()

    def settle(self) -> None:
        """A complete message's file: bring the rest there, and make its octets durable.

        Only the name is left to do then, and other deliveries do not wait for a large one. A file
        that only others are copied from needs not be durable.

        Raises:
            OSError: the disk refuses.
        """
        if self.file is not None:
            self.spill()
            if self.can_be_named:
                self._tree.disk.sync(self.file)

    def keep(self) -> None:
        """One more has to close it before it is gone: a thread that may still read its file."""
        self._keepers += 1

    def close(self) -> None:
        """Let go of memory and file; a fault of a file without a name hurts nobody any more."""
        self._keepers -= 1
        if self._keepers > 0:
            return
        self._memory.clear()
        self.content = b""
        self.account()
        descriptor, self.file = self.file, None
        if descriptor is not None:
            with suppress(OSError):
                self._tree.disk.close(descriptor)

    def _take(self) -> bytes:
        """What is in memory, counted; the first piece without an older Return-Path."""
        data = bytes(self._memory)
        self._memory.clear()
        if not self._has_begun:
            self._has_begun = True
            self.header = trace.header_section(data)
            data = trace.without_return_path(self.header, data)
        self.sizes.add(data)
        return data
