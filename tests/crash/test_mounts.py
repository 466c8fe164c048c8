"""What disks and machines really do below the running server: they vanish, fill up, come back.

Each time the documented 4xx and no mail in the wrong place; and once the disk is back, or has room,
the same server delivers, with no restart. Workers that Landlock binds to a store that is gone are
replaced within seconds, in which mail waits with its MTA.
"""

from __future__ import annotations

import errno
import itertools
import os
import resource
import smtplib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support import components, lossy_mount
from tests.support.client import Client, stuffed
from tests.support.lossy_mount import LossyMount
from tests.support.outcomes import (
    DOCUMENTED,
    FIRST,
    NO_STORE,
    UNVERIFIED,
    check,
    deliver,
    status,
    stored,
)
from tests.support.processes import LOOPBACK
from tests.support.promises import breaches
from tests.support.server import Server
from tests.support.store_on import SmallDisk, strict_settings
from tests.support.strict_load import Connection, message
from tests.support.waiting import wait_for

_LARGE_OCTETS = 300 * 1024
_START_S = 20.0
# An administrator may expect it; the looks are 2 s apart, and a worker starts in less than one.
_BACK_S = 30.0


def test_no_descriptors_left(mount: LossyMount, server: Server, connection: Connection) -> None:
    """None is left; then one, two, three, until it is enough."""
    refused = 0
    for left in itertools.count():
        recipient, content = f"u@{left}.new.example", message(f"left{left}")
        with descriptors_left(server, left):
            replies = connection.deliver([recipient], content)
        if not check(mount.path, replies, content, errno.EMFILE):
            break
        refused += 1
        deliver(connection, recipient, content)
        assert len(stored(mount.path, recipient)) == 1
    assert refused >= 3
    assert breaches(mount.calls(), connection.promises) == []


def test_no_descriptors_left_for_a_probe(server: Server, connection: Connection) -> None:
    for left in range(4):
        with descriptors_left(server, left):
            reply = connection.rcpt(FIRST)
        assert reply.code == 250 or status(reply) == UNVERIFIED
    assert connection.rcpt(FIRST).code == 250


def test_no_descriptors_left_for_a_new_connection(server: Server) -> None:
    with ExitStack() as waiting:
        with descriptors_left(server, 0):
            # They are in the listeners' queue, and nobody can take them out.
            clients = [waiting.enter_context(Client.tcp(server.port)) for _ in range(3)]
        for client in clients:
            assert client.reply().code == 220
            assert client.command("QUIT").code == 221


@contextmanager
def descriptors_left(server: Server, count: int) -> Iterator[None]:
    """Each process of the server can open so many more, and has got back its limit afterwards."""
    # One that is not ready yet would give up, and be replaced in its time.
    wait_for(lambda: has_started(server), _START_S, "all workers")
    before = {}
    try:
        for pid in (server.pid, *server.workers()):
            before[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}  # noqa: PTH208
            free = (number for number in itertools.count() if number not in used)
            limit = next(itertools.islice(free, count, None))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[pid][1]))
        yield
    finally:
        for pid, limits in before.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def has_started(server: Server) -> bool:
    started = server.log.count(" worker-started ")
    return started >= int(str(strict_settings().get("lmtp_workers", 0)))


# The mount itself.


def vanish(mount: LossyMount) -> None:
    mount.detach()


def die(mount: LossyMount) -> None:
    """As a network file system whose server is gone for good: each call is ENOTCONN."""
    mount.kill()


@pytest.mark.parametrize("go", [vanish, die])
def test_a_vanished_mount_is_451_and_served_again_when_it_is_back(
    go: Callable[[LossyMount], None], mount: LossyMount, server: Server, connection: Connection
) -> None:
    """Below the mount lies an empty folder: what it says of mailboxes is not true."""
    with begun(server, FIRST) as small, begun(server, FIRST) as large:
        go(mount)
        for recipient in (FIRST, "unknown@example.org"):
            assert status(connection.rcpt(recipient)) == UNVERIFIED
        for client, octets in ((small, 1000), (large, _LARGE_OCTETS)):
            assert client.command("DATA").code == 354
            client.send(stuffed(message("gone", octets)))
            assert status(client.reply()) in (NO_STORE, DOCUMENTED[errno.EIO])
        reply = connection.deliver(["u@0.new.example"], message("gone"))["u@0.new.example"]
        assert status(reply) in (NO_STORE, DOCUMENTED[errno.EIO])
    mount.detach()
    assert list(mount.path.iterdir()) == []
    with LossyMount(mount.path) as again:
        server.mailbox(FIRST)
        come_again(server, FIRST, message("again"))
        come_again(server, "u@0.new.example", message("again"))
        wait_for(lambda: is_unknown(server), _BACK_S, "an unknown recipient to be told so")
        for recipient in (FIRST, "u@0.new.example"):
            assert len(stored(again.path, recipient)) == 1


