"""A message on its way in: octets as they will be stored, in memory, then in a nameless file."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtpd.delivery.budget import PIECE_OCTETS, TIGHT_PIECE_OCTETS, Budget
from lmtpd.delivery.message import Message
from lmtpd.delivery.tree import MaildirTree
from lmtpd.failures import StoreVanishedError
from tests.support.faulty_disk import Fault, FaultyDisk, open_descriptors

LEAD = b"Return-Path: <ours@example.org>\nDelivered-To: alice@example.org\n"


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def tree(tmp_path: Path, disk: FaultyDisk) -> MaildirTree:
    return MaildirTree(tmp_path, disk)


def new(tree: MaildirTree, *, is_binary: bool = True, lead: bytes = LEAD) -> Message:
    return Message(tree, lambda: lead, is_binary=is_binary)


def complete(message: Message) -> bytes:
    """The content of a message to which nothing is added any more."""
    message.finish()
    message.settle()
    return content(message)


def content(message: Message) -> bytes:
    if message.file is None:
        return message.content
    size = os.fstat(message.file).st_size
    assert size == message.lead.stored + message.size
    return os.pread(message.file, size, message.lead.stored)


NEWLINES = [
    ([], b"", b""),
    ([b""], b"", b""),
    ([b"a\r\nb\r\n"], b"a\nb\n", b"a\r\nb\r\n"),
    ([b"a\r", b"\nb"], b"a\nb", b"a\r\nb"),
    ([b"a\r", b"", b"\nb"], b"a\nb", b"a\r\nb"),
    ([b"a\r", b"b"], b"a\rb", b"a\rb"),
    ([b"a\r"], b"a\r", b"a\r"),
    ([b"a\r\r\nb"], b"a\r\nb", b"a\r\r\nb"),
    ([b"\r", b"\r", b"\n", b"\n"], b"\r\n\n", b"\r\r\n\n"),
    ([b"a\nb\n\r"], b"a\nb\n\r", b"a\nb\n\r"),
    ([b"\0\xff\r\n"], b"\0\xff\n", b"\0\xff\r\n"),
]


@pytest.mark.parametrize("spill_after", [0, 1, 2, 9], ids="spill-after-{}".format)
@pytest.mark.parametrize(("pieces", "as_text", "as_binary"), NEWLINES)
def test_newlines(
    pieces: list[bytes], as_text: bytes, as_binary: bytes, spill_after: int, tree: MaildirTree
) -> None:
    for is_binary, stored in ((False, as_text), (True, as_binary)):
        message = new(tree, is_binary=is_binary)
        for number, piece in enumerate(pieces):
            if number == spill_after:
                message.spill()
            message.append(piece)
        assert complete(message) == stored
        assert message.size == len(stored)
        message.close()


@pytest.fixture(scope="module")
def shared_tree(tmp_path_factory: pytest.TempPathFactory) -> MaildirTree:
    return MaildirTree(tmp_path_factory.mktemp("store"), FaultyDisk())


def on_the_wire(stored: bytes) -> int:
    return len(re.sub(rb"(?<!\r)\n", b"\r\n", stored))


@given(
    cuts=st.lists(
        st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"x", b"."])).map(b"".join) | st.none()
    ),
    is_binary=st.booleans(),
)
def test_any_cuts_and_any_spills(
    cuts: list[bytes | None], is_binary: bool, shared_tree: MaildirTree
) -> None:
    message = new(shared_tree, is_binary=is_binary)
    for cut in cuts:
        if cut is None:
            message.spill()
        else:
            message.append(cut)
    received = b"".join(cut for cut in cuts if cut)
    stored = received if is_binary else received.replace(b"\r\n", b"\n")
    assert complete(message) == stored
    assert str(message.sizes) == f"S={len(stored)},W={on_the_wire(stored)}"
    assert message.digest() == hashlib.sha256(stored).digest()
    message.close()


# The file.


def test_in_memory_the_disk_is_not_touched(tree: MaildirTree, disk: FaultyDisk) -> None:
    disk.calls.clear()
    message = new(tree)
    fullness = []
    for size in (PIECE_OCTETS - 1, 1):
        message.append(b"x" * size)
        fullness.append(message.is_full)
    assert fullness == [False, True]
    assert complete(message) == b"x" * PIECE_OCTETS
    assert message.file is None
    message.close()
    assert disk.calls == []


def test_spill_frees_the_memory_and_leaves_no_name(
    tree: MaildirTree, disk: FaultyDisk, tmp_path: Path
) -> None:
    before = open_descriptors()
    disk.calls.clear()
    message = new(tree)
    octets = os.urandom(PIECE_OCTETS + 100)
    message.append(octets)
    message.spill()
    assert [call.kind for call in disk.calls] == ["open_root", "create_unnamed", "close", "write"]
    assert not message.is_full
    assert list(tmp_path.iterdir()) == []
    message.append(octets)
    message.spill()
    message.append(b"the end")
    message.finish()
    assert message.size == 2 * len(octets) + len(b"the end")
    disk.calls.clear()
    message.settle()
    assert [call.kind for call in disk.calls] == ["write", "sync"]
    assert list(tmp_path.iterdir()) == []
    assert message.size == 2 * len(octets) + 7
    assert content(message) == octets + octets + b"the end"
    assert open_descriptors() == before + 1
    message.close()
    message.close()
    assert open_descriptors() == before


def test_the_file_begins_with_the_lead_once(tree: MaildirTree) -> None:
    asked = []

    def lead() -> bytes:
        asked.append(len(asked))
        return LEAD

    message = Message(tree, lead, is_binary=False)
    message.append(b"a")
    assert asked == []
    for _ in range(3):
        message.spill()
        message.append(b"b\r\n")
    message.finish()
    message.settle()
    assert asked == [0]
    assert message.file is not None
    assert os.pread(message.file, 1000, 0) == LEAD + b"ab\nb\nb\n"
    assert message.size == 7
    whole = LEAD + b"ab\nb\nb\n"
    assert str(message.lead.before(message.sizes)) == f"S={len(whole)},W={on_the_wire(whole)}"
    message.close()


def test_what_stays_in_memory_needs_no_lead(tree: MaildirTree) -> None:
    def lead() -> bytes:
        raise AssertionError

    message = Message(tree, lead, is_binary=False)
    message.append(b"a\r\n")
    assert complete(message) == b"a\n"
    assert message.lead.stored == 0
    message.close()


def test_two_messages_spill_side_by_side(tree: MaildirTree) -> None:
    messages = [new(tree) for _ in range(3)]
    for round_ in range(3):
        for number, message in enumerate(messages):
            message.append(b"%d%d" % (number, round_))
            message.spill()
    assert [complete(message) for message in messages] == [b"000102", b"101112", b"202122"]
    for message in messages:
        message.close()


def test_tiny_pieces_cost_no_more_than_their_octets(tree: MaildirTree) -> None:
    """An object for each would take fifty times the room."""
    message = new(tree)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(100_000):
            message.append(b"xy")
        assert tracemalloc.get_traced_memory()[0] - before < 500_000
    finally:
        tracemalloc.stop()
    assert complete(message) == b"xy" * 100_000
    message.close()


# The memory that all share.


def test_a_message_spills_sooner_when_memory_is_tight(tree: MaildirTree) -> None:
    budget = Budget(4 * PIECE_OCTETS)
    first, second = (Message(tree, bytes, budget, is_binary=True) for _ in range(2))
    first.append(b"x" * (2 * PIECE_OCTETS + 1))
    second.append(b"x" * (TIGHT_PIECE_OCTETS - 1))
    assert not second.is_full
    second.append(b"x")
    assert second.is_full
    first.close()
    assert not second.is_full
    second.close()
    assert budget.held == 0


@given(
    steps=st.lists(
        st.sampled_from(["append", "spill", "account", "close"]) | st.just("append"), max_size=12
    ),
    is_binary=st.booleans(),
    is_finished=st.booleans(),
)
def test_all_that_was_held_is_given_back(
    steps: list[str], is_binary: bool, is_finished: bool, shared_tree: MaildirTree
) -> None:
    """However it ends; and what is counted is what is there, once the event loop has looked."""
    budget = Budget()
    message = Message(shared_tree, bytes, budget, is_binary=is_binary)
    for step in steps:
        match step:
            case "append":
                message.append(b"\r\nx\r")
            case "spill":
                message.spill()
            case "account":
                message.account()
                assert budget.held == len(message._memory)
            case _:
                message.close()
    if is_finished:
        message.finish()
        message.settle()
        message.account()
        assert budget.held == len(message._memory) + len(message.content)
    message.close()
    assert budget.held == 0


# The header.

OLD = b"Return-Path: <old@example.com>\r\n"


@pytest.mark.parametrize("is_spilled", [False, True], ids=["memory", "file"])
@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (OLD + b"A: b\r\n\r\nbody\r\n", b"A: b\n\nbody\n"),
        (b"A: b\r\n" + OLD + b" folded\r\n\tmore\r\nC: d\r\n\r\n", b"A: b\nC: d\n\n"),
        (OLD + b"\r\n" + OLD, b"\n" + OLD.replace(b"\r", b"")),
        (b"\r\n" + OLD, b"\n" + OLD.replace(b"\r", b"")),
        (OLD, b""),
        (OLD + OLD + b"no line", b"no line"),
    ],
)
def test_an_older_return_path_goes(
    text: bytes, stored: bytes, is_spilled: bool, tree: MaildirTree
) -> None:
    for cut in range(len(text) + 1):
        message = new(tree, is_binary=False)
        message.append(text[:cut])
        message.append(text[cut:])
        if is_spilled:
            message.spill()
        assert complete(message) == stored
        assert str(message.sizes) == f"S={len(stored)},W={on_the_wire(stored)}"
        assert message.digest() == hashlib.sha256(stored).digest()
        message.close()


def test_an_older_return_path_of_a_binary_message_goes(tree: MaildirTree) -> None:
    for prepare in (lambda _: None, Message.spill):
        message = new(tree)
        message.append(b"A: b\r\n" + OLD + b"C: d\r\n\r\n\0\r\n")
        prepare(message)
        assert complete(message) == b"A: b\r\nC: d\r\n\r\n\0\r\n"
        assert message.header == b"A: b\r\n" + OLD + b"C: d\r\n"
        message.close()


@pytest.mark.parametrize("is_spilled", [False, True], ids=["memory", "file"])
def test_the_header_is_known_as_it_came(is_spilled: bool, tree: MaildirTree) -> None:
    message = new(tree, is_binary=False)
    message.append(OLD + b"A: b\r\n\r\nX: y\r\n")
    if is_spilled:
        message.spill()
    complete(message)
    assert message.header == OLD.replace(b"\r", b"") + b"A: b\n"
    message.close()


def test_what_comes_later_is_no_header(tree: MaildirTree) -> None:
    """The first piece is all that is looked at: a header beyond it is its own sender's doing."""
    long = b"X: " + b"y" * 70 + b"\r\n"
    first = OLD + long * 4000
    message = new(tree, is_binary=False)
    message.append(first)
    assert message.is_full
    message.spill()
    later = b"Z: z\r\n" + OLD + b"\r\nbody\r\n"
    message.append(later)
    expected = (long * 4000 + later).replace(b"\r", b"")
    assert complete(message) == expected
    assert message.header == first.replace(b"\r", b"")
    assert str(message.sizes) == f"S={len(expected)},W={on_the_wire(expected)}"
    message.close()


