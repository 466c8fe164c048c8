"""Messages to all their recipients: an outcome for each, in their order, and no copy too many."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lmtpd.delivery.agent import DeliveryAgent, Job, Outcome
from lmtpd.delivery.commit import CommitMode, GroupCommit
from lmtpd.delivery.duplicates import Duplicates, Unconfirmed
from lmtpd.delivery.layout import Layout
from lmtpd.delivery.maildir import MaildirStore
from lmtpd.delivery.message import Message
from lmtpd.delivery.progress import Progress, WithdrawnError
from lmtpd.delivery.stuck import StuckMailboxes
from lmtpd.delivery.tree import MaildirTree
from lmtpd.failures import MailLoopError, UnsafeMailboxError
from lmtpd.protocol import replies
from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import BodyType, Envelope, Peer, Recipient
from lmtpd.protocol.reply import Reply
from tests.support.faulty_disk import Fault, FaultyDisk

TEXT = b"Subject: x\r\n\r\nbody\r\n"
ID = "0123456789abcdef"


def to(address: str, *mailboxes: str) -> Recipient:
    local, domain = address.split("@")
    return Recipient(Address(local, domain), mailboxes or (address,))


ALICE, BOB, CAROL = (to(f"{name}@example.org") for name in ("alice", "bob", "carol"))
TEAM = to("team@example.org", "alice@example.org", "bob@example.org")


class Server:
    """An agent, its store on a faulty disk, and what sessions do with them."""

    def __init__(
        self,
        root: Path,
        quota_exceeded: Reply = replies.MAILBOX_FULL,
        mode: CommitMode = CommitMode.FSYNC,
        *,
        has_delivered_to: bool = True,
    ) -> None:
        self.root = root
        self.disk = FaultyDisk(has_syncfs=True)
        self.tree = MaildirTree(root, self.disk)
        store = MaildirStore(Layout("{domain}/{local}"), self.tree, "host", lambda: 10**18)
        self.agent = DeliveryAgent(
            store,
            GroupCommit(mode),
            Duplicates(store, Unconfirmed(), 0),
            "host",
            quota_exceeded,
            lambda: 10.0**9,
            has_delivered_to=has_delivered_to,
        )

    def job(
        self,
        *recipients: Recipient,
        text: bytes = TEXT,
        is_binary: bool = False,
        is_spilled: bool = False,
        reverse_path: str = "sender@example.net",
    ) -> Job:
        envelope = Envelope(
            ID,
            reverse_path,
            recipients=list(recipients),
            client_name="client",
            body=BodyType.BINARY_MIME if is_binary else BodyType.EIGHT_BIT_MIME,
        )
        peer = Peer("192.0.2.1")
        message = Message(self.tree, lambda: self.agent.lead(envelope, peer), is_binary=is_binary)
        middle = len(text) // 2
        message.append(text[:middle])
        if is_spilled and middle > 100:
            message.spill()
        message.append(text[middle:])
        if is_spilled:
            message.spill()
        message.finish()
        message.settle()
        return Job(message, envelope, peer)

    def deliver_together(self, *jobs: Job) -> list[tuple[Outcome, ...]]:
        try:
            return self.agent.deliver(jobs)
        finally:
            for job in jobs:
                job.message.close()

    def deliver(
        self,
        *recipients: Recipient,
        text: bytes = TEXT,
        is_binary: bool = False,
        is_spilled: bool = False,
        reverse_path: str = "sender@example.net",
    ) -> tuple[Outcome, ...]:
        (outcomes,) = self.deliver_together(
            self.job(
                *recipients,
                text=text,
                is_binary=is_binary,
                is_spilled=is_spilled,
                reverse_path=reverse_path,
            )
        )
        return outcomes

    def copies(self, name: str) -> list[bytes]:
        """What lies in the new/ of a mailbox of example.org."""
        new = self.root / "example.org" / name / "new"
        return [path.read_bytes() for path in sorted(new.iterdir())] if new.exists() else []

    def leftovers(self) -> list[str]:
        return [str(path) for path in self.root.glob("**/tmp/*")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.disk.give_back()


@pytest.fixture
def linking(tmp_path: Path) -> Iterator[Server]:
    """A server whose copies do not name their recipients."""
    server = Server(tmp_path, has_delivered_to=False)
    yield server
    server.disk.give_back()


@pytest.fixture
def syncing(tmp_path: Path) -> Iterator[Server]:
    """A server that uses syncfs."""
    server = Server(tmp_path, mode=CommitMode.SYNCFS)
    yield server
    server.disk.give_back()


def said(outcomes: Sequence[Outcome]) -> list[Reply]:
    return [outcome.reply for outcome in outcomes]


def delivered(recipient: Recipient) -> Reply:
    return replies.DELIVERED.saying(f"Delivered, id {ID}").about(recipient.address)


def test_a_copy(server: Server) -> None:
    (outcome,) = server.deliver(ALICE)
    (copy,) = server.copies("alice")
    lines = copy.split(b"\n")
    assert lines[0] == b"Return-Path: <sender@example.net>"
    assert lines[1] == b"Delivered-To: alice@example.org"
    assert lines[2] == b"Received: from client ([192.0.2.1])"
    assert lines[3].endswith(b"with LMTP id " + ID.encode())
    assert copy.endswith(b"\nSubject: x\n\nbody\n")
    assert outcome.recipient is ALICE
    assert outcome.reply == delivered(ALICE)
    assert outcome.cause is None
    assert outcome.seconds > 0
    path = server.root / "example.org" / "alice" / "new" / outcome.names[0]
    assert path.stat().st_size == len(copy)


@pytest.mark.parametrize("is_spilled", [False, True], ids=["memory", "file"])
@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (b"", b""),
        (b"A: b\r\n", b"A: b\n"),
        (b"\r\nbody\r\n", b"\nbody\n"),
        (b"body without end", b"body without end"),
        (
            b"A: b\r\nReturn-Path: <x>\r\n y\r\n\r\nReturn-Path: kept\r\n",
            b"A: b\n\nReturn-Path: kept\n",
        ),
        (b"\r\nReturn-Path: kept\r\n", b"\nReturn-Path: kept\n"),
        (
            b"A: b\r\n\r\n" + b"0123456789abcdef" * 40_000,
            b"A: b\n\n" + b"0123456789abcdef" * 40_000,
        ),
    ],
    ids=["empty", "header", "body", "no-line", "return-path", "not-in-the-body", "long"],
)
def test_texts(text: bytes, stored: bytes, is_spilled: bool, server: Server) -> None:
    server.deliver(ALICE, text=text, is_spilled=is_spilled)
    (copy,) = server.copies("alice")
    own = copy[: len(copy) - len(stored)]
    assert own + stored == copy
    assert own.startswith(b"Return-Path: <sender@example.net>\n")
    assert own.splitlines()[-1].startswith(b"\tfor <alice@example.org>; ")
    assert own.count(b"\n") == 5


@pytest.mark.parametrize("is_spilled", [False, True], ids=["memory", "file"])
@pytest.mark.parametrize("name", ["alice", "bob"])
def test_binary_is_stored_octet_for_octet(name: str, is_spilled: bool, server: Server) -> None:
    text = b"A: b\r\nReturn-Path: <x>\r\nC: d\r\n\r\n\0\xff\r\n\n\r"
    server.deliver(ALICE, BOB, text=text, is_binary=True, is_spilled=is_spilled)
    (copy,) = server.copies(name)
    own, body = copy.split(b"A: b\r\n")
    assert body == b"C: d\r\n\r\n\0\xff\r\n\n\r"
    assert own.count(b"\r\n") == own.count(b"\n") == 5


# One outcome for each recipient.


def test_outcomes_are_in_the_order_of_rcpt(server: Server) -> None:
    recipients = (CAROL, ALICE, BOB)
    outcomes = server.deliver(*recipients)
    assert [outcome.recipient for outcome in outcomes] == list(recipients)
    assert said(outcomes) == [delivered(one) for one in recipients]
    for name in ("alice", "bob", "carol"):
        (copy,) = server.copies(name)
        assert f"Delivered-To: {name}@example.org\n".encode() in copy


def test_equal_addresses_have_an_outcome_each_and_share_a_copy(server: Server) -> None:
    outcomes = server.deliver(ALICE, ALICE, BOB, ALICE)
    assert said(outcomes) == [delivered(one) for one in (ALICE, ALICE, BOB, ALICE)]
    assert outcomes[0].names == outcomes[1].names == outcomes[3].names
    assert len(server.copies("alice")) == len(server.copies("bob")) == 1


@pytest.mark.parametrize(
    "recipients",
    [
        (ALICE, TEAM),
        (TEAM, ALICE),
        (TEAM, TEAM),
        (to("a@example.org", "alice@example.org"), TEAM),
        (to("twice@example.org", "alice@example.org", "alice@example.org"), BOB),
    ],
)
def test_a_mailbox_that_is_reached_twice_gets_one_copy(
    recipients: tuple[Recipient, ...], server: Server
) -> None:
    outcomes = server.deliver(*recipients)
    assert said(outcomes) == [delivered(one) for one in recipients]
    assert len(server.copies("alice")) == len(server.copies("bob")) == 1
    (copy,) = server.copies("alice")
    assert f"Delivered-To: {recipients[0].address}\n".encode() in copy


def test_the_names_of_a_list(server: Server) -> None:
    (outcome,) = server.deliver(TEAM)
    assert len(outcome.names) == 2
    for name, file in zip(("alice", "bob"), outcome.names, strict=True):
        assert (server.root / "example.org" / name / "new" / file).exists()


def test_no_recipients_no_outcomes(server: Server) -> None:
    assert server.deliver() == ()


def test_a_second_message_is_a_second_copy(server: Server) -> None:
    server.deliver(ALICE)
    server.deliver(ALICE)
    assert len(server.copies("alice")) == 2


# Failures.


def steps(server: Server) -> list[tuple[str, str]]:
    """What was done to files and to the names in new/, and for whom."""
    return [
        (call.kind, call.place.split("/")[1])
        for call in server.disk.made("create", "sync", "sync_filesystem", "link", "rename")
        if call.place.count("/") == 3 or (call.kind != "rename" and call.place.endswith("/new"))
    ]


def test_a_list_is_visible_only_when_each_copy_is_durable(server: Server) -> None:
    server.deliver(TEAM)
    assert steps(server) == [
        ("create", "alice"),
        ("create", "bob"),
        ("sync", "alice"),
        ("sync", "bob"),
        ("rename", "alice"),
        ("rename", "bob"),
        ("sync", "alice"),
        ("sync", "bob"),
    ]


def test_a_list_is_visible_only_when_the_file_system_is_durable(syncing: Server) -> None:
    syncing.deliver(TEAM)
    assert steps(syncing) == [
        ("create", "alice"),
        ("create", "bob"),
        ("sync_filesystem", "alice"),
        ("rename", "alice"),
        ("rename", "bob"),
        ("sync_filesystem", "alice"),
    ]


@pytest.mark.parametrize("kind", ["open_directory", "create", "write", "sync", "close"])
@pytest.mark.parametrize("member", ["alice", "bob"])
def test_a_list_of_which_one_member_cannot_be_prepared(
    kind: str, member: str, server: Server
) -> None:
    fault = Fault(errno.ENOSPC, kind=kind, under=f"example.org/{member}/tmp")
    with server.disk.failing(fault):
        (outcome,) = server.deliver(TEAM)
    assert outcome.reply == replies.STORAGE_FULL.about(TEAM.address)
    assert outcome.names == ()
    assert isinstance(outcome.cause, OSError)
    assert not [*server.copies("alice"), *server.copies("bob"), *server.leftovers()]
    (outcome,) = server.deliver(TEAM)
    assert outcome.reply == delivered(TEAM)


def test_other_recipients_are_not_hurt(server: Server) -> None:
    with server.disk.failing(Fault(errno.EACCES, under="example.org/bob")):
        outcomes = server.deliver(CAROL, TEAM, BOB, ALICE)
    assert said(outcomes) == [
        delivered(CAROL),
        replies.STORE_MISCONFIGURED.about(TEAM.address),
        replies.STORE_MISCONFIGURED.about(BOB.address),
        delivered(ALICE),
    ]
    assert len(server.copies("carol")) == len(server.copies("alice")) == 1
    assert not [*server.copies("bob"), *server.leftovers()]


@pytest.mark.parametrize("kind", ["open_directory", "create", "write"])
def test_a_copy_that_failed_is_tried_again_for_the_next_recipient(
    kind: str, server: Server, tmp_path: Path
) -> None:
    (tmp_path / "dry").mkdir()
    dry = Server(tmp_path / "dry")
    with dry.disk.failing():
        dry.deliver(ALICE)
        number = [call.kind for call in dry.disk.calls].index(kind)
    dry.disk.give_back()
    with server.disk.failing(Fault(errno.EIO, number=number)):
        outcomes = server.deliver(ALICE, ALICE)
    assert said(outcomes) == [replies.INTERNAL_FAULT.about(ALICE.address), delivered(ALICE)]
    assert len(server.copies("alice")) == 1


def test_a_list_whose_last_commit_fails_is_not_delivered(server: Server) -> None:
    """What the disk allows: the first member has its copy by then, and gets no second one here."""
    with server.disk.failing(Fault(errno.EIO, kind="rename", under="example.org/bob")):
        outcomes = server.deliver(TEAM, ALICE)
    assert said(outcomes) == [replies.INTERNAL_FAULT.about(TEAM.address), delivered(ALICE)]
    assert len(server.copies("alice")) == 1
    assert not [*server.copies("bob"), *server.leftovers()]


@pytest.mark.parametrize("quota", [replies.MAILBOX_FULL, replies.QUOTA_EXCEEDED], ids=str)
def test_quota(quota: Reply, tmp_path: Path) -> None:
    server = Server(tmp_path, quota)
    with server.disk.failing(Fault(errno.EDQUOT, kind="write")):
        (outcome,) = server.deliver(ALICE)
    server.disk.give_back()
    assert outcome.reply == quota.about(ALICE.address)


def test_a_loop_is_one_recipients_own(server: Server) -> None:
    text = b"Received: x\r\ndelivered-to: ALICE@example.org\r\n" + TEXT
    outcomes = server.deliver(BOB, ALICE, CAROL, text=text)
    assert said(outcomes) == [
        delivered(BOB),
        replies.MAIL_LOOP.about(ALICE.address),
        delivered(CAROL),
    ]
    assert isinstance(outcomes[1].cause, MailLoopError)
    assert not [*server.copies("alice"), *server.leftovers()]


class Watched(Progress):
    """Whoever watches acts at one step, as another thread would at any moment."""

    def __init__(self, act: Callable[[Progress], object], number: int) -> None:
        super().__init__()
        self._act = act
        self._number = number
        self.places: list[frozenset[str]] = []

    def enter(self, mailbox: str) -> None:
        super().enter(mailbox)
        self._look()

    def reach(self, copies: Sequence[object]) -> None:
        super().reach(copies)
        self._look()

    def _look(self) -> None:
        self.places.append(self.mailboxes())
        if self.steps == self._number:
            self._act(self)


@pytest.mark.parametrize("is_spilled", [False, True], ids=["memory", "file"])
@pytest.mark.parametrize("mode", [CommitMode.FSYNC, CommitMode.SYNCFS])
def test_withdrawn_at_any_step(mode: CommitMode, is_spilled: bool, tmp_path: Path) -> None:
    """Either nothing of it is there, and somebody else delivers it; or it is not to be had."""
    ends, everyone = [], ("alice", "bob", "carol")
    for number in range(1, 100):
        folder = tmp_path / str(number)
        folder.mkdir()
        server = Server(folder, mode=mode)
        job = server.job(ALICE, TEAM, CAROL, is_spilled=is_spilled)
        job.message.keep()
        watched = Watched(Progress.withdraw, number)
        try:
            (outcomes,) = server.agent.deliver([job], watched)
        except WithdrawnError:
            assert [server.copies(name) for name in everyone] == [[], [], []]
            assert server.leftovers() == []
            job.message.close()
            (outcomes,) = server.agent.deliver([job])
        else:
            job.message.close()
        job.message.close()
        assert said(outcomes) == [delivered(one) for one in (ALICE, TEAM, CAROL)]
        assert [len(server.copies(name)) for name in everyone] == [1, 1, 1]
        server.agent.close()
        assert server.disk.kept_open() == []
        ends.append(watched.claim())
        if watched.steps < number:
            break
    assert sorted(ends) == ends, "from some step on it is claimed"
    assert {*ends} == {False, True}
    assert watched.places[:2] == [{"alice@example.org"}] * 2
    assert {"carol@example.org"} in watched.places


def test_a_mailbox_that_is_stuck_hurts_nobody_else(server: Server) -> None:
    stuck = StuckMailboxes()
    stuck.add("another delivery", ["bob@example.org"])
    job = server.job(BOB, ALICE, TEAM)
    (outcomes,) = server.agent.deliver([job], Progress(stuck))
    job.message.close()
    assert said(outcomes) == [
        replies.MAILBOX_STUCK.about(BOB.address),
        delivered(ALICE),
        replies.MAILBOX_STUCK.about(TEAM.address),
    ]
    assert len(server.copies("alice")) == 1
    assert not [*server.copies("bob"), *server.leftovers()]


def test_too_many_hops(server: Server) -> None:
    outcomes = server.deliver(ALICE, BOB, text=b"Received: x\r\n" * 101 + TEXT)
    assert said(outcomes) == [replies.MAIL_LOOP.about(one.address) for one in (ALICE, BOB)]
    assert not [*server.copies("alice"), *server.copies("bob"), *server.leftovers()]


def test_what_was_delivered_is_known_when_it_comes_back(server: Server) -> None:
    server.deliver(ALICE)
    (copy,) = server.copies("alice")
    passed_on = b"Received: from host by another\n" + copy
    (outcome,) = server.deliver(ALICE, text=passed_on.replace(b"\n", b"\r\n"))
    assert outcome.reply == replies.MAIL_LOOP.about(ALICE.address)


def test_delivered_to_in_the_body_is_no_loop(server: Server) -> None:
    outcomes = server.deliver(ALICE, text=TEXT + b"Delivered-To: alice@example.org\r\n")
    assert said(outcomes) == [delivered(ALICE)]


def test_an_unsafe_mailbox_is_the_operators_to_mend(server: Server) -> None:
    outcomes = server.deliver(to("x@example.org", "../x@example.org"), ALICE)
    assert said(outcomes)[0] == replies.STORE_MISCONFIGURED.about(outcomes[0].recipient.address)
    assert isinstance(outcomes[0].cause, UnsafeMailboxError)
    assert said(outcomes)[1] == delivered(ALICE)


def test_what_nobody_foresaw_does_not_bounce(server: Server) -> None:
    (outcome,) = server.deliver(ALICE, reverse_path="\ud800")
    assert outcome.reply == replies.INTERNAL_FAULT.about(ALICE.address)
    assert isinstance(outcome.cause, UnicodeEncodeError)
    assert not [*server.copies("alice"), *server.leftovers()]


class Interruption(BaseException):
    """Stands for what is no Exception."""


@pytest.mark.parametrize("kind", ["open_directory", "create", "write", "sync", "rename"])
def test_an_interruption_passes_and_leaves_nothing(kind: str, server: Server) -> None:
    with server.disk.failing(Fault(Interruption(), kind=kind)), pytest.raises(Interruption):
        server.deliver(TEAM)
    assert not [*server.copies("alice"), *server.copies("bob"), *server.leftovers()]
    kept = {f"example.org/{name}/{one}" for name in ("alice", "bob") for one in ("tmp", "new")}
    assert set(server.disk.kept_open()) <= kept


def test_a_failure_before_the_delivery_has_the_same_words(server: Server) -> None:
    error = OSError(errno.ENOSPC, "No space", "/srv/mail")
    outcome = server.agent.failure(ALICE, error, 1.5)
    assert outcome == Outcome(ALICE, replies.STORAGE_FULL.about(ALICE.address), (), error, 1.5)


def test_an_address_that_is_too_long_to_be_told_is_left_out(server: Server) -> None:
    longest = replace(ALICE, address=Address("a" * 490, "example.org"))
    (outcome,) = server.deliver(longest)
    assert outcome.reply == replies.DELIVERED.saying(f"Delivered, id {ID}")


# Messages that are delivered together.


def test_nothing_to_deliver(server: Server) -> None:
    assert server.agent.deliver([]) == []


def test_outcomes_are_in_the_order_of_the_messages(server: Server) -> None:
    wanted = [(CAROL, ALICE), (), (BOB,), (ALICE,)]
    found = server.deliver_together(*(server.job(*recipients) for recipients in wanted))
    assert [tuple(one.recipient for one in outcomes) for outcomes in found] == wanted
    for recipients, outcomes in zip(wanted, found, strict=True):
        assert said(outcomes) == [delivered(one) for one in recipients]
    assert len(server.copies("alice")) == 2
    assert len(server.copies("bob")) == len(server.copies("carol")) == 1


def test_each_message_goes_to_its_own_recipients(server: Server) -> None:
    texts = {ALICE: b"A: a\r\n", BOB: b"B: b\r\n", CAROL: b"C: c\r\n"}
    server.deliver_together(*(server.job(one, text=text) for one, text in texts.items()))
    for one, text in texts.items():
        (copy,) = server.copies(one.address.local)
        assert copy.endswith(b"\n" + text.replace(b"\r", b""))
        assert f"Delivered-To: {one.address}\n".encode() in copy


def test_messages_that_are_delivered_together_share_what_makes_them_durable(
    server: Server,
) -> None:
    server.deliver_together(server.job(ALICE), server.job(BOB), server.job(ALICE))
    names = ("alice", "bob", "alice")
    assert steps(server) == [
        *(("create", name) for name in names),
        *(("sync", name) for name in names),
        *(("rename", name) for name in names),
        ("sync", "alice"),
        ("sync", "bob"),
    ]


def test_no_message_is_hurt_by_anothers_fault(server: Server) -> None:
    jobs = [server.job(BOB), server.job(CAROL, TEAM), server.job(ALICE)]
    with server.disk.failing(Fault(errno.EDQUOT, kind="sync", under="example.org/bob/tmp")):
        first, second, third = server.deliver_together(*jobs)
    assert said(first) == [replies.MAILBOX_FULL.about(BOB.address)]
    assert said(second) == [delivered(CAROL), replies.MAILBOX_FULL.about(TEAM.address)]
    assert said(third) == [delivered(ALICE)]
    assert len(server.copies("alice")) == 1
    assert not [*server.copies("bob"), *server.leftovers()]


def test_a_folder_that_cannot_be_made_durable_hurts_all_that_were_moved_there(
    server: Server,
) -> None:
    jobs = [server.job(BOB), server.job(CAROL, TEAM), server.job(ALICE)]
    with server.disk.failing(Fault(errno.EIO, kind="sync", under="example.org/alice/new")):
        first, second, third = server.deliver_together(*jobs)
    assert said(first) == [delivered(BOB)]
    assert said(second) == [delivered(CAROL), replies.INTERNAL_FAULT.about(TEAM.address)]
    assert said(third) == [replies.INTERNAL_FAULT.about(ALICE.address)]
    assert not [*server.copies("alice"), *server.leftovers()]


def test_a_message_that_cannot_be_copied_hurts_no_other(server: Server) -> None:
    long = server.job(ALICE, BOB, CAROL, text=b"x" * 100_000, is_spilled=True)
    with server.disk.failing(Fault(errno.EIO, kind="copy")):
        first, second = server.deliver_together(long, server.job(ALICE))
    failed = [replies.INTERNAL_FAULT.about(one.address) for one in (BOB, CAROL)]
    assert said(first) == [delivered(ALICE), *failed]
    assert said(second) == [delivered(ALICE)]
    assert not [*server.copies("bob"), *server.copies("carol"), *server.leftovers()]


# Large messages: their own file is the first recipient's copy.


@pytest.mark.parametrize("has_delivered_to", [True, False], ids=["named", "unnamed"])
def test_the_lead_is_what_stands_on_top_of_the_first_copy(
    has_delivered_to: bool, server: Server, linking: Server
) -> None:
    one = server if has_delivered_to else linking
    job = one.job(BOB, ALICE)
    lead = one.agent.lead(job.envelope, job.peer)
    one.deliver_together(job)
    (copy,) = one.copies("bob")
    assert copy == lead + b"Subject: x\n\nbody\n"


@pytest.mark.parametrize("is_spilled", [False, True], ids=["memory", "file"])
def test_each_copy_has_its_own_fields(is_spilled: bool, server: Server) -> None:
    recipients = (CAROL, ALICE, BOB)
    outcomes = server.deliver(*recipients, is_spilled=is_spilled)
    assert said(outcomes) == [delivered(one) for one in recipients]
    for one, outcome in zip(recipients, outcomes, strict=True):
        (copy,) = server.copies(one.address.local)
        assert copy.splitlines()[1] == f"Delivered-To: {one.address}".encode()
        assert copy.count(b"Return-Path") == copy.count(b"Received") == 1
        assert copy.endswith(b"\nSubject: x\n\nbody\n")
        assert f",S={len(copy)}," in outcome.names[0]
    assert not server.leftovers()


def test_a_large_message_is_written_once_and_copied_for_others(server: Server) -> None:
    job = server.job(ALICE, BOB, is_spilled=True)
    server.disk.calls.clear()
    server.deliver_together(job)
    assert [call.kind for call in server.disk.made("link_unnamed", "create", "write", "copy")] == [
        "link_unnamed",
        "create",
        "write",
        "copy",
    ]


def test_a_large_message_for_many_is_written_once_and_linked(linking: Server) -> None:
    job = linking.job(ALICE, BOB, CAROL, is_spilled=True)
    linking.disk.calls.clear()
    (outcomes,) = linking.deliver_together(job)
    assert said(outcomes) == [delivered(one) for one in (ALICE, BOB, CAROL)]
    assert not linking.disk.made("create", "write", "copy")
    assert len(linking.disk.made("link_unnamed")) == 1
    assert len(linking.disk.made("link")) == 2
    new = linking.root.glob("example.org/*/new/*")
    assert len({path.stat().st_ino for path in new}) == 1


def test_the_file_is_the_first_recipients_alone(server: Server) -> None:
    """Its fields name them: where their copy fails, the others' are copied."""
    text = b"Received: x\r\nDelivered-To: alice@example.org\r\n" + TEXT
    outcomes = server.deliver(ALICE, BOB, text=text, is_spilled=True)
    assert said(outcomes) == [replies.MAIL_LOOP.about(ALICE.address), delivered(BOB)]
    assert not server.disk.made("link_unnamed")
    (copy,) = server.copies("bob")
    assert copy.startswith(b"Return-Path: <sender@example.net>\nDelivered-To: bob@example.org\n")


