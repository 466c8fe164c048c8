"""GroupCommit: deliveries that are ready together are made durable together.

Two sequences are durable on every file system they are used on (power cuts were tried):

    fsync    fsync each file, rename all, fsync each new/ once
    syncfs   syncfs, rename all, syncfs

The first costs two waits for each delivery, the second two for all of them, but each of its waits
also flushes what others have written. Which is cheaper depends on the disk, on the neighbours and
on how many deliveries there are; so both are measured as they go, and the cheaper one is taken.
syncfs(2) is used where it is known to wait for the disk and to report errors: ext4, XFS and btrfs
since Linux 5.8. FUSE, for one, answers it with success and does nothing.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Container, Hashable, Iterable, Sequence

from ..failures import kept
from ..histogram import SECONDS, SIZES, Histogram
from .store import Delivery

FROM_COUNT = 4
"""Deliveries at one time from which syncfs is the better guess, while nothing was measured."""
_TRY_OTHER_EVERY = 64
_WEIGHT = 0.2
"""Of the newest measurement in the running mean."""

Failures = dict[Delivery, Exception]
Reach = Callable[[Sequence[Delivery]], object]
"""Is told for which deliveries the next step is."""


class CommitMode(enum.Enum):
    """The setting `lmtp-commit`."""

    AUTO = "auto"
    FSYNC = "fsync"
    SYNCFS = "syncfs"


class GroupCommit:
    """Chooses a sequence for each batch, and learns from what it cost."""

    def __init__(
        self,
        mode: CommitMode = CommitMode.AUTO,
        clock: Callable[[], float] = time.perf_counter,
        *,
        seconds: Histogram | None = None,
        sizes: Histogram | None = None,
    ) -> None:
        """One that has learnt nothing yet.

        Args:
            mode: which sequence, if that is fixed.
            clock: monotonic seconds.
            seconds: counts how long each batch took.
            sizes: counts how many deliveries it had.
        """
        self._mode = mode
        self._took = seconds or Histogram(SECONDS)
        self._sizes = sizes or Histogram(SIZES)
        self._clock = clock
        self._seconds: dict[tuple[bool, int], float] = {}
        self._turn = 0

    def batches(self, deliveries: Iterable[Delivery], reach: Reach = lambda _: None) -> list[Batch]:
        """One batch for each file system that the deliveries lie on."""
        by_device: dict[int, list[Delivery]] = {}
        for delivery in dict.fromkeys(deliveries):
            by_device.setdefault(delivery.device, []).append(delivery)
        return [self._batch(group, reach) for group in by_device.values()]

    def _batch(self, group: list[Delivery], reach: Reach) -> Batch:
        count = len(group)
        reach(group)
        use_syncfs = self._prefers_syncfs(count) and group[0].can_sync_filesystem()

        def learn(seconds: float) -> None:
            self._took.add(seconds)
            self._sizes.add(count)
            key = use_syncfs, count.bit_length()
            known = self._seconds.get(key, seconds / count)
            self._seconds[key] = known + _WEIGHT * (seconds / count - known)

        return Batch(group, self._clock, learn, reach, use_syncfs=use_syncfs)

    def _prefers_syncfs(self, count: int) -> bool:
        if self._mode is not CommitMode.AUTO:
            return self._mode is CommitMode.SYNCFS
        size = count.bit_length()
        preferred = count >= FROM_COUNT
        if {(False, size), (True, size)} <= self._seconds.keys():
            preferred = self._seconds[True, size] < self._seconds[False, size]
        # Now and then the other way, or one slow moment would be believed for ever.
        self._turn += 1
        return preferred != (count > 1 and self._turn % _TRY_OTHER_EVERY == 0)


class Batch:
    """Deliveries on one file system, on their way through one sequence."""

    def __init__(
        self,
        deliveries: Sequence[Delivery],
        clock: Callable[[], float],
        learn: Callable[[float], None],
        reach: Reach,
        *,
        use_syncfs: bool,
    ) -> None:
        self._deliveries = deliveries
        self._clock = clock
        self._learn = learn
        self._reach = reach
        self._use_syncfs = use_syncfs
        self._spent = 0.0

    def sync(self) -> Failures:
        """Make the octets of all durable; those that could not be."""
        begun = self._clock()
        failures: Failures = {}
        if not (self._use_syncfs and self._sync_filesystem(self._deliveries)):
            for delivery in self._deliveries:
                self._attempt(delivery.sync, [delivery], failures)
        self._spent = self._clock() - begun
        return failures

    def publish(self, wanted: Container[Delivery]) -> Failures:
        """Move those that are wanted into their new/, and make that durable; the failures.

        What failed is not in new/, unless the disk refused to take it away again as well.
        """
        begun = self._clock()
        failures: Failures = {}
        going = [one for one in self._deliveries if one in wanted]
        for delivery in going:
            self._attempt(delivery.publish, [delivery], failures)
        moved = [one for one in going if one not in failures]
        if moved and not (self._use_syncfs and self._sync_filesystem(moved)):
            self._sync_folders(moved, failures)
        self._learn(self._spent + self._clock() - begun)
        return failures

    def _sync_filesystem(self, deliveries: Sequence[Delivery]) -> bool:
        """Whether it worked; if not, fsync says which delivery is hurt."""
        self._reach(deliveries)
        try:
            deliveries[0].sync_filesystem()
        except OSError:
            return False
        return True

    def _sync_folders(self, moved: Sequence[Delivery], failures: Failures) -> None:
        by_folder: dict[Hashable, list[Delivery]] = {}
        for delivery in moved:
            by_folder.setdefault(delivery.folder, []).append(delivery)
        for members in by_folder.values():
            self._attempt(members[0].sync_folder, members, failures)
        for delivery in moved:
            if delivery in failures:
                self._reach([delivery])
                _take_back(delivery, failures[delivery])

    def _attempt(
        self, act: Callable[[], object], concerned: Sequence[Delivery], failures: Failures
    ) -> None:
        self._reach(concerned)
        try:
            act()
        except Exception as error:  # noqa: BLE001 - one delivery's fault is not the others'
            failures.update(dict.fromkeys(concerned, kept(error)))


def _take_back(delivery: Delivery, cause: Exception) -> None:
    try:
        delivery.retract()
    except OSError as error:
        cause.add_note(f"it stays in new/ and comes twice, for taking it back failed: {error}")
