"""Mailboxes that are stuck, and their neighbours on the same file system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lmtpd.delivery.mounts import mount_below
from lmtpd.delivery.stuck import StuckMailboxes

TABLE = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 8:2 / /srv/mail rw - ext4 /dev/sda2 rw
24 23 8:3 / /srv/mail/far.example rw - nfs4 far:/mail rw
25 24 8:4 / /srv/mail/far.example/alice rw - ext4 /dev/sda4 rw
26 23 8:5 / /srv/mail/a\\040b\\134c rw - ext4 /dev/sda5 rw
27 22 8:6 / /srv/mailman rw - ext4 /dev/sda6 rw
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(TABLE)
    return path


@pytest.mark.parametrize(
    ("path", "point"),
    [
        ("/srv/mail/near.example/alice", ""),
        ("/srv/mail/far.example/bob", "/srv/mail/far.example"),
        ("/srv/mail/far.example/alice", "/srv/mail/far.example/alice"),
        ("/srv/mail/far.example/alice2", "/srv/mail/far.example"),
        ("/srv/mail/far.example2/alice", ""),
        ("/srv/mail/a b\\c/d", "/srv/mail/a b\\c"),
        ("", ""),
    ],
)
def test_the_mount_point_below_the_root(path: str, point: str, table: Path) -> None:
    assert mount_below("/srv/mail", path, table) == point


def test_without_a_table_nothing_is_known(tmp_path: Path) -> None:
    assert mount_below("/srv/mail", "/srv/mail/far.example/bob", tmp_path / "none") == ""


def test_the_kernels_own_table() -> None:
    """Every process has its /proc, and most have something mounted below /dev."""
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [one for one in points if one.count("/") > 1 and "\\" not in one]
    for point in below:
        root = os.path.dirname(point)  # noqa: PTH120
        assert mount_below(root, f"{point}/x/y") == point


def test_neighbours_on_its_file_system_are_stuck_too(table: Path) -> None:
    stuck = StuckMailboxes(
        lambda one: "" if "home" in one else f"/srv/mail/{one}",
        lambda path: mount_below("/srv/mail", path, table),
    )
    stuck.add("one", ["far.example/bob"])
    stuck.add("two", ["near.example/bob", "home"])
    held = ("far.example/bob", "far.example/carol", "near.example/bob", "home")
    assert all(map(stuck.holds, held))
    assert not any(map(stuck.holds, ("near.example/carol", "far.example2/bob", "other home")))
    stuck.remove("one")
    assert not stuck.holds("far.example/carol")
    assert stuck.holds("near.example/bob")
