"""Every system call of a delivery fails once, in every way; the promise holds each time.

The reply is 2xx if and only if exactly one whole file lies in each new/ that the recipient reaches.
Else it is the documented 4xx, in the words of the table, and nothing is in new/: with one exception
that a list cannot escape, a member that was moved there before the fault of another. No descriptor
is lost, nothing is left in tmp/, once the fault is gone the same agent delivers, and whoever has
nothing to do with the fault is not hurt by it.

So it is for each way of making copies durable, for one message and for several at one time.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from lmtpd.delivery.agent import DeliveryAgent, Job, Outcome
from lmtpd.delivery.commit import CommitMode, GroupCommit
from lmtpd.delivery.duplicates import Duplicates, Unconfirmed
from lmtpd.delivery.layout import Layout
from lmtpd.delivery.maildir import MaildirStore
from lmtpd.delivery.message import Message
from lmtpd.delivery.tree import MaildirTree
from lmtpd.failures import DeliveryError
from lmtpd.protocol import replies
from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import Envelope, Peer, Recipient
from lmtpd.protocol.reply import Reply
from tests.support.faulty_disk import (
    KINDS,
    Call,
    Fault,
    FaultyDisk,
    open_descriptors,
    without_tmpfile,
)

REPLIES = {
    errno.ENOSPC: replies.STORAGE_FULL,
    errno.EDQUOT: replies.MAILBOX_FULL,
    errno.EACCES: replies.STORE_MISCONFIGURED,
    errno.EPERM: replies.STORE_MISCONFIGURED,
    errno.EROFS: replies.STORE_MISCONFIGURED,
    errno.EMFILE: replies.OUT_OF_RESOURCES,
    errno.ENFILE: replies.OUT_OF_RESOURCES,
    errno.ENOMEM: replies.OUT_OF_RESOURCES,
    errno.EIO: replies.INTERNAL_FAULT,
    errno.ENOENT: replies.INTERNAL_FAULT,
    errno.ENOTDIR: replies.INTERNAL_FAULT,
    errno.ENAMETOOLONG: replies.INTERNAL_FAULT,
    errno.ELOOP: replies.INTERNAL_FAULT,
    errno.ESTALE: replies.INTERNAL_FAULT,
}

TEXT = b"Subject: x\r\n\r\n" + b"0123456789abcde\r\n" * 200


def recipient(name: str, *members: str) -> Recipient:
    mailboxes = tuple(f"{member}@example.org" for member in members or (name,))
    return Recipient(Address(name, "example.org"), mailboxes)


ALICE, BOB, CAROL = (recipient(name) for name in ("alice", "bob", "carol"))
TEAM = recipient("team", "alice", "bob")
CREW = recipient("crew", "bob", "carol")


@dataclass(frozen=True)
class Scenario:
    """Messages that are delivered together, what is there before, and how they are held."""

    jobs: tuple[tuple[Recipient, ...], ...]
    """The recipients of each message."""
    exists: bool = True
    is_open: bool = False
    """The server has delivered there before."""
    is_spilled: bool = False
    """The messages are in files of their own, as large ones are."""
    has_tmpfile: bool = True
    is_mounted: bool = False
    has_delivered_to: bool = True
    finds_repetitions: bool = False

    @property
    def is_adopted(self) -> bool:
        """A message's own file becomes a copy of it."""
        return self.is_spilled and self.has_tmpfile

    @property
    def has_other_files(self) -> bool:
        """There are copies that are neither the message's own file nor a second name."""
        boxes = ({box for one in job for box in one.mailboxes} for job in self.jobs)
        is_one_enough = not self.has_delivered_to or max(map(len, boxes)) == 1
        return not self.is_adopted or not is_one_enough

    @property
    def names(self) -> tuple[str, ...]:
        """The mailboxes' local parts."""
        everyone = (one for recipients in self.jobs for one in recipients)
        return tuple(sorted({_name(box) for one in everyone for box in one.mailboxes}))


