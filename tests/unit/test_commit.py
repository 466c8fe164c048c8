"""Deliveries that are ready together: which sequence they take, and who pays for a fault."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pytest

from lmtpd.delivery.commit import FROM_COUNT, Batch, CommitMode, Failures, GroupCommit
from lmtpd.delivery.message import Message

FULL = OSError(errno.ENOSPC, "full")
BROKEN = OSError(errno.EIO, "broken")
READ_ONLY = OSError(errno.EROFS, "read-only")


class Clock:
    """Seconds that go on only when a disk is slow."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Costs:
    """How slow the disk is, and what is wrong with it."""

    clock: Clock = field(default_factory=Clock)
    fsync: float = 0.0
    syncfs: float = 0.0
    has_syncfs: bool = True
    diary: list[tuple[str, str]] = field(default_factory=list)
    faults: dict[tuple[str, str], Exception] = field(default_factory=dict)

    def happen(self, what: str, whose: str, cost: float = 0.0) -> None:
        """Note one step, let its time pass, and fail if that is its fate."""
        self.diary.append((what, whose))
        self.clock.now += cost
        if (what, whose) in self.faults:
            raise self.faults[what, whose]

    def steps(self, *kinds: str) -> list[tuple[str, str]]:
        return [step for step in self.diary if step[0] in kinds]


class Copy:
    """A delivery without a disk: it notes what is done with it."""

    def __init__(self, costs: Costs, label: str, folder: str = "", device: int = 1) -> None:
        self.costs = costs
        self.label = label
        self.folder = folder or f"new of {label}"
        self.device = device
        self.name = ""

    def write(self, fields: bytes, message: Message) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def sync(self) -> None:
        self.costs.happen("sync", self.label, self.costs.fsync)

    def can_sync_filesystem(self) -> bool:
        return self.costs.has_syncfs

    def sync_filesystem(self) -> None:
        self.costs.happen("syncfs", f"device {self.device}", self.costs.syncfs)

    def publish(self) -> None:
        self.costs.happen("publish", self.label)
        self.name = self.label

    def sync_folder(self) -> None:
        self.costs.happen("sync-folder", self.folder, self.costs.fsync)

    def retract(self) -> None:
        self.costs.happen("retract", self.label)
        self.name = ""


def copies(costs: Costs, count: int) -> list[Copy]:
    return [Copy(costs, str(number)) for number in range(count)]


def complete(batches: Iterable[Batch], wanted: Callable[[Copy], bool] = lambda _: True) -> Failures:
    """As the agent does it: all octets first, then the names of those that are well."""
    batches = list(batches)
    failures: Failures = {}
    for batch in batches:
        failures |= batch.sync()

    class Wanted:
        def __contains__(self, delivery: object) -> bool:
            return isinstance(delivery, Copy) and delivery not in failures and wanted(delivery)

    wanted_ones = Wanted()
    for batch in batches:
        failures |= batch.publish(wanted_ones)
    return failures


def uses_syncfs(commit: GroupCommit, costs: Costs, count: int) -> bool:
    """Let a group through; which sequence did it take?"""
    costs.diary.clear()
    assert complete(commit.batches(copies(costs, count))) == {}
    kinds = {kind for kind, _ in costs.diary}
    assert kinds in ({"syncfs", "publish"}, {"sync", "publish", "sync-folder"})
    return "syncfs" in kinds


# The two sequences.


def test_fsync() -> None:
    costs = Costs()
    group = [Copy(costs, "a"), Copy(costs, "b")]
    assert complete(GroupCommit(CommitMode.FSYNC).batches(group)) == {}
    assert costs.diary == [
        ("sync", "a"),
        ("sync", "b"),
        ("publish", "a"),
        ("publish", "b"),
        ("sync-folder", "new of a"),
        ("sync-folder", "new of b"),
    ]


def test_syncfs() -> None:
    costs = Costs()
    group = [Copy(costs, "a"), Copy(costs, "b")]
    assert complete(GroupCommit(CommitMode.SYNCFS).batches(group)) == {}
    assert costs.diary == [
        ("syncfs", "device 1"),
        ("publish", "a"),
        ("publish", "b"),
        ("syncfs", "device 1"),
    ]


@pytest.mark.parametrize("mode", CommitMode)
def test_nothing_to_commit(mode: CommitMode) -> None:
    assert GroupCommit(mode).batches([]) == []


@pytest.mark.parametrize("mode", [CommitMode.FSYNC, CommitMode.SYNCFS])
def test_a_delivery_that_several_recipients_share_is_committed_once(mode: CommitMode) -> None:
    costs = Costs()
    one, other = Copy(costs, "a"), Copy(costs, "b")
    complete(GroupCommit(mode).batches(iter([one, other, one, one])))
    assert costs.steps("publish") == [("publish", "a"), ("publish", "b")]
    assert len(costs.steps("sync")) in (0, 2)