def test_a_file_that_names_nobody_is_anybodys(linking: Server) -> None:
    text = b"Received: x\r\nDelivered-To: alice@example.org\r\n" + TEXT
    outcomes = linking.deliver(ALICE, BOB, CAROL, text=text, is_spilled=True)
    assert said(outcomes)[1:] == [delivered(BOB), delivered(CAROL)]
    assert [call.place.split("/")[1] for call in linking.disk.made("link_unnamed")] == ["bob"]


@pytest.mark.parametrize("error", [errno.EXDEV, errno.ENOENT, errno.EMLINK])
@pytest.mark.parametrize("has_delivered_to", [True, False], ids=["named", "unnamed"])
def test_where_the_file_gets_no_name_it_is_copied(
    has_delivered_to: bool, error: int, server: Server, linking: Server
) -> None:
    one = server if has_delivered_to else linking
    job = one.job(ALICE, BOB, is_spilled=True)
    with one.disk.failing(Fault(error, kind="link_unnamed")):
        (outcomes,) = one.deliver_together(job)
    assert said(outcomes) == [delivered(ALICE), delivered(BOB)]
    assert len(one.copies("alice")) == len(one.copies("bob")) == 1
    assert len(one.disk.made("copy")) == (2 if has_delivered_to else 1)
    assert not one.leftovers()