def _name(mailbox: str) -> str:
    return mailbox.partition("@")[0]


SCENARIOS = {
    "existing": Scenario(((ALICE,),)),
    "open": Scenario(((ALICE,),), is_open=True),
    "new": Scenario(((ALICE,),), exists=False),
    "spilled": Scenario(((ALICE,),), is_open=True, is_spilled=True),
    "spilled-new": Scenario(((ALICE,),), exists=False, is_spilled=True),
    "spilled-copied": Scenario(((ALICE, BOB),), is_open=True, is_spilled=True),
    "spilled-list": Scenario(((TEAM,),), is_open=True, is_spilled=True),
    "spilled-linked": Scenario(
        ((ALICE, BOB, CAROL),), is_open=True, is_spilled=True, has_delivered_to=False
    ),
    "no-tmpfile": Scenario(((ALICE, BOB),), is_open=True, is_spilled=True, has_tmpfile=False),
    "list": Scenario(((TEAM,),), is_open=True),
    "mounted": Scenario(((ALICE,),), is_mounted=True),
    "repetitions": Scenario(((ALICE, BOB),), finds_repetitions=True),
    "repetitions-new": Scenario(((TEAM,),), exists=False, finds_repetitions=True),
    "linked": Scenario(((ALICE, BOB, CAROL),), is_open=True, has_delivered_to=False),
    "linked-list": Scenario(((ALICE, CREW),), is_open=True, has_delivered_to=False),
    "group": Scenario(((ALICE,), (BOB, CAROL), (ALICE,)), is_open=True),
    "group-new": Scenario(((ALICE,), (ALICE,), (BOB,)), exists=False),
    "group-spilled": Scenario(((ALICE,), (CREW,), (BOB,)), is_open=True, is_spilled=True),
    "group-linked": Scenario(((ALICE, BOB), (BOB, ALICE)), is_open=True, has_delivered_to=False),
}

each_scenario = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)


@dataclass(frozen=True)
class Way:
    """How copies are made durable."""

    mode: CommitMode
    has_syncfs: bool = True
    syncfs_fails: bool = False
    """Each time, for instance because a neighbour's write was lost: fsync has to tell."""


WAYS = {
    "fsync": Way(CommitMode.FSYNC),
    "syncfs": Way(CommitMode.SYNCFS),
    "syncfs-fails": Way(CommitMode.SYNCFS, syncfs_fails=True),
    "no-syncfs": Way(CommitMode.SYNCFS, has_syncfs=False),
}
each_way = pytest.mark.parametrize("way", [WAYS["fsync"], WAYS["syncfs"]], ids=["fsync", "syncfs"])


def expected_calls(name: str, way: str) -> frozenset[str]:
    """Which calls make up which scenario; what is not in here could not be made to fail."""
    scenario = SCENARIOS[name]
    kinds = {"write", "rename", "close"}
    kinds |= {"create"} if scenario.has_other_files else set()
    kinds |= {"identity_at"} if scenario.is_open else set()
    # A directory that is seen for the first time is made durable by fsync whatever the way, and so
    # is a message's own file.
    own_file = scenario.is_spilled and scenario.has_tmpfile
    always = set() if scenario.is_open and not own_file else {"sync"}
    kinds |= always | (set() if way == "syncfs" else {"sync"})
    kinds |= {"sync_filesystem"} if way in ("syncfs", "syncfs-fails") else set()
    if not scenario.is_open or scenario.is_spilled:
        kinds |= {"open_root"}
    if not scenario.is_open:
        kinds |= {"open_directory", "identity"}
    if scenario.is_spilled:
        kinds |= {"create_unnamed"}
        kinds |= {"duplicate", "link_unnamed"} if scenario.has_tmpfile else set()
        kinds |= {"copy"} if scenario.has_other_files else set()
        kinds |= set() if scenario.has_tmpfile else {"unlink"}
    kinds |= {"names"} if scenario.finds_repetitions and scenario.exists else set()
    kinds |= {"make_directory"} if not scenario.exists else set()
    kinds |= {"is_mount_point"} if scenario.is_mounted else set()
    kinds |= {"link"} if not scenario.has_delivered_to else set()
    if name == "group-new":  # the second message finds the mailbox open
        kinds |= {"identity_at"}
    return frozenset(kinds)