def test_a_first_piece_that_ends_within_a_line(tree: MaildirTree) -> None:
    """The line may be a Return-Path or not: it is not known, so it stays."""
    message = new(tree, is_binary=False)
    message.append(OLD + b"Return-Pa")
    message.spill()
    message.append(b"thology: x\r\n\r\n")
    assert complete(message) == b"Return-Pathology: x\n\n"
    assert message.header == OLD.replace(b"\r", b"")
    message.close()


HEADERS = st.lists(
    st.sampled_from(
        [OLD, b"return-path:x\r\n", b"A: b\r\n", b" folded\r\n", b"\tReturn-Path: f\r\n"]
    )
).map(b"".join)


@given(
    header=HEADERS,
    body=st.none() | st.lists(st.sampled_from([OLD, b"x\r\n", b"\r\n", b"\r"])).map(b"".join),
    cut=st.integers(0, 200),
    is_binary=st.booleans(),
    is_spilled=st.booleans(),
)
def test_any_header_that_the_first_piece_holds(
    header: bytes,
    body: bytes | None,
    cut: int,
    is_binary: bool,
    is_spilled: bool,
    shared_tree: MaildirTree,
) -> None:
    text = header if body is None else header + b"\r\n" + body
    expected = []
    goes = False
    for line in header.splitlines(keepends=True):
        goes = goes if line[:1] in b" \t" else line.lower().startswith(b"return-path")
        expected += [] if goes else [line]
    stored = b"".join(expected) + text[len(header) :]
    message = new(shared_tree, is_binary=is_binary)
    cut += len(header) + 2
    message.append(text[:cut])
    if is_spilled:
        message.spill()
    message.append(text[cut:])
    assert complete(message) == (stored if is_binary else stored.replace(b"\r\n", b"\n"))
    message.close()


