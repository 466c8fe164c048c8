"""So many deliveries to one mailbox at one time: what a flood for it does to the disk."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.lossy_fs import Call
from tests.support.lossy_mount import LossyMount
from tests.support.outcomes import deliver
from tests.support.server import Server
from tests.support.store_on import strict_settings
from tests.support.strict_load import Connection, message

ALICE = "alice@example.org"
_CLIENTS = 12
_ROUNDS = 5


@pytest.mark.parametrize(("most", "found"), [(1, {1}), (3, {2, 3}), ("none", {*range(4, 13)})])
def test_a_flood_for_one_mailbox(
    most: int | str, found: set[int], tmp_path: Path, mount: LossyMount
) -> None:
    """All of it comes; and so many copies at most are begun and not published."""
    settings = {**strict_settings(), "lmtp_workers": 1, "lmtp_mailbox_concurrency": most}

    def flood(client: int) -> None:
        with Connection(server.port, lambda: 0) as connection:
            for number in range(_ROUNDS):
                deliver(connection, ALICE, message(f"c{client}n{number}"))

    with Server(tmp_path, **settings) as server:
        server.mailbox(ALICE)
        with ThreadPoolExecutor(_CLIENTS) as pool:
            list(pool.map(flood, range(_CLIENTS)))
        assert len(server.messages(ALICE)) == _CLIENTS * _ROUNDS
    assert at_one_time(mount.calls()) in found


def at_one_time(calls: Sequence[Call]) -> int:
    """How many files were in tmp/ at most."""
    changes = ({"create": 1, "rename": -1}.get(call.name, 0) for call in calls)
    return max(itertools.accumulate(changes))
