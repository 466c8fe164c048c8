"""What the rehearsals of crashes share: chance, and mailboxes of each kind."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import lossy_mount
from tests.support.lossy_mount import LossyMount
from tests.support.outcomes import FIRST, deliver, settings
from tests.support.server import Server
from tests.support.strict_load import Connection

MADE, BARE, LISTS = 6, 3, 4
"""Recipients of each kind: half of the mailboxes that they reach are no Maildirs yet."""


_SEED = os.environ.get("LMTPD_CRASH_SEED") or secrets.token_hex(4)


@pytest.fixture
def seed() -> str:
    """What chance begins with, told by every test that fails.

    LMTPD_CRASH_SEED repeats a run, as far as threads and disks can be repeated.
    """
    print(f"LMTPD_CRASH_SEED={_SEED}")
    return _SEED


def make_mailboxes(root: Path, table: Path, name: str) -> dict[str, tuple[str, ...]]:
    """Mailboxes, and lists in a table; which mailboxes each recipient leads to.

    Some are Maildirs, some only the directory that makes a mailbox exist. Those that only a list
    leads to, and their domain, are for the delivery to make. Nothing is made durable: a server
    that promises to keep mail has to see to that itself.
    """
    old, new = f"old.{name}.example", f"new.{name}.example"
    routes: dict[str, tuple[str, ...]] = {}
    for number in range(MADE):
        for part in ("tmp", "new", "cur"):
            (root / old / f"made{number}" / part).mkdir(parents=True)
        routes[f"made{number}@{old}"] = (f"made{number}@{old}",)
    for number in range(BARE):
        (root / old / f"bare{number}").mkdir()
        routes[f"bare{number}@{old}"] = (f"bare{number}@{old}",)
    for number in range(LISTS):
        # One of its own, one that two lists share, one that has mail of its own.
        members = (f"own{number}@{new}", f"shared{number // 2}@{new}", f"made{number}@{old}")
        routes[f"list{number}@{old}"] = members[: 1 + number % 3]
    lines = [f"{one}  {', '.join(routes[one])}\n" for one in routes if one.startswith("list")]
    table.write_text("".join(lines))
    return routes


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[LossyMount]:
    """The lossy file system, where a server in this test's folder has its Maildirs."""
    lossy_mount.require()
    with LossyMount(tmp_path / "maildirs") as mounted:
        yield mounted


@pytest.fixture
def server(tmp_path: Path, mount: LossyMount) -> Iterator[Server]:  # noqa: ARG001
    """A server on it. Mailboxes of `new.example` exist without a directory."""
    with Server(tmp_path, **settings(tmp_path)) as running:
        yield running


@pytest.fixture
def connection(server: Server, mount: LossyMount) -> Iterator[Connection]:
    """A client that stays; it has delivered once, so that the server is warm."""
    with Connection(server.port, lambda: mount.count) as connected:
        server.mailbox(FIRST)
        deliver(connected, FIRST, b"Subject: first\r\n\r\n")
        yield connected