BEFORE_THE_WAYS_PART = {
    "open_root",
    "open_directory",
    "make_directory",
    "identity",
    "identity_at",
    "is_mount_point",
    "names",
    "create_unnamed",
    "duplicate",
    "link_unnamed",
    "copy",
}
"""No copy is complete when these are called: they are the same for all ways."""

NOTHING_UNCONFIRMED = Unconfirmed()
CASES = [(name, way) for name in SCENARIOS for way in WAYS]
Files = dict[str, dict[str, bytes]]


class Server:
    """An agent on a store of its own, used as sessions use it."""

    def __init__(self, root: Path, scenario: Scenario, way: Way) -> None:
        for name in scenario.names if scenario.exists else ():
            for folder in ("tmp", "new", "cur"):
                (root / "example.org" / name / folder).mkdir(parents=True)
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.scenario = scenario
        self.way = way
        self.disk = FaultyDisk(has_syncfs=way.has_syncfs)
        self.disk.is_mounted = scenario.is_mounted
        self.tree = MaildirTree(root, self.disk)
        store = MaildirStore(Layout("{domain}/{local}"), self.tree, "host")
        self.unconfirmed = Unconfirmed() if scenario.finds_repetitions else NOTHING_UNCONFIRMED
        window_s = 86400 if scenario.finds_repetitions else 0
        self.agent = DeliveryAgent(
            store,
            GroupCommit(way.mode),
            Duplicates(store, self.unconfirmed, window_s),
            "host",
            clock=lambda: 10.0**9,
            has_delivered_to=scenario.has_delivered_to,
        )
        self.before_delivery: Callable[[Message], object] = lambda _: None
        """Called with each message that is complete."""
        if scenario.is_open:
            self.deliver()
            for path in root.glob("*/*/new/*"):
                path.unlink()

    def deliver(self, text: bytes = TEXT, *faults: Fault) -> list[tuple[Outcome, ...]]:
        """The outcomes for each message, in their order."""
        always = [Fault(errno.EIO, kind="sync_filesystem")] if self.way.syncfs_fails else []
        kernel = nullcontext() if self.scenario.has_tmpfile else without_tmpfile()
        jobs = [self._job(number) for number in range(len(self.scenario.jobs))]
        found: list[tuple[Outcome, ...]] = [() for _ in jobs]
        ready: dict[int, Job] = {}
        try:
            with kernel, self.disk.failing(*faults, *always):
                for number, job in enumerate(jobs):
                    try:
                        self._fill(job.message, number, text)
                    except (OSError, DeliveryError) as error:
                        recipients = job.envelope.recipients
                        found[number] = tuple(self.agent.failure(one, error) for one in recipients)
                    else:
                        ready[number] = job
                        self.before_delivery(job.message)
                outcomes = self.agent.deliver(list(ready.values()))
            for number, each in zip(ready, outcomes, strict=True):
                found[number] = each
            return found
        finally:
            for job in jobs:
                job.message.close()

    def _job(self, number: int) -> Job:
        envelope = Envelope(
            identifier(number),
            f"{number}@example.net",
            recipients=list(self.scenario.jobs[number]),
        )
        peer = Peer("192.0.2.1")
        message = Message(self.tree, lambda: self.agent.lead(envelope, peer), is_binary=False)
        return Job(message, envelope, peer)

    def _fill(self, message: Message, number: int, text: bytes) -> None:
        """As a session does; only that this is much for one message."""
        middle = len(text) // 2
        message.append(b"Number: %d\r\n" % number + text[:middle])
        if self.scenario.is_spilled:
            message.spill()
        message.append(text[middle:])
        message.finish()
        message.settle()

    def copies(self) -> Files:
        """For each mailbox, names and contents of what is in new/."""
        found: Files = {name: {} for name in self.scenario.names}
        for path in self.root.glob("example.org/*/new/*"):
            found[path.parts[-3]][path.name] = path.read_bytes()
        return found

    def leftovers(self) -> list[str]:
        found = (*self.root.glob("example.org/*/tmp/*"), *self.root.glob(".*"))
        return [str(path.relative_to(self.root)) for path in found]

    def lost_descriptors(self) -> list[str]:
        """What is open and is not the tmp/ or new/ of a mailbox, once."""
        places = (f"example.org/{name}" for name in self.scenario.names)
        kept = [f"{place}/{folder}" for place in places for folder in ("tmp", "new")]
        lost = self.disk.kept_open()
        for one, other in zip(kept[::2], kept[1::2], strict=True):
            if one in lost and other in lost:
                lost.remove(one)
                lost.remove(other)
        return lost


