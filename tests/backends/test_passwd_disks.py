"""The hook `passwd` and the file systems that homes may lie on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import components
from tests.support.client import Client, stuffed
from tests.support.homes import (
    DELIVERED,
    UNVERIFIED,
    Site,
    deliver,
    root_server,
    settings,
    status_of,
)
from tests.support.lossy_mount import LossyMount, require
from tests.support.promises import breaches
from tests.support.server import Server
from tests.support.store_on import strict_settings
from tests.support.strict_load import Connection, message
from tests.support.waiting import wait_for

# A file system that keeps half of its room for root, and for all who have CAP_SYS_RESOURCE; with
# that capability a disk quota does not hold either.
HALF = """
mount -t tmpfs -o size=80m none "$1" && truncate -s 64M "$1/image" &&
mkfs.ext4 -q -m 50 "$1/image" && mount -o loop "$1/image" "$2" &&
chown "$3" "$2" && chmod 700 "$2" && shift 3 && exec "$@"
"""
MEGABYTES = 4


def test_room_that_is_kept_for_root_is_not_for_users(site: Site, tmp_path: Path) -> None:
    components.require("ext4")
    image = tmp_path / "image"
    image.mkdir()
    places = (str(image), str(site.alice.home), str(site.alice.uid))
    prefix = ("unshare", "--mount", "--propagation", "private", "--", "sh", "-c", HALF, "sh")
    content = message("large", MEGABYTES * 1024 * 1024)
    with Server(tmp_path, prefix=(*prefix, *places), **settings()) as running:
        found = [""]
        while found[-1] in ("", DELIVERED) and len(found) < 64 // MEGABYTES:
            found += deliver(running, site.alice.address, content=content)
        assert found[-1] == "452 4.3.1"
        assert len(found) > 3
        seen = os.statvfs(f"/proc/{running.workers()[0]}/root{site.alice.home}")
    assert seen.f_bfree > 0.4 * seen.f_blocks


@pytest.fixture
def mount(site: Site) -> Iterator[LossyMount]:
    require()
    with LossyMount(site.folder / "mounted") as mounted:
        yield mounted


def test_a_home_that_hangs_stops_no_other_mail(site: Site, mount: LossyMount) -> None:
    (mount.path / "home").mkdir()
    grace = site.accounts.add("g", home=mount.path / "home")
    try:
        # What was found a moment ago is not looked at again: only delivery meets the hang.
        with root_server(site, lmtp_verify_cache_size=100) as running:
            running.mailbox("carol@example.org")
            assert deliver(running, grace.address) == [DELIVERED]
            with Client.tcp(running.port) as waiting:
                waiting.send(b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<" + grace.address.encode())
                waiting.send(b">\r\nDATA\r\n")
                assert [one.code for one in waiting.replies(5)] == [220, 250, 250, 250, 354]
                with mount.stopped():
                    waiting.send(stuffed(message("late")))
                    assert deliver(running, "carol@example.org") == [DELIVERED]
                assert status_of(waiting.reply()) == DELIVERED
            assert len(grace.messages()) == 2
    finally:
        site.accounts.remove(grace.name)


def test_a_home_that_hangs_is_no_fault_of_all_others(site: Site, mount: LossyMount) -> None:
    """Asked for again and again: the hook is not held to be down, and only one thread is lost."""
    (mount.path / "home").mkdir()
    grace = site.accounts.add("g", home=mount.path / "home")
    try:
        with root_server(site, lmtp_hook_timeout=2, lmtp_hook_faults=2) as running:
            with mount.stopped():
                found = [deliver(running, grace.address)[0] for _ in range(5)]
                assert found == [UNVERIFIED] * 5
                assert deliver(running, site.alice.address) == [DELIVERED]
                assert "hook-down" not in running.log
                assert running.log.count("no answer within 2 s") == 1
                assert running.log.count("does not answer") == 4
            wait_for(lambda: deliver(running, grace.address) == [DELIVERED], 20, "the home")
    finally:
        site.accounts.remove(grace.name)


def test_what_was_acknowledged_survives_a_power_cut(site: Site, mount: LossyMount) -> None:
    """After every single call; the home is there, and the way to new/ is made by the delivery."""
    home = mount.path / "example.org"
    home.mkdir()
    henry = site.accounts.add("h", home=home)
    try:
        # So that the judge finds it where a mailbox of that address would be.
        more = {**strict_settings(), "lmtp_passwd_maildir": henry.name, "lmtp_workers": 1}
        with (
            Server(site.vmail.home, **settings(**more)) as running,
            Connection(running.port, lambda: mount.count) as connection,
        ):
            for number in range(5):
                content = message(f"m{number}", 400_000 if number == 3 else 1000)
                (reply,) = connection.deliver([henry.address], content).values()
                assert reply.code == 250
    finally:
        site.accounts.remove(henry.name)
    assert len(connection.promises) == 5
    assert breaches(mount.calls(), connection.promises) == []