def test_a_descriptor_that_cannot_be_had_is_the_first_recipients_fault(server: Server) -> None:
    job = server.job(ALICE, BOB, is_spilled=True)
    with server.disk.failing(Fault(errno.EMFILE, kind="duplicate")):
        (outcomes,) = server.deliver_together(job)
    assert said(outcomes) == [replies.OUT_OF_RESOURCES.about(ALICE.address), delivered(BOB)]
    assert not [*server.copies("alice"), *server.leftovers()]


@pytest.mark.parametrize("kind", ["create", "write", "copy", "sync", "rename"])
def test_a_list_of_which_the_second_fails_takes_the_adopted_copy_back(
    kind: str, server: Server
) -> None:
    job = server.job(TEAM, is_spilled=True)
    with server.disk.failing(Fault(errno.ENOSPC, kind=kind, under="example.org/bob")):
        ((outcome,),) = server.deliver_together(job)
    assert outcome.reply == replies.STORAGE_FULL.about(TEAM.address)
    assert server.disk.made("link_unnamed")
    assert not [*server.copies("alice"), *server.copies("bob"), *server.leftovers()]


@pytest.mark.parametrize(
    "kind",
    [
        "duplicate",
        "link_unnamed",
        "create",
        "copy",
        "sync",
        "rename",
    ],
)
def test_an_interrupted_delivery_of_a_large_message_leaves_nothing(
    kind: str, server: Server
) -> None:
    job = server.job(TEAM, is_spilled=True)
    with server.disk.failing(Fault(Interruption(), kind=kind)), pytest.raises(Interruption):
        server.deliver_together(job)
    assert not [*server.copies("alice"), *server.copies("bob"), *server.leftovers()]
    kept = {f"example.org/{name}/{one}" for name in ("alice", "bob") for one in ("tmp", "new")}
    assert set(server.disk.kept_open()) <= kept