@pytest.mark.parametrize("mode", [CommitMode.FSYNC, CommitMode.SYNCFS])
def test_what_is_not_wanted_is_not_published(mode: CommitMode) -> None:
    """Its list has failed already, on account of another member."""
    costs = Costs()
    group = [Copy(costs, "a"), Copy(costs, "b"), Copy(costs, "c")]
    complete(GroupCommit(mode).batches(group), lambda one: one.label != "b")
    assert costs.steps("publish") == [("publish", "a"), ("publish", "c")]
    assert ("sync-folder", "new of b") not in costs.diary
    assert [one.name for one in group] == ["a", "", "c"]


@pytest.mark.parametrize("mode", [CommitMode.FSYNC, CommitMode.SYNCFS])
def test_where_nothing_is_published_nothing_is_made_durable(mode: CommitMode) -> None:
    costs = Costs()
    batches = GroupCommit(mode).batches(copies(costs, 3))
    for batch in batches:
        assert batch.sync() == {}
    costs.diary.clear()
    for batch in batches:
        assert batch.publish(frozenset()) == {}
    assert costs.diary == []


# Several file systems.


@pytest.mark.parametrize("mode", [CommitMode.FSYNC, CommitMode.SYNCFS])
def test_all_octets_are_durable_on_every_file_system_before_the_first_is_published(
    mode: CommitMode,
) -> None:
    costs = Costs()
    group = [Copy(costs, str(number), device=number % 3) for number in range(7)]
    batches = GroupCommit(mode).batches(group)
    assert len(batches) == 3
    assert complete(batches) == {}
    kinds = [kind for kind, _ in costs.diary]
    first = kinds.index("publish")
    assert sorted({*kinds[:first]}) == (["syncfs"] if mode is CommitMode.SYNCFS else ["sync"])
    if mode is CommitMode.SYNCFS:
        devices = [("syncfs", f"device {number}") for number in range(3)]
        assert costs.diary[:3] == devices
        assert costs.steps("syncfs")[3:] == devices
    else:
        assert first == len(group)
    assert len(costs.steps("publish")) == len(group)


def test_a_fault_of_one_file_system_is_not_the_others() -> None:
    costs = Costs(faults={("syncfs", "device 1"): BROKEN, ("sync", "a"): BROKEN})
    group = [Copy(costs, "a", device=1), Copy(costs, "b", device=2), Copy(costs, "c", device=1)]
    assert complete(GroupCommit(CommitMode.SYNCFS).batches(group)) == {group[0]: BROKEN}
    assert [one.name for one in group] == ["", "b", "c"]
    assert costs.steps("sync", "syncfs", "sync-folder") == [
        ("syncfs", "device 1"),
        ("sync", "a"),
        ("sync", "c"),
        ("syncfs", "device 2"),
        ("syncfs", "device 1"),
        ("sync-folder", "new of c"),
        ("syncfs", "device 2"),
    ]


# Who pays for a fault.


def test_a_failing_fsync_is_its_own_deliverys() -> None:
    costs = Costs(faults={("sync", "b"): FULL})
    group = [Copy(costs, "a"), Copy(costs, "b"), Copy(costs, "c")]
    assert complete(GroupCommit(CommitMode.FSYNC).batches(group)) == {group[1]: FULL}
    assert [one.name for one in group] == ["a", "", "c"]
    assert costs.steps("sync-folder") == [("sync-folder", "new of a"), ("sync-folder", "new of c")]


@pytest.mark.parametrize("mode", [CommitMode.FSYNC, CommitMode.SYNCFS])
def test_a_failing_rename_is_its_own_deliverys(mode: CommitMode) -> None:
    costs = Costs(faults={("publish", "a"): BROKEN})
    group = [Copy(costs, "a"), Copy(costs, "b")]
    assert complete(GroupCommit(mode).batches(group)) == {group[0]: BROKEN}
    assert ("publish", "b") in costs.diary
    assert costs.steps("retract") == []
    assert ("sync-folder", "new of a") not in costs.diary


def test_a_failing_syncfs_leaves_it_to_fsync_to_tell_who_is_hurt() -> None:
    """It tells of any write that was lost, ours or a neighbour's."""
    costs = Costs(faults={("syncfs", "device 1"): BROKEN})
    group = [Copy(costs, "a"), Copy(costs, "b")]
    assert complete(GroupCommit(CommitMode.SYNCFS).batches(group)) == {}
    assert costs.diary == [
        ("syncfs", "device 1"),
        ("sync", "a"),
        ("sync", "b"),
        ("publish", "a"),
        ("publish", "b"),
        ("syncfs", "device 1"),
        ("sync-folder", "new of a"),
        ("sync-folder", "new of b"),
    ]


