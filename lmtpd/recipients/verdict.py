"""The contract between lmtpd and those who know the recipients.

docs/HOOKS.md has the smallest hook, and says how one is named, tried and tested.
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
    def accept(cls, *mailboxes: str, catch_all: bool = False, text: str = "") -> Verdict:
        """The address exists; its mail goes to these mailboxes (`local@domain`).

        A mailbox other than the address is the address rewritten; several are a list's members.

        Raises:
            ValueError: no mailbox is named: mail that was accepted would vanish.
        """
        if not mailboxes or not all(mailboxes):
            raise ValueError("an accepted recipient needs a mailbox")
        return cls(Kind.ACCEPT, tuple(dict.fromkeys(mailboxes)), catch_all, text)

    @classmethod
    def unknown(cls, text: str = "") -> Verdict:
        """There is no such address, and no other hook shall be asked. Postfix keeps this 3 days.

        A catch-all still holds, and an address with a detail is asked for again without it.
        """
        return cls(Kind.UNKNOWN, text=text)

    @classmethod
    def reject(cls, text: str = "") -> Verdict:
        """The address exists but takes no mail, for good."""
        return cls(Kind.REJECT, text=text)

    @classmethod
    def full(cls, text: str = "") -> Verdict:
        """The mailbox is full; the client tries again later."""
        return cls(Kind.FULL, text=text)

    @classmethod
    def defer(cls, reason: str, text: str = "") -> Verdict:
        """Nobody can tell just now. The reason goes to the log, the text to the client."""
        return cls(Kind.DEFER, text=text, reason=reason)

    @property
    def is_accepted(self) -> bool:
        """The message will be taken."""
        return self.kind is Kind.ACCEPT

    def __str__(self) -> str:
        """For a person: `accept alice@example.org`, `defer (hook ldap: no route to host)`."""
        kind = "catch-all" if self.is_catch_all else self.kind.name.lower()
        reason = f"({self.reason})" if self.reason else ""
        return " ".join(filter(None, (kind, ", ".join(self.mailboxes), reason)))

    def reply(self) -> Reply:
        """What the client hears, without the address."""
        usual: Reply = self.kind.value
        return usual.saying(self.text) if self.text else usual


class RcptContext:
    """What a hook may know beside the address.

    It notes whether anybody looks: an answer that may depend on the sender must not be given to the
    next one, and that shall not hang on an author's remembering to say so.
    """

    __slots__ = ("_peer", "_reverse_path", "was_read")

    def __init__(self, peer: Peer, reverse_path: str | None = None) -> None:
        self._peer = peer
        self._reverse_path = reverse_path
        self.was_read = False

    @property
    def peer(self) -> Peer:
        """The client."""
        self.was_read = True
        return self._peer

    @property
    def reverse_path(self) -> str | None:
        """The sender; None when VRFY or EXPN asks, empty for a bounce."""
        self.was_read = True
        return self._reverse_path

    def unread(self) -> RcptContext:
        """The same, for somebody who has not looked yet."""
        return RcptContext(self._peer, self._reverse_path)


class AnswerError(ValueError):
    """The back-end has answered, and what it says makes no sense, or is too much."""


class RecipientVerifier(Protocol):
    """What a hook is.

    It is asked from many connections at once. It may use sockets freely; one that blocks without
    them (the disk, NSS, a C library) sets `blocking = True` and is then asked on a real thread,
    where it may neither log nor take a lock that the rest of the process takes too.

    Its answers are kept for a while and shared, unless it read something of the context for them.
    The times are settings (`lmtp-verify-positive-ttl`, `lmtp-verify-negative-ttl`,
    `lmtp-verify-stale`, `lmtp-hook-timeout`); a hook that knows better has attributes
    `positive_ttl_s`, `negative_ttl_s`, `stale_s`, `deadline_s`: 0 keeps nothing. One whose answers
    depend on more than address and context, such as the hour, sets both ttl to 0.

    What goes wrong with the back-end should be raised, never turned into a verdict: by its
    exceptions and its lateness lmtpd knows that it is down, and leaves it alone for a while.
    `Verdict.defer` is an opinion on one address, and AnswerError says that there is none to be had:
    the answer makes no sense. The other way round an address that it cannot cope with is nothing
    else to raise for: a stranger who asks for such addresses would have it left alone.
    """

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:
        """Say what is known of the address; None is no opinion.

        The address comes in its normal form: the domain as A-labels, the local part in lower case
        unless `lmtp-case-sensitive` is on; an address with a detail (`alice+news`) comes first as
        it is, and again without the detail if no hook knew it.
        """
