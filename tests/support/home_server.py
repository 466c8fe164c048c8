"""An agent for homes and others, in memory, as the wiring makes it; nobody's rights are needed."""

from __future__ import annotations

from pathlib import Path

from lmtpd.delivery.agent import DeliveryAgent, Job, Outcome
from lmtpd.delivery.commit import CommitMode, GroupCommit
from lmtpd.delivery.duplicates import Duplicates, Unconfirmed
from lmtpd.delivery.homes import HomeStore
from lmtpd.delivery.layout import Layout
from lmtpd.delivery.maildir import MaildirStore
from lmtpd.delivery.message import Message
from lmtpd.delivery.tree import MaildirTree
from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import Envelope, Peer, Recipient
from tests.support.faulty_disk import FaultyDisk
from tests.support.lent import LentHomes

ID = "0123456789abcdef"
NOW = 1.0e9


def to(name: str, *mailboxes: str) -> Recipient:
    return Recipient(Address(name, "example.org"), mailboxes or (f"~{name}",))


ALICE, BOB = to("alice"), to("bob")
CAROL = to("carol", "carol@example.org")
TEAM = to("team", "~alice", "carol@example.org")


class HomeServer:
    """Users alice, bob and dave; everybody else has a mailbox below the root."""

    def __init__(self, folder: Path, *, most_open: int = 200, **commit: object) -> None:
        self.homes = LentHomes(folder / "home", "alice", "bob", "dave", path="mail/inbox")
        self.disk = FaultyDisk(has_syncfs=True)
        self.root = folder / "store"
        self.root.mkdir()
        self.tree = MaildirTree(self.root, self.disk)
        others = MaildirStore(Layout("{domain}/{local}"), self.tree, "host")
        self.store = HomeStore(self.homes, others, "host", lambda: NOW, most_open)
        self.unconfirmed = Unconfirmed()
        self.agent = DeliveryAgent(
            self.store,
            GroupCommit(CommitMode(commit.get("mode", "fsync"))),
            Duplicates(self.store, self.unconfirmed, 86400, lambda: NOW),
            "host",
            clock=lambda: NOW,
            has_delivered_to=bool(commit.get("has_delivered_to", True)),
        )

    def deliver(self, *recipients: Recipient, is_spilled: bool = False) -> tuple[Outcome, ...]:
        envelope = Envelope(ID, "sender@example.net", recipients=list(recipients))
        peer = Peer("192.0.2.1")
        message = Message(self.tree, lambda: self.agent.lead(envelope, peer), is_binary=False)
        message.append(b"Subject: x\r\n\r\nHi!\r\n")
        if is_spilled:
            message.spill()
        message.finish()
        message.settle()
        (outcomes,) = self.agent.deliver([Job(message, envelope, peer)])
        message.close()
        assert self.homes.kernel.is_ours
        return outcomes

    def home(self, name: str) -> Path:
        return Path(self.homes.users_there[name].home)

    def maildir(self, name: str) -> Path:
        return self.home(name) / "mail" / "inbox"

    def carol(self) -> list[Path]:
        """Whose mailbox is none of the homes."""
        return sorted((self.root / "example.org" / "carol" / "new").glob("*"))

    def give_back(self) -> None:
        """Close what is kept open, as the end of the process would."""
        for disk in (self.disk, *self.homes.disks.values()):
            disk.give_back()