def test_a_failing_syncfs_and_one_that_is_hurt() -> None:
    costs = Costs(faults={("syncfs", "device 1"): BROKEN, ("sync", "b"): FULL})
    group = [Copy(costs, "a"), Copy(costs, "b"), Copy(costs, "c")]
    assert complete(GroupCommit(CommitMode.SYNCFS).batches(group)) == {group[1]: FULL}
    assert [one.name for one in group] == ["a", "", "c"]


def test_a_failing_syncfs_and_a_folder_that_is_hurt() -> None:
    costs = Costs(faults={("syncfs", "device 1"): BROKEN, ("sync-folder", "new of b"): FULL})
    group = [Copy(costs, "a"), Copy(costs, "b"), Copy(costs, "c")]
    assert complete(GroupCommit(CommitMode.SYNCFS).batches(group)) == {group[1]: FULL}
    assert costs.steps("retract") == [("retract", "b")]
    assert [one.name for one in group] == ["a", "", "c"]


def test_a_folder_is_synced_once_for_all_its_deliveries() -> None:
    costs = Costs()
    folders = ["x", "y", "x", "x", "y"]
    group = [Copy(costs, str(number), folder) for number, folder in enumerate(folders)]
    assert complete(GroupCommit(CommitMode.FSYNC).batches(group)) == {}
    assert costs.steps("sync-folder") == [("sync-folder", "x"), ("sync-folder", "y")]


@pytest.mark.parametrize("mode", [CommitMode.FSYNC, CommitMode.SYNCFS])
def test_all_members_of_a_folder_that_is_not_durable_are_taken_back(mode: CommitMode) -> None:
    costs = Costs(faults={("sync-folder", "x"): FULL, ("syncfs", "device 1"): BROKEN})
    folders = ["x", "y", "x", "x"]
    group = [Copy(costs, str(number), folder) for number, folder in enumerate(folders)]
    failures = complete(GroupCommit(mode).batches(group))
    assert failures == {group[0]: FULL, group[2]: FULL, group[3]: FULL}
    assert costs.steps("retract") == [("retract", "0"), ("retract", "2"), ("retract", "3")]
    assert [one.name for one in group] == ["", "1", "", ""]


def test_who_was_not_moved_is_not_taken_back() -> None:
    costs = Costs(faults={("sync-folder", "x"): FULL, ("publish", "1"): BROKEN})
    group = [Copy(costs, str(number), "x") for number in range(3)]
    failures = complete(GroupCommit(CommitMode.FSYNC).batches(group))
    assert failures == {group[0]: FULL, group[1]: BROKEN, group[2]: FULL}
    assert costs.steps("retract") == [("retract", "0"), ("retract", "2")]


def test_one_that_cannot_be_taken_back_hinders_no_other() -> None:
    costs = Costs(faults={("sync-folder", "x"): FULL, ("retract", "0"): READ_ONLY})
    group = [Copy(costs, str(number), "x") for number in range(3)]
    failures = complete(GroupCommit(CommitMode.FSYNC).batches(group))
    assert list(failures) == group
    assert failures[group[1]] is failures[group[2]] is FULL
    assert costs.steps("retract") == [("retract", str(number)) for number in range(3)]


@pytest.mark.parametrize("step", ["sync", "publish", "sync-folder"])
def test_what_nobody_foresaw_is_one_deliverys_fault_too(step: str) -> None:
    odd = RuntimeError("odd")
    whose = "new of a" if step == "sync-folder" else "a"
    costs = Costs(faults={(step, whose): odd})
    group = [Copy(costs, "a"), Copy(costs, "b")]
    assert complete(GroupCommit(CommitMode.FSYNC).batches(group)) == {group[0]: odd}
    assert group[1].name == "b"


# Which sequence is taken.


@pytest.mark.parametrize("has_syncfs", [True, False])
@pytest.mark.parametrize("mode", [CommitMode.FSYNC, CommitMode.SYNCFS])
def test_a_mode_that_is_set_is_kept(mode: CommitMode, has_syncfs: bool) -> None:
    """Even if it is the dearer one; but syncfs only where it is worth something."""
    is_wanted = mode is CommitMode.SYNCFS
    costs = Costs(fsync=0.0 if is_wanted else 9.0, syncfs=9.0 if is_wanted else 0.0)
    costs.has_syncfs = has_syncfs
    commit = GroupCommit(mode, costs.clock)
    for count in [1, 2, 5, 50, 1] * 30:
        assert uses_syncfs(commit, costs, count) is (is_wanted and has_syncfs)