def identifier(number: int) -> str:
    """The id of one message."""
    return f"{number:x}" * 16


def free_descriptors() -> list[int]:
    """The numbers that the next descriptors will get."""
    free = []
    for number in range(1000):
        try:
            os.fstat(number)
        except OSError:
            free.append(number)
    return free


def of_message(number: int, found: dict[str, bytes]) -> dict[str, bytes]:
    """Those files that are copies of this message."""
    return {name: content for name, content in found.items() if is_of_message(number, name)}


def is_of_message(number: int, name: str) -> bool:
    """By the id in the name of a file."""
    return f"R{identifier(number)}" in name


Right = dict[tuple[int, str], bytes]
"""The one content that the copy of a message in a mailbox may have."""


def right(scenario: Scenario, root: Path, text: bytes = TEXT) -> Right:
    """What a delivery without any fault makes."""
    server = Server(root, scenario, WAYS["fsync"])
    assert all(one.reply.is_success for each in server.deliver(text) for one in each)
    contents: Right = {}
    for mailbox, found in server.copies().items():
        for number in range(len(scenario.jobs)):
            for content in of_message(number, found).values():
                assert content.endswith(text.replace(b"\r\n", b"\n"))
                assert b"\nNumber: %d\n" % number in content
                contents[number, mailbox] = content
    server.disk.give_back()
    return contents


def complaints(
    server: Server, outcomes: list[tuple[Outcome, ...]], whole: Right, expected: Reply
) -> Iterator[str]:
    """What is wrong with these outcomes."""
    copies = server.copies()
    if sum(map(len, copies.values())) > len(whole):
        yield f"too many files: {copies}"
    for number, recipients in enumerate(server.scenario.jobs):
        if [outcome.recipient for outcome in outcomes[number]] != list(recipients):
            yield f"message {number} has the outcomes of others"
        for outcome in outcomes[number]:
            for complaint in _complaints(number, outcome, copies, whole, expected):
                yield f"message {number}, {outcome.recipient.address}: {complaint}"


def _complaints(
    number: int, outcome: Outcome, copies: Files, whole: Right, expected: Reply
) -> Iterator[str]:
    boxes = [_name(mailbox) for mailbox in outcome.recipient.mailboxes]
    found = [of_message(number, copies[box]) for box in boxes]
    for box, files in zip(boxes, found, strict=True):
        if any(content != whole[number, box] for content in files.values()):
            yield f"a file in the new/ of {box} is not the message"
    names = [list(files) for files in found]
    if outcome.reply.is_success != all(len(one) == 1 for one in names):
        yield f"{outcome.reply} but new/ holds {names}"
    if outcome.reply.is_success:
        if list(outcome.names) != [name for one in names for name in one]:
            yield f"names {outcome.names}, but new/ holds {names}"
        words = f"Delivered, id {identifier(number)}"
        if outcome.reply != replies.DELIVERED.saying(words).about(outcome.recipient.address):
            yield f"success is told as {outcome.reply}"
        return
    if outcome.reply != expected.about(outcome.recipient.address):
        yield f"{outcome.reply} where {expected} was due"
    if outcome.names or not outcome.cause:
        yield f"a failure with names {outcome.names} and cause {outcome.cause!r}"
    if any(names) and len(boxes) == 1:
        yield f"{outcome.reply} but new/ holds {names}"