# Faults.


def test_a_store_that_takes_nothing_at_the_end(tree: MaildirTree, disk: FaultyDisk) -> None:
    for kind in ("write", "sync"):
        before = open_descriptors()
        message = new(tree)
        message.append(b"x")
        message.spill()
        message.append(b"y")
        message.finish()
        with disk.failing(Fault(errno.EDQUOT, kind=kind)), pytest.raises(OSError) as caught:  # noqa: PT011
            message.settle()
        assert caught.value.errno == errno.EDQUOT
        message.close()
        assert open_descriptors() == before


def test_in_memory_there_is_nothing_to_settle(tree: MaildirTree, disk: FaultyDisk) -> None:
    message = new(tree)
    message.append(b"x")
    message.finish()
    with disk.failing(Fault(errno.EIO)):
        message.settle()
    assert message.content == b"x"
    message.close()


@pytest.mark.parametrize("kind", ["open_root", "create_unnamed", "write"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.EIO])
def test_a_spill_that_fails_leaves_nothing(
    kind: str, number: int, tree: MaildirTree, disk: FaultyDisk, tmp_path: Path
) -> None:
    before = open_descriptors()
    message = new(tree)
    message.append(b"0123456789")
    with disk.failing(Fault(number, kind=kind)), pytest.raises(OSError, match="Errno") as caught:
        message.spill()
    assert caught.value.errno == number
    message.close()
    assert list(tmp_path.iterdir()) == []
    assert open_descriptors() == before


