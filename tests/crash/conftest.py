"""What the rehearsals of crashes share: chance, and mailboxes of each kind."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

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
