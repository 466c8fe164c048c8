"""The hook `maildirs`: a mailbox exists if its directory exists in the store."""

from __future__ import annotations

from ..delivery.layout import Layout
from ..delivery.tree import MaildirTree
from ..failures import UnsafeMailboxError
from ..protocol.address import Address
from .verdict import RcptContext, Verdict


class MaildirsVerifier:
    """Looks, and never creates: making the directory is how an administrator makes a mailbox."""

    blocking = True
    """The disk, or a server behind it, may take its time."""

    def __init__(self, layout: Layout, tree: MaildirTree) -> None:
        self._layout = layout
        self._tree = tree

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:  # noqa: ARG002
        """Accept if the directory is there; no opinion if not.

        Raises:
            OSError: the store cannot be read, so nobody can tell.
            StoreError: a link leads out of the store, or its file system is gone.
        """
        mailbox = address.mailbox
        try:
            parts = self._layout.parts(mailbox)
        except UnsafeMailboxError:
            return None  # no mailbox can have such a name
        return Verdict.accept(mailbox) if self._tree.holds(parts) else None
