"""The hook `maildirs`: a mailbox exists if its directory exists in the store."""

from __future__ import annotations

from ..delivery.layout import Layout
from ..delivery.tree import MaildirTree
from ..failures import StoreError, UnsafeMailboxError, told
from ..protocol.address import Address
from .verdict import RcptContext, Verdict


class MaildirsVerifier:
    """Looks, and never creates: making the directory is how an administrator makes a mailbox."""

    blocking = True
    """The disk, or a server behind it, may take its time."""
    positive_ttl_s = 3.0
    """Spares the disk one question for each recipient of a burst. A mailbox that is taken away may
    be accepted so much longer, and is then made again; in a transaction that was open at that
    moment it would be too."""
    negative_ttl_s = 0.0
    """Whoever has just made a mailbox must not be told by us that there is none."""
    stale_s = 0.0
    """If the disk cannot tell, it cannot take the message either."""

    def __init__(self, layout: Layout, tree: MaildirTree) -> None:
        self._layout = layout
        self._tree = tree

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:  # noqa: ARG002
        """Accept if the directory is there; no opinion if not.

        If the store cannot be read nobody can tell, and the address is deferred. Nothing is raised:
        a disk that fails says so at once, may do so for one mailbox alone, and is asked again the
        moment it is back. One that hangs is left alone, like every hook that is late.
        """
        mailbox = address.mailbox
        try:
            parts = self._layout.parts(mailbox)
        except UnsafeMailboxError:
            return None  # no mailbox can have such a name
        try:
            return Verdict.accept(mailbox) if self._tree.holds(parts) else None
        except (OSError, StoreError) as error:
            return Verdict.defer(told(error))
