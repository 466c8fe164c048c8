"""Room for one more message: what MAIL hears before anything is sent."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmtpd.delivery.budget import Budget
from lmtpd.delivery.room import FILES_RESERVED, Room
from lmtpd.delivery.tree import MaildirTree
from lmtpd.protocol import replies
from lmtpd.protocol.reply import Reply
from tests.support.faulty_disk import Fault, FaultyDisk

RESERVE = 1000
PLENTY = (10.0**15, 10.0**9)


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    disk = FaultyDisk()
    yield disk
    assert disk.kept_open() == []


@pytest.fixture
def room(tmp_path: Path, disk: FaultyDisk) -> Room:
    return Room(MaildirTree(tmp_path, disk), RESERVE, Budget(100))


def test_what_messages_hold_is_told(tmp_path: Path, disk: FaultyDisk) -> None:
    budget = Budget(100)
    room = Room(MaildirTree(tmp_path, disk), RESERVE, budget)
    budget.change(7)
    assert room.memory_held == 7


@pytest.mark.parametrize(
    ("free", "size", "refusal"),
    [
        (PLENTY, 0, None),
        (PLENTY, 2**50, replies.STORAGE_LOW),
        ((RESERVE, FILES_RESERVED), 0, None),
        ((RESERVE, FILES_RESERVED), 1, replies.STORAGE_LOW),
        ((RESERVE + 50, FILES_RESERVED), 50, None),
        ((RESERVE + 50, FILES_RESERVED), 51, replies.STORAGE_LOW),
        ((RESERVE - 1, FILES_RESERVED), 0, replies.STORAGE_LOW),
        ((10.0**15, FILES_RESERVED - 1), 0, replies.STORAGE_LOW),
        ((math.inf, math.inf), 2**50, None),
    ],
)
def test_the_disk(
    free: tuple[float, float], size: int, refusal: Reply | None, room: Room, disk: FaultyDisk
) -> None:
    assert room.refusal(2**60) is None, "nobody has looked yet"
    disk.is_free = free
    room.look()
    assert room.refusal(size) == refusal


@pytest.mark.parametrize("kind", ["open_root", "free", "close"])
@pytest.mark.parametrize("free", [PLENTY, (0.0, 0.0)])
def test_a_look_that_fails_leaves_the_last_figure(
    free: tuple[float, float], kind: str, room: Room, disk: FaultyDisk
) -> None:
    disk.is_free = free
    room.look()
    before = room.refusal(1)
    with disk.failing(Fault(errno.EIO, kind=kind)):
        room.look()
    assert room.refusal(1) == before


def test_what_lies_beneath_a_lost_mount_is_not_the_store(tmp_path: Path, disk: FaultyDisk) -> None:
    disk.is_mounted, disk.is_free = True, PLENTY
    room = Room(MaildirTree(tmp_path, disk), RESERVE, Budget())
    room.look()
    disk.is_mounted, disk.is_free = False, (0.0, 0.0)
    room.look()
    assert room.refusal(1) is None


def test_the_memory(tmp_path: Path, disk: FaultyDisk) -> None:
    budget = Budget(100)
    room = Room(MaildirTree(tmp_path, disk), RESERVE, budget)
    budget.change(99)
    assert room.refusal(2**40) is None, "what one message may be, its file will take"
    budget.change(1)
    assert room.refusal(0) == replies.MEMORY_SPENT
    budget.change(-1)
    assert room.refusal(0) is None