def indiscretions(reply: Reply, root: Path, number: int) -> Iterator[str]:
    """What is none of the peer's business."""
    said = str(reply).partition("> ")[2]
    secrets = (str(root), "alice", "tmp", os.strerror(number), errno.errorcode[number])
    for secret in (*secrets, "Errno", "Error", "Exception", "Traceback", "lmtpd/"):
        if secret in said:
            yield f"the reply says {secret}: {said}"


def may_be_hurt(
    call: Call, scenario: Scenario, outcomes: list[tuple[Outcome, ...]]
) -> Iterator[str]:
    """Whoever failed has to have something to do with the call that did."""
    failed = [
        (number, outcome.recipient)
        for number, each in enumerate(outcomes)
        for outcome in each
        if not outcome.reply.is_success
    ]
    place = call.place.split("/")
    touched = place[1] if len(place) > 1 else ""
    if call.kind in ("unlink", "identity_at", "link", "link_unnamed") and not place[0].startswith(
        "."
    ):
        yield from (f"{one} is hurt by {call.kind}" for one in failed)
    for number, one in failed:
        is_linked = not scenario.has_delivered_to
        is_members = touched in map(_name, one.mailboxes)
        is_other_message = len(place) == 4 and not is_of_message(number, place[3])
        if is_other_message or (touched and not is_members and not is_linked):
            yield f"{one.address} of message {number} is hurt"
    # What is shared: the new/ of a mailbox, the octets of linked copies, a message's own file.
    is_shared = call.kind == "sync" and place[-1] == "new"
    is_shared |= call.kind in ("sync", "close") and not scenario.has_delivered_to
    is_shared |= place[0].startswith(".incoming") and call.kind != "duplicate"
    is_shared |= scenario.is_spilled and call.place == "."
    if len(failed) > 1 and not is_shared:
        yield f"{len(failed)} are hurt by one fault"
    if scenario.is_spilled and len({number for number, _ in failed}) > 1 and place[-1] != "new":
        yield "several messages are hurt by the fault of one"


@pytest.mark.parametrize(("name", "way"), CASES)
def test_the_calls_are_known(name: str, way: str, tmp_path: Path) -> None:
    server = Server(tmp_path / "store", SCENARIOS[name], WAYS[way])
    outcomes = server.deliver()
    assert all(one.reply.is_success for each in outcomes for one in each)
    assert {call.kind for call in server.disk.calls} == expected_calls(name, way)
    server.disk.give_back()


def test_every_call_is_made_by_some_delivery() -> None:
    """But for what the verification of recipients asks, and MAIL."""
    made = {kind for name, way in CASES for kind in expected_calls(name, way)}
    assert made == set(KINDS) - {"is_plain_directory", "free"}