# Copies that are all the same.


def test_copies_that_do_not_name_their_recipients(linking: Server) -> None:
    news = replace(BOB, original="rfc822;bob@example.net")
    linking.deliver(ALICE, news, CAROL)
    ((one,), (other,), (third,)) = (linking.copies(name) for name in ("alice", "bob", "carol"))
    assert one == other == third
    lines = one.split(b"\n")
    assert lines[0] == b"Return-Path: <sender@example.net>"
    assert lines[1] == b"Received: from client ([192.0.2.1])"
    assert lines[2].startswith(b"\tby host (lmtpd) with LMTP id " + ID.encode() + b"; ")
    assert lines[3:] == [b"Subject: x", b"", b"body", b""]


def test_the_same_octets_are_written_and_made_durable_once(linking: Server) -> None:
    outcomes = linking.deliver(ALICE, BOB, ALICE, CAROL)
    assert said(outcomes) == [delivered(one) for one in (ALICE, BOB, ALICE, CAROL)]
    assert steps(linking) == [
        ("create", "alice"),
        ("link", "bob"),
        ("link", "carol"),
        ("sync", "alice"),
        ("rename", "alice"),
        ("rename", "bob"),
        ("rename", "carol"),
        ("sync", "alice"),
        ("sync", "bob"),
        ("sync", "carol"),
    ]
    assert not linking.leftovers()


