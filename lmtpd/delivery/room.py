"""Room: whether one more message can be taken, asked before it is sent.

Of the disk a figure is kept that is some seconds old at most, for to ask the file system may take
as long as it likes; one that hangs leaves the last figure. What fills up meanwhile is noticed when
it is written (452 4.3.1 again). Only the file system of the root is looked at: mailboxes that lie
on others, and homes, have their own.
"""

from __future__ import annotations

import math
from contextlib import suppress

from ..failures import StoreError
from ..protocol import replies
from ..protocol.reply import Reply
from .budget import Budget
from .tree import MaildirTree

LOOK_AT_DISK_S = 2.0
"""Between two looks at the disk."""
FILES_RESERVED = 100
"""Files that can still be made, wherever octets are reserved."""


class Room:
    """What is left of memory and disk, and what is to be left of them."""

    def __init__(self, tree: MaildirTree, reserve: int, budget: Budget) -> None:
        """As if the disk had no end, until there was a look at it.

        Args:
            tree: the store.
            reserve: octets that new messages leave free.
            budget: the memory.
        """
        self._tree = tree
        self._reserve = reserve
        self._budget = budget
        self._free = math.inf

    def refusal(self, octets: int) -> Reply | None:
        """What MAIL hears if there is no room for a message of so many octets (RFC 1870 6.1)."""
        if self._budget.is_spent:
            return replies.MEMORY_SPENT
        return replies.STORAGE_LOW if self._free < octets else None

    @property
    def memory_held(self) -> int:
        """Octets of messages under way."""
        return self._budget.held

    def look(self) -> None:
        """See what is free on the disk; what cannot be seen stays as it was."""
        with suppress(OSError, StoreError), self._tree.open_root() as root:
            octets, files = self._tree.disk.free(root)
            self._free = octets - self._reserve if files >= FILES_RESERVED else -1
