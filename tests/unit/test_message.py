"""A message on its way in: octets as they will be stored, in memory, then in a nameless file."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtpd.delivery.message import PIECE_OCTETS, Message
from lmtpd.delivery.tree import MaildirTree
from lmtpd.failures import StoreVanishedError
from tests.support.faulty_disk import Fault, FaultyDisk, open_descriptors


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def tree(tmp_path: Path, disk: FaultyDisk) -> MaildirTree:
    return MaildirTree(tmp_path, disk)


def content(message: Message) -> bytes:
    return b"".join(message.pieces())


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
        message = Message(tree, is_binary=is_binary)
        for number, piece in enumerate(pieces):
            if number == spill_after:
                message.spill()
            message.append(piece)
        message.finish()
        assert content(message) == stored
        assert content(message) == stored, "it can be read again"
        assert message.size == len(stored)
        message.close()


@pytest.mark.parametrize(("is_binary", "newline"), [(False, b"\n"), (True, b"\r\n")])
def test_newline_says_how_lines_end(is_binary: bool, newline: bytes, tree: MaildirTree) -> None:
    message = Message(tree, is_binary=is_binary)
    message.append(b"\r\n")
    message.finish()
    assert content(message) == message.newline == newline


@pytest.fixture(scope="module")
def shared_tree(tmp_path_factory: pytest.TempPathFactory) -> MaildirTree:
    return MaildirTree(tmp_path_factory.mktemp("store"), FaultyDisk())


@given(
    cuts=st.lists(
        st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"x", b"."])).map(b"".join) | st.none()
    ),
    is_binary=st.booleans(),
)
def test_any_cuts_and_any_spills(
    cuts: list[bytes | None], is_binary: bool, shared_tree: MaildirTree
) -> None:
    message = Message(shared_tree, is_binary=is_binary)
    for cut in cuts:
        if cut is None:
            message.spill()
        else:
            message.append(cut)
    message.finish()
    received = b"".join(cut for cut in cuts if cut)
    stored = received if is_binary else received.replace(b"\r\n", b"\n")
    assert content(message) == stored
    assert message.size == len(stored)
    message.close()


def test_in_memory_the_disk_is_not_touched(tree: MaildirTree, disk: FaultyDisk) -> None:
    disk.calls.clear()
    message = Message(tree, is_binary=False)
    fullness = []
    for size in (PIECE_OCTETS - 1, 1):
        message.append(b"x" * size)
        fullness.append(message.is_full)
    assert fullness == [False, True]
    message.finish()
    assert list(message.pieces()) == [b"x" * PIECE_OCTETS]
    message.close()
    assert disk.calls == []


def test_spill_frees_the_memory_and_leaves_no_name(
    tree: MaildirTree, disk: FaultyDisk, tmp_path: Path
) -> None:
    before = open_descriptors()
    disk.calls.clear()
    message = Message(tree, is_binary=True)
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
    assert len(disk.made("create_unnamed")) == 1
    assert list(tmp_path.iterdir()) == []
    assert message.size == 2 * len(octets) + 7
    pieces = list(message.pieces())
    assert b"".join(pieces) == octets + octets + b"the end"
    assert all(len(piece) <= PIECE_OCTETS for piece in pieces)
    assert open_descriptors() == before + 1
    message.close()
    message.close()
    assert open_descriptors() == before


def test_two_messages_spill_side_by_side(tree: MaildirTree) -> None:
    messages = [Message(tree, is_binary=True) for _ in range(3)]
    for round_ in range(3):
        for number, message in enumerate(messages):
            message.append(b"%d%d" % (number, round_))
            message.spill()
    assert [content(message) for message in messages] == [b"000102", b"101112", b"202122"]
    for message in messages:
        message.close()


def test_short_reads_are_gone_on_with(tmp_path: Path) -> None:
    class ShortReads(FaultyDisk):
        def read(self, descriptor: int, size: int, offset: int) -> bytes:
            return super().read(descriptor, min(size, 7), offset)

    message = Message(MaildirTree(tmp_path, ShortReads()), is_binary=True)
    octets = bytes(range(256))
    message.append(octets)
    message.spill()
    assert content(message) == octets
    message.close()


def test_a_file_that_lost_its_end_is_an_error(tmp_path: Path) -> None:
    class Shortened(FaultyDisk):
        def write(self, descriptor: int, data: bytes) -> None:
            super().write(descriptor, data[:-1])

    message = Message(MaildirTree(tmp_path, Shortened()), is_binary=True)
    message.append(b"0123456789")
    message.spill()
    with pytest.raises(OSError, match="shorter"):
        content(message)
    message.close()


@pytest.mark.parametrize("kind", ["open_root", "create_unnamed", "write"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.EIO])
def test_a_spill_that_fails_leaves_nothing(
    kind: str, number: int, tree: MaildirTree, disk: FaultyDisk, tmp_path: Path
) -> None:
    before = open_descriptors()
    message = Message(tree, is_binary=True)
    message.append(b"0123456789")
    with disk.failing(Fault(number, kind=kind)), pytest.raises(OSError, match="Errno") as caught:
        message.spill()
    assert caught.value.errno == number
    message.close()
    assert list(tmp_path.iterdir()) == []
    assert open_descriptors() == before


@pytest.mark.parametrize("kind", ["close"])
def test_a_spill_that_fails_later_leaks_nothing(
    kind: str, tree: MaildirTree, disk: FaultyDisk
) -> None:
    before = open_descriptors()
    message = Message(tree, is_binary=True)
    message.append(b"0123456789")
    with disk.failing(Fault(errno.EIO, kind=kind)), contextlib.suppress(OSError):
        message.spill()
    message.close()
    assert open_descriptors() == before


def test_a_spill_into_a_store_that_is_gone(tmp_path: Path, disk: FaultyDisk) -> None:
    disk.is_mounted = True
    tree = MaildirTree(tmp_path, disk)
    disk.is_mounted = False
    message = Message(tree, is_binary=True)
    message.append(b"x")
    with pytest.raises(StoreVanishedError):
        message.spill()
    message.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("prepare", [lambda _: None, Message.spill], ids=["memory", "file"])
def test_a_closed_message_holds_nothing(
    prepare: Callable[[Message], None], tree: MaildirTree
) -> None:
    message = Message(tree, is_binary=True)
    message.append(b"x")
    prepare(message)
    message.close()
    assert content(message) == b""


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_letting_go_is_no_fault_of_the_delivery(
    number: int, tree: MaildirTree, disk: FaultyDisk
) -> None:
    """Over NFS, close may tell of a full disk; the copies are durable by then, or were refused."""
    message = Message(tree, is_binary=True)
    message.append(b"x")
    message.spill()
    with disk.failing(Fault(number, kind="close")):
        message.close()
    message.close()