def test_where_syncfs_is_worth_nothing_it_is_never_tried() -> None:
    costs = Costs(fsync=9.0, has_syncfs=False)
    commit = GroupCommit(CommitMode.AUTO, costs.clock)
    assert not any(uses_syncfs(commit, costs, count) for count in [1, 2, 3, 8, 60] * 40)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 30])
def test_the_first_guess(count: int) -> None:
    costs = Costs()
    commit = GroupCommit(CommitMode.AUTO, costs.clock)
    assert uses_syncfs(commit, costs, count) is (count >= FROM_COUNT)


def choices(commit: GroupCommit, costs: Costs, counts: Sequence[int]) -> list[bool]:
    return [uses_syncfs(commit, costs, count) for count in counts]


def test_the_other_way_is_tried_now_and_then() -> None:
    """Else one slow moment would be believed for ever."""
    costs = Costs(fsync=1.0, syncfs=1000.0)
    commit = GroupCommit(CommitMode.AUTO, costs.clock)
    assert choices(commit, costs, [2] * 200) == [number % 64 == 0 for number in range(1, 201)]


def test_a_single_delivery_is_no_occasion_to_try() -> None:
    costs = Costs(fsync=1.0, syncfs=0.5)
    commit = GroupCommit(CommitMode.AUTO, costs.clock)
    assert not any(choices(commit, costs, [1] * 200))


def test_the_cheaper_way_is_taken_once_both_are_known() -> None:
    costs = Costs(fsync=1.0, syncfs=1.0)  # two deliveries: 4 seconds, or 2
    commit = GroupCommit(CommitMode.AUTO, costs.clock)
    taken = choices(commit, costs, [2] * 200)
    assert [number for number, one in enumerate(taken, 1) if not one] == [*range(1, 64), 128, 192]


def test_the_first_guess_is_given_up_if_it_was_wrong() -> None:
    costs = Costs(fsync=1.0, syncfs=100.0)  # five deliveries: 10 seconds, or 200
    commit = GroupCommit(CommitMode.AUTO, costs.clock)
    taken = choices(commit, costs, [5] * 200)
    assert [number for number, one in enumerate(taken, 1) if one] == [*range(1, 64), 128, 192]


def test_what_is_cheap_for_many_need_not_be_so_for_few() -> None:
    costs = Costs(fsync=1.0, syncfs=5.0)  # 2 deliveries: 4 or 10 seconds; 30: 60 or 10
    commit = GroupCommit(CommitMode.AUTO, costs.clock)
    choices(commit, costs, [2] * 64 + [30] * 64)
    assert choices(commit, costs, [2, 30, 3, 31, 2, 16]) == [False, True, False, True, False, True]


def test_a_disk_that_changes_is_noticed() -> None:
    costs = Costs(fsync=1.0, syncfs=100.0)
    commit = GroupCommit(CommitMode.AUTO, costs.clock)
    choices(commit, costs, [2] * 128)
    assert choices(commit, costs, [2] * 10) == [False] * 10
    costs.fsync, costs.syncfs = 100.0, 1.0
    taken = choices(commit, costs, [2] * 400)
    assert taken[-64:].count(True) == 63


def test_one_slow_moment_is_not_believed_at_once() -> None:
    costs = Costs(fsync=1.0, syncfs=10.0)  # two deliveries: 4 seconds, or 20
    commit = GroupCommit(CommitMode.AUTO, costs.clock)
    choices(commit, costs, [2] * 70)
    costs.fsync = 6.0
    assert choices(commit, costs, [2]) == [False]
    costs.fsync = 1.0
    assert choices(commit, costs, [2] * 10) == [False] * 10


def test_a_failing_syncfs_has_the_cost_of_what_came_after() -> None:
    """Where it fails each time, it is the dearer way, and is not taken any more."""
    costs = Costs(fsync=1.0, syncfs=0.1, faults={("syncfs", "device 1"): BROKEN})
    commit = GroupCommit(CommitMode.AUTO, costs.clock)
    taken = []
    for _ in range(200):
        costs.diary.clear()
        assert complete(commit.batches(copies(costs, 5))) == {}
        taken.append(bool(costs.steps("syncfs")))
    assert [number for number, one in enumerate(taken, 1) if one] == [*range(1, 64), 128, 192]


def test_the_time_is_measured_by_a_real_clock_by_default() -> None:
    costs = Costs()
    commit = GroupCommit()
    assert complete(commit.batches(copies(costs, 2))) == {}
    assert costs.steps("sync") == [("sync", "0"), ("sync", "1")]