def test_a_store_in_a_folder_of_a_mount_that_vanishes(tmp_path: Path) -> None:
    """Then the root itself is not there."""
    lossy_mount.require()
    recipient = "alice@example.org"
    disk = tmp_path / "disk"
    root = disk / "mail"
    with LossyMount(disk) as mount:
        (root / "example.org" / "alice").mkdir(parents=True)
        with (
            Server(tmp_path, lmtp_maildir_root=root, **strict_settings()) as server,
            Connection(server.port, lambda: mount.count) as connection,
        ):
            deliver(connection, recipient, message("before"))
            mount.detach()
            for one in (recipient, "unknown@example.org"):
                assert status(connection.rcpt(one)) == UNVERIFIED
            with LossyMount(disk):
                (root / "example.org" / "alice").mkdir(parents=True)
                come_again(server, recipient, message("after"))
                wait_for(lambda: is_unknown(server), _BACK_S, "an unknown one to be told so")
                assert len(stored(root, recipient)) == 1


def come_again(server: Server, recipient: str, content: bytes) -> None:
    """As an MTA does, until it is taken; whatever is said meanwhile is 4xx."""

    def is_taken() -> bool:
        try:
            with smtplib.LMTP(LOOPBACK, server.port) as client:
                client.sendmail("sender@example.net", [recipient], content)
        except smtplib.SMTPServerDisconnected:
            return False
        except smtplib.SMTPRecipientsRefused as refused:
            codes = [code for code, _ in refused.recipients.values()]
        except smtplib.SMTPResponseException as refused:
            codes = [refused.smtp_code]
        else:
            return True
        assert [code for code in codes if not 400 <= code < 500] == []
        return False

    wait_for(is_taken, _BACK_S, f"mail for {recipient} to be taken again")


def is_unknown(server: Server) -> bool:
    """Whether a recipient that does not exist is told so, and not put off by a worker of before."""
    with Connection(server.port, lambda: 0) as other:
        code = other.rcpt("unknown@example.org").code
    assert code == 550 or 400 <= code < 500
    return code == 550


@contextmanager
def begun(server: Server, recipient: str) -> Iterator[Client]:
    """A client that has said RCPT, and was told that all is well."""
    with Client.tcp(server.port) as client:
        assert client.reply().code == 220
        for line in ("LHLO client.example", "MAIL FROM:<a@example.net>", f"RCPT TO:<{recipient}>"):
            assert client.command(line).code == 250
        yield client


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_disk_that_is_full_and_has_room_again(kind: str, tmp_path: Path) -> None:
    with small(kind, tmp_path) as (disk, connection):
        content = message("full", 8000)
        with disk.without_room():
            replies = connection.deliver(["alice@example.org"], content)
            assert check(disk.seen, replies, content, errno.ENOSPC)
            assert connection.rcpt("alice@example.org").code == 250
        deliver(connection, "alice@example.org", content)
        assert len(stored(disk.seen, "alice@example.org")) == 1


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_an_inode_table_that_is_full_and_has_room_again(kind: str, tmp_path: Path) -> None:
    with small(kind, tmp_path) as (disk, connection):
        content = message("inodes")
        with disk.without_inodes():
            replies = connection.deliver(["alice@example.org"], content)
            assert check(disk.seen, replies, content, errno.ENOSPC)
            assert connection.rcpt("alice@example.org").code == 250
        deliver(connection, "alice@example.org", content)
        assert len(stored(disk.seen, "alice@example.org")) == 1


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_read_only_remount_and_back(kind: str, tmp_path: Path) -> None:
    with small(kind, tmp_path) as (disk, connection):
        content = message("read-only")
        for recipient in ("alice@example.org", FIRST):
            disk.remount("ro")
            replies = connection.deliver([recipient], content)
            assert status(replies[recipient]) == DOCUMENTED[errno.EROFS]
            assert connection.rcpt(recipient).code == 250
            disk.remount("rw")
            before = len(stored(disk.seen, recipient))
            deliver(connection, recipient, content)
            assert len(stored(disk.seen, recipient)) == before + 1


@contextmanager
def small(kind: str, folder: Path) -> Iterator[tuple[SmallDisk, Connection]]:
    """A server on a small disk that has delivered to `first`; `alice` is an empty directory."""
    components.require_root("mounts are made by root only")
    if kind == "ext4":
        components.require("ext4")
    with SmallDisk(kind, folder) as disk:
        for name in ("first", "alice"):
            (disk.seen / "example.org" / name).mkdir(parents=True)
        settings = {
            "lmtp_maildir_root": disk.path,
            "lmtp_dns": False,
            "lmtp_disk_reserve": "none",
        }
        with (
            Server(folder, prefix=disk.prefix(), **settings) as server,
            Connection(server.port, lambda: 0) as connection,
        ):
            deliver(connection, FIRST, message("first"))
            yield disk, connection