@pytest.mark.parametrize(
    ("name", "way", "kind"),
    [
        pytest.param(
            *(name, way, kind),
        )
        for name, way in CASES
        for kind in sorted(expected_calls(name, way))
        if way == "fsync" or (way != "no-syncfs" and kind not in BEFORE_THE_WAYS_PART)
    ],
)
def test_each_call_and_each_errno(name: str, way: str, kind: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    whole = right(scenario, tmp_path / "right")
    server = Server(tmp_path / "dry", scenario, WAYS[way])
    server.deliver()
    calls = list(server.disk.calls)
    server.disk.give_back()
    found: list[str] = []
    for number, call in enumerate(calls):
        for error, expected in REPLIES.items() if call.kind == kind else ():
            server = Server(tmp_path / f"{number}-{error}", scenario, WAYS[way])
            wrong = list(_wrong_after(server, Fault(error, number=number), whole, call, expected))
            server.disk.give_back()
            at = f"{errno.errorcode[error]} at {number}, {kind} of {call.place}"
            found += (f"{at}: {text}" for text in wrong)
    assert not found, "\n" + "\n".join(found)


def _wrong_after(
    server: Server, fault: Fault, whole: Right, call: Call, expected: Reply
) -> Iterator[str]:
    assert isinstance(fault.error, int)
    try:
        outcomes = server.deliver(TEXT, fault)
    except OSError as raised:
        yield f"raised, so nobody hears a reply: {raised!r}"
        return
    yield from complaints(server, outcomes, whole, expected)
    yield from may_be_hurt(call, server.scenario, outcomes)
    for outcome in (one for each in outcomes for one in each):
        yield from indiscretions(outcome.reply, server.root, fault.error)
    if server.lost_descriptors():
        yield f"descriptors are lost: {server.lost_descriptors()}"
    if call.kind != "unlink" and server.leftovers():
        yield f"left over: {server.leftovers()}"
    there = server.copies()
    if not all(one.reply.is_success for each in server.deliver() for one in each):
        yield "the next delivery fails too"
    for name, now in server.copies().items():
        if len(now) != len(there[name]) + sum(1 for _, box in whole if box == name):
            yield "the next delivery is not there"


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(one, id=name) for name, one in SCENARIOS.items()],
)
@pytest.mark.parametrize(
    ("way", "error"),
    [
        ("fsync", errno.EIO),
        ("fsync", errno.ENOSPC),
        ("fsync", errno.EROFS),
        ("syncfs", errno.EROFS),
        ("syncfs-fails", errno.ENOSPC),
    ],
)
def test_a_disk_that_fails_from_some_call_on(
    way: str, error: int, scenario: Scenario, tmp_path: Path
) -> None:
    """Nothing can be taken away either: a second copy may be; a loss, or a half, may not."""
    whole = right(scenario, tmp_path / "right")
    server = Server(tmp_path / "dry", scenario, WAYS[way])
    server.deliver()
    last = len(server.disk.calls)
    server.disk.give_back()
    for since in range(last + 1):
        server = Server(tmp_path / str(since), scenario, WAYS[way])
        outcomes = server.deliver(TEXT, Fault(error, since=since))
        copies = server.copies()
        for number, each in enumerate(outcomes):
            for outcome in each:
                boxes = [_name(mailbox) for mailbox in outcome.recipient.mailboxes]
                found = {box: of_message(number, copies[box]) for box in boxes}
                for box, files in found.items():
                    assert all(one == whole[number, box] for one in files.values())
                if outcome.reply.is_success:
                    assert all(len(files) == 1 for files in found.values())
                else:
                    assert outcome.reply == REPLIES[error].about(outcome.recipient.address)
        assert server.lost_descriptors() == []
        server.disk.give_back()


@pytest.mark.parametrize("error", [errno.EIO, errno.EMFILE, errno.EACCES], ids=errno.errorcode.get)
def test_a_repetition_makes_no_second_copy_whatever_fails(error: int, tmp_path: Path) -> None:
    scenario = SCENARIOS["repetitions"]

    def repeated(root: Path) -> tuple[Server, Files]:
        """A server whose client has not heard of the first delivery."""
        server = Server(root, scenario, WAYS["fsync"])
        for outcome in server.deliver()[0]:
            server.unconfirmed.abandon(outcome.key)
        return server, server.copies()

    dry, copies = repeated(tmp_path / "dry")
    assert [(one.reply.is_success, one.is_repetition) for one in dry.deliver()[0]] == [
        (True, True),
        (True, True),
    ]
    assert dry.copies() == copies
    calls = list(dry.disk.calls)
    dry.disk.give_back()
    assert {call.kind for call in calls} >= {"open_directory", "names"}
    for number in range(len(calls)):
        server, copies = repeated(tmp_path / str(number))
        (outcomes,) = server.deliver(TEXT, Fault(error, number=number))
        for outcome in outcomes:
            assert outcome.reply.is_success is outcome.is_repetition
            if not outcome.is_repetition:
                assert outcome.reply == REPLIES[error].about(outcome.recipient.address)
        assert server.copies() == copies
        assert server.lost_descriptors() == []
        assert all(one.is_repetition for one in server.deliver()[0])
        assert server.copies() == copies
        server.disk.give_back()