def test_each_message_has_its_own_octets(linking: Server) -> None:
    jobs = [linking.job(ALICE, BOB, text=b"A: a\r\n"), linking.job(BOB, ALICE, text=b"B: b\r\n")]
    linking.deliver_together(*jobs)
    for name in ("alice", "bob"):
        assert sorted(copy[-5:] for copy in linking.copies(name)) == [b"A: a\n", b"B: b\n"]
    assert len(linking.disk.made("link")) == 2


@pytest.mark.parametrize("kind", ["sync", "close"])
def test_no_name_is_better_than_its_octets(kind: str, linking: Server) -> None:
    """The linked copies are not made durable by themselves: they fail with their source."""
    jobs = [linking.job(ALICE, TEAM, CAROL), linking.job(BOB)]
    with linking.disk.failing(Fault(errno.ENOSPC, kind=kind, under="example.org/alice/tmp/")):
        first, second = linking.deliver_together(*jobs)
    assert said(first) == [replies.STORAGE_FULL.about(one.address) for one in (ALICE, TEAM, CAROL)]
    assert said(second) == [delivered(BOB)]
    assert len(linking.copies("bob")) == 1
    assert not [*linking.copies("alice"), *linking.copies("carol"), *linking.leftovers()]


@pytest.mark.parametrize("kind", ["link", "rename", "sync"])
def test_a_fault_of_one_name_is_not_the_others(kind: str, linking: Server) -> None:
    with linking.disk.failing(Fault(errno.EIO, kind=kind, under="example.org/bob")):
        outcomes = linking.deliver(ALICE, BOB, CAROL)
    fate = delivered(BOB) if kind == "link" else replies.INTERNAL_FAULT.about(BOB.address)
    assert said(outcomes) == [delivered(ALICE), fate, delivered(CAROL)]
    assert [len(linking.copies(name)) for name in ("alice", "bob", "carol")] == [
        1,
        int(kind == "link"),
        1,
    ]
    assert not linking.leftovers()