def test_a_close_of_the_root_that_fails_is_no_fault_of_a_spill(
    tree: MaildirTree, disk: FaultyDisk
) -> None:
    before = open_descriptors()
    message = new(tree)
    message.append(b"0123456789")
    with disk.failing(Fault(errno.EIO, kind="close")):
        message.spill()
    assert complete(message) == b"0123456789"
    message.close()
    assert open_descriptors() == before


def test_a_spill_into_a_store_that_is_gone(tmp_path: Path, disk: FaultyDisk) -> None:
    disk.is_mounted = True
    tree = MaildirTree(tmp_path, disk)
    disk.is_mounted = False
    message = new(tree)
    message.append(b"x")
    with pytest.raises(StoreVanishedError):
        message.spill()
    message.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "prepare",
    [lambda _: None, Message.spill, Message.finish, complete],
    ids=["memory", "file", "finished", "complete"],
)
def test_a_closed_message_holds_nothing(
    prepare: Callable[[Message], object], tree: MaildirTree
) -> None:
    message = new(tree)
    message.append(b"x" * PIECE_OCTETS)
    prepare(message)
    message.close()
    assert not message.is_full
    assert message.content == b""
    assert message.file is None


def test_it_is_there_until_each_who_keeps_it_has_closed_it(tree: MaildirTree) -> None:
    """A thread that hangs may read its file, whose number must not be another's by then."""
    before = open_descriptors()
    budget = Budget()
    message = Message(tree, bytes, budget, is_binary=True)
    message.append(b"x")
    message.spill()
    message.append(b"y")
    message.keep()
    message.close()
    assert budget.held == 1
    assert complete(message) == b"xy"
    assert message.digest() == message.digest() == hashlib.sha256(b"xy").digest()
    message.close()
    assert budget.held == 0
    assert open_descriptors() == before


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_letting_go_is_no_fault_of_the_delivery(
    number: int, tree: MaildirTree, disk: FaultyDisk
) -> None:
    """Over NFS, close may tell of a full disk; the copies are durable by then, or were refused."""
    message = new(tree)
    message.append(b"x")
    message.spill()
    with disk.failing(Fault(number, kind="close")):
        message.close()
    message.close()