@each_scenario
@pytest.mark.parametrize("most", [1, 7, 4096])
def test_short_writes(
    most: int, scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = right(scenario, tmp_path / "right")
    server = Server(tmp_path / "store", scenario, WAYS["fsync"])
    write, copy = os.write, os.copy_file_range

    def write_some(file: int, data: bytes) -> int:
        return write(file, bytes(data[:most]))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write_some)
        patched.setattr(os, "writev", lambda file, data: write_some(file, b"".join(data)))
        patched.setattr(
            os, "copy_file_range", lambda one, to, size, at: copy(one, to, min(size, most), at)
        )
        outcomes = server.deliver()
    server.disk.give_back()
    assert all(one.reply.is_success for each in outcomes for one in each)
    assert not list(complaints(server, outcomes, whole, replies.INTERNAL_FAULT))


COPYING = {name: one for name, one in SCENARIOS.items() if one.is_spilled and one.has_other_files}
each_copying_scenario = pytest.mark.parametrize("scenario", COPYING.values(), ids=COPYING)


@each_copying_scenario
@pytest.mark.parametrize(
    "error",
    [errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM],
    ids=errno.errorcode.get,
)
def test_a_file_system_that_copies_nothing_by_itself(
    error: int, scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = right(scenario, tmp_path / "right")
    server = Server(tmp_path / "store", scenario, WAYS["fsync"])
    refusals = 0

    def refuse(*_: int) -> int:
        nonlocal refusals
        refusals += 1
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patched:
        patched.setattr(os, "copy_file_range", refuse)
        outcomes = server.deliver()
    server.disk.give_back()
    assert refusals
    assert all(one.reply.is_success for each in outcomes for one in each)
    assert not list(complaints(server, outcomes, whole, replies.INTERNAL_FAULT))


@each_copying_scenario
@pytest.mark.parametrize("can_copy", [True, False], ids=["copied", "read-and-written"])
@pytest.mark.parametrize("left", [0, 100, -1], ids="{}-left".format)
def test_a_file_that_lost_its_end_is_not_delivered_in_part(
    left: int, can_copy: bool, scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first recipient's copy is the file itself; here no file may become one."""
    server = Server(tmp_path / "store", scenario, WAYS["fsync"])

    def shorten(message: Message) -> None:
        assert message.file is not None
        size = os.fstat(message.file).st_size
        os.ftruncate(message.file, left if left >= 0 else size + left)

    def refuse(*_: int) -> int:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    server.before_delivery = shorten
    with monkeypatch.context() as patched:
        if not can_copy:
            patched.setattr(os, "copy_file_range", refuse)
        outcomes = server.deliver(TEXT, Fault(errno.EXDEV, kind="link_unnamed"))
    for outcome in (one for each in outcomes for one in each):
        assert outcome.reply == replies.INTERNAL_FAULT.about(outcome.recipient.address)
    assert not any(server.copies().values())
    assert server.leftovers() == []
    assert server.lost_descriptors() == []
    server.before_delivery = lambda _: None
    assert all(one.reply.is_success for each in server.deliver() for one in each)
    server.disk.give_back()


SPILLED = {name: one for name, one in SCENARIOS.items() if one.is_spilled}


@each_way
@pytest.mark.parametrize("scenario", SPILLED.values(), ids=SPILLED)
@pytest.mark.parametrize(
    "error", [errno.EXDEV, errno.ENOENT, errno.EMLINK, errno.EPERM], ids=errno.errorcode.get
)
def test_where_a_file_gets_no_name_all_copies_are_copied(
    error: int, scenario: Scenario, way: Way, tmp_path: Path
) -> None:
    whole = right(scenario, tmp_path / "right")
    server = Server(tmp_path / "store", scenario, way)
    outcomes = server.deliver(TEXT, Fault(error, kind="link_unnamed"))
    assert all(one.reply.is_success for each in outcomes for one in each)
    assert not list(complaints(server, outcomes, whole, replies.INTERNAL_FAULT))
    assert server.disk.made("copy")
    assert server.leftovers() == []
    assert server.lost_descriptors() == []
    server.disk.give_back()


@pytest.mark.parametrize("kind", ["create", "write", "copy", "sync", "rename"])
def test_a_list_whose_other_member_fails_when_the_first_has_the_file(
    kind: str, tmp_path: Path
) -> None:
    """What was adopted goes again, and whoever comes next gets a copy all the same."""
    scenario = Scenario(((TEAM, ALICE),), is_open=True, is_spilled=True)
    server = Server(tmp_path / "store", scenario, WAYS["fsync"])
    (outcomes,) = server.deliver(TEXT, Fault(errno.ENOSPC, kind=kind, under="example.org/bob"))
    assert len(server.disk.made("link_unnamed")) == 1
    team, alice = outcomes
    assert team.reply == replies.STORAGE_FULL.about(TEAM.address)
    assert alice.reply.is_success
    copies = server.copies()
    assert [len(copies[name]) for name in ("alice", "bob")] == [1, 0]
    assert server.leftovers() == []
    assert server.lost_descriptors() == []
    server.disk.give_back()


@contextmanager
def limited(what: int, value: int) -> Iterator[None]:
    """A limit of the process, as the kernel keeps it."""
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


@each_way
@each_scenario
def test_a_real_limit_on_the_size_of_files(scenario: Scenario, way: Way, tmp_path: Path) -> None:
    """The kernel writes what it may, then says EFBIG."""
    text = TEXT + b"x" * 400_000
    before = open_descriptors()
    server = Server(tmp_path / "store", scenario, way)
    with limited(resource.RLIMIT_FSIZE, 200_000):
        outcomes = server.deliver(text)
    for outcome in (one for each in outcomes for one in each):
        assert outcome.reply == replies.INTERNAL_FAULT.about(outcome.recipient.address)
    assert not any(server.copies().values())
    assert server.leftovers() == []
    assert server.lost_descriptors() == []
    assert all(one.reply.is_success for each in server.deliver(text) for one in each)
    server.disk.give_back()
    del server
    assert open_descriptors() == before


@each_way
@each_scenario
def test_a_real_limit_on_the_number_of_descriptors(
    scenario: Scenario, way: Way, tmp_path: Path
) -> None:
    whole = right(scenario, tmp_path / "right")
    counts = []
    before = open_descriptors()
    for spare in range(16):
        server = Server(tmp_path / str(spare), scenario, way)
        with limited(resource.RLIMIT_NOFILE, free_descriptors()[spare]):
            outcomes = server.deliver()
        assert not list(complaints(server, outcomes, whole, replies.OUT_OF_RESOURCES))
        assert server.lost_descriptors() == []
        assert server.leftovers() == []
        assert all(one.reply.is_success for each in server.deliver() for one in each)
        server.disk.give_back()
        counts.append(sum(one.reply.is_success for each in outcomes for one in each))
    del server
    assert open_descriptors() == before
    assert counts[0] == 0
    assert counts[-1] == sum(map(len, scenario.jobs))