def test_a_source_that_is_not_published_takes_nothing_with_it(linking: Server) -> None:
    with linking.disk.failing(Fault(errno.EIO, kind="rename", under="example.org/alice")):
        outcomes = linking.deliver(ALICE, BOB)
    assert said(outcomes) == [replies.INTERNAL_FAULT.about(ALICE.address), delivered(BOB)]
    assert not [*linking.copies("alice"), *linking.leftovers()]
    (copy,) = linking.copies("bob")
    assert copy.endswith(b"\nbody\n")


def test_a_source_that_could_not_be_written_is_no_source(linking: Server) -> None:
    with linking.disk.failing(Fault(errno.EIO, kind="write", under="example.org/alice")):
        outcomes = linking.deliver(ALICE, BOB, CAROL)
    assert said(outcomes) == [
        replies.INTERNAL_FAULT.about(ALICE.address),
        delivered(BOB),
        delivered(CAROL),
    ]
    assert [call.place.split("/")[1] for call in linking.disk.made("link")] == ["carol"]


def test_one_mailbox_under_two_names_of_its_domain(linking: Server) -> None:
    """The second name of a file cannot be where the first is: there it is a second file."""
    linking.deliver(ALICE)
    (linking.root / "example.net").symlink_to("example.org")
    outcomes = linking.deliver(ALICE, to("alice@example.net"))
    assert all(outcome.reply.is_success for outcome in outcomes)
    assert len({outcome.names for outcome in outcomes}) == 2
    for outcome in outcomes:
        assert (linking.root / "example.org" / "alice" / "new" / outcome.names[0]).exists()


def test_a_loop_is_noticed_by_the_fields_of_others(linking: Server) -> None:
    text = b"Received: x\r\nDelivered-To: bob@example.org\r\n" + TEXT
    outcomes = linking.deliver(ALICE, BOB, text=text)
    assert said(outcomes) == [delivered(ALICE), replies.MAIL_LOOP.about(BOB.address)]
    assert not linking.copies("bob")
