"""The contract between lmtpd and those who know the recipients.

The smallest hook:

    class Staff:
        def __init__(self, config):
            self.names = {"alice", "bob"}

        def verify(self, address, context):
            if address.domain != "example.org":
                return None                              # no opinion: the next hook is asked
            if address.local not in self.names:
                return Verdict.unknown()
            return Verdict.accept(f"{address.local}@example.org")
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

from ..protocol import replies
from ..protocol.address import Address
from ..protocol.envelope import Peer
from ..protocol.reply import Reply


class Kind(enum.Enum):
    """What a verdict can be, and the reply it stands for."""

    ACCEPT = replies.RCPT_OK
    UNKNOWN = replies.UNKNOWN_RECIPIENT
    REJECT = replies.REJECTED
    FULL = replies.MAILBOX_FULL
    DEFER = replies.VERIFICATION_FAILED


@dataclass(frozen=True, slots=True)
class Verdict:
    """A hook's answer about one address; made by the constructors below."""

    kind: Kind
    mailboxes: tuple[str, ...] = ()
    """Where the message goes: one mailbox, or the members of a list."""
    is_catch_all: bool = False
    """Holds only if no hook knows the address itself: a catch-all never hides a real mailbox."""
    text: str = ""
    """What the client is told instead of the usual words."""
    reason: str = ""
    """For the log alone."""

    @classmethod
    def accept(cls, *mailboxes: str, catch_all: bool = False) -> Verdict:
        """The address exists; its mail goes to these mailboxes (`local@domain`).

        Raises:
            ValueError: no mailbox is named: mail that was accepted would vanish.
        """
        if not mailboxes or not all(mailboxes):
            raise ValueError("an accepted recipient needs a mailbox")
        return cls(Kind.ACCEPT, tuple(dict.fromkeys(mailboxes)), catch_all)

    @classmethod
    def unknown(cls) -> Verdict:
        """There is no such address, and no other hook shall be asked. Postfix keeps this 3 days.

        A catch-all still holds, and an address with a detail is asked for again without it.
        """
        return cls(Kind.UNKNOWN)

    @classmethod
    def reject(cls, text: str = "") -> Verdict:
        """The address exists but takes no mail, for good."""
        return cls(Kind.REJECT, text=text)

    @classmethod
    def full(cls) -> Verdict:
        """The mailbox is full; the client tries again later."""
        return cls(Kind.FULL)

    @classmethod
    def defer(cls, reason: str) -> Verdict:
        """Nobody can tell just now. The reason goes to the log, not to the client."""
        return cls(Kind.DEFER, reason=reason)

    @property
    def is_accepted(self) -> bool:
        """The message will be taken."""
        return self.kind is Kind.ACCEPT

    def reply(self) -> Reply:
        """What the client hears, without the address."""
        usual: Reply = self.kind.value
        return usual.saying(self.text) if self.text else usual


@dataclass(frozen=True, slots=True)
class RcptContext:
    """What a hook may know beside the address."""

    peer: Peer
    reverse_path: str | None = None
    """The sender; None when VRFY or EXPN asks, empty for a bounce."""


class RecipientVerifier(Protocol):
    """What a hook is.

    It is asked from many connections at once. It may use sockets freely; one that blocks without
    them (the disk, NSS, a C library) sets `blocking = True` and is then asked on a real thread,
    where it may neither log nor take a lock that the rest of the process takes too.
    """

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:
        """Say what is known of the address; None is no opinion.

        The address comes in its normal form: the domain as A-labels, the local part in lower case
        unless `lmtp-case-sensitive` is on; an address with a detail (`alice+news`) comes first as
        it is, and again without the detail if no hook knew it.
        """
