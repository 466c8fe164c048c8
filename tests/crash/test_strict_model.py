"""A power cut after every single call, on a file system that keeps only what was fsynced.

One run records each call of the server and each 250 that a client has read; what a cut would have
left is then computed for every call (tests.support.promises). A server that forgets one of its
fsyncs, or answers too early, is caught by the same judge.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support import components, dovecot_lmtp, lossy_mount
from tests.support.dovecot_lmtp import DovecotLmtp
from tests.support.forgetful import BREACHES
from tests.support.lossy_mount import LossyMount
from tests.support.promises import breaches
from tests.support.server import Server
from tests.support.store_on import strict_settings
from tests.support.strict_load import Connection, Load, message


def settings(folder: Path, table: str) -> dict[str, object]:
    path = folder / "table"
    path.write_text(table)
    hooks = {"lmtp_recipient_hooks": "table;maildirs", "lmtp_recipient_table": path}
    return strict_settings() | hooks


@pytest.mark.parametrize("own_headers", [True, False])
def test_nothing_promised_is_lost_by_a_cut_after_any_call(
    own_headers: bool, tmp_path: Path, mount: LossyMount
) -> None:
    load = Load(clients=3, rounds=10)
    load.make_half(mount.path)
    chosen = settings(tmp_path, load.table()) | {"lmtp_delivered_to": own_headers}
    with Server(tmp_path, **chosen) as server:
        promises = load.run(server.port, lambda: mount.count)
    calls = mount.calls()
    assert len(promises) > 100
    assert any(call.name == "link" for call in calls) != own_headers
    assert breaches(calls, promises) == []


@pytest.mark.parametrize("breach", BREACHES)
def test_a_server_that_breaks_its_promise_is_caught(
    breach: str, tmp_path: Path, mount: LossyMount
) -> None:
    load = Load(clients=2, rounds=2)
    load.make_half(mount.path)
    program = ("-m", "tests.support.forgetful", breach)
    chosen = settings(tmp_path, load.table())
    with Server(tmp_path, program=program, **chosen) as server:
        promises = load.run(server.port, lambda: mount.count)
    found = {breach.why for breach in breaches(mount.calls(), promises)}
    assert any(why.startswith("named" if breach == "name-first" else "lost") for why in found)


def test_a_mailbox_made_anew_is_not_taken_for_the_old_one(
    tmp_path: Path, mount: LossyMount
) -> None:
    """The new directory has the number of the old one, as ext4 gives it, and no durable name."""
    with (
        Server(tmp_path, **settings(tmp_path, "alice@example.org")) as server,
        Connection(server.port, lambda: mount.count) as connection,
    ):
        connection.deliver(["alice@example.org"], message("old"))
        connection.promises.clear()
        shutil.rmtree(mount.path / "example.org")
        connection.deliver(["alice@example.org"], message("new"))
    assert_kept(mount, connection)


def test_a_mailbox_that_the_administrator_made_anew(tmp_path: Path, mount: LossyMount) -> None:
    with (
        Server(tmp_path, **strict_settings()) as server,
        Connection(server.port, lambda: mount.count) as connection,
    ):
        server.mailbox("alice@example.org")
        connection.deliver(["alice@example.org"], message("old"))
        connection.promises.clear()
        shutil.rmtree(mount.path / "example.org")
        server.mailbox("alice@example.org")
        connection.deliver(["alice@example.org"], message("new"))
    assert_kept(mount, connection)


def test_a_mailbox_that_the_administrator_renamed(tmp_path: Path, mount: LossyMount) -> None:
    with (
        Server(tmp_path, **strict_settings()) as server,
        Connection(server.port, lambda: mount.count) as connection,
    ):
        server.mailbox("alice@example.org").parent.joinpath("bob").mkdir()
        connection.deliver(["alice@example.org", "bob@example.org"], message("first"))
        connection.promises.clear()
        folder = mount.path / "example.org"
        (folder / "alice").rename(folder / "anna")
        connection.deliver(["anna@example.org"], message("second"))
    assert_kept(mount, connection)


def test_a_server_started_again_trusts_no_directory(tmp_path: Path, mount: LossyMount) -> None:
    """What an earlier process was about to make durable may not be."""
    with Server(tmp_path, **settings(tmp_path, "alice@example.org")) as server:
        for token in ("first", "second"):
            with Connection(server.port, lambda: mount.count) as connection:
                connection.deliver(["alice@example.org"], message(token))
            server.stop()
            assert_kept(mount, connection)
            server.start()


def test_a_directory_of_another_disk_is_not_taken_for_a_known_one(
    tmp_path: Path, mount: LossyMount
) -> None:
    """Unmounted, and something else mounted: its directories have the same numbers.

    Under Landlock another worker goes on, who knows none: tests/crash/test_mounts.py.
    """
    mounts = [mount]
    chosen = settings(tmp_path, "alice@example.org") | {"lmtp_sandbox": "off"}
    with (
        Server(tmp_path, **chosen) as server,
        Connection(server.port, lambda: mounts[-1].count) as connection,
    ):
        connection.deliver(["alice@example.org"], message("old"))
        connection.promises.clear()
        mount.detach()
        # Thereby the server lets go of what it had open, and the device's number is free.
        replies = connection.deliver(["alice@example.org"], message("between"))
        assert replies["alice@example.org"].code == 451
        with LossyMount(mount.path) as other:
            mounts.append(other)
            server.mailbox("alice@example.org")
            connection.deliver(["alice@example.org"], message("new"))
            assert_kept(other, connection)


@pytest.fixture
def open_mount() -> Iterator[LossyMount]:
    """The lossy file system where other users can reach it."""
    lossy_mount.require()
    with TemporaryDirectory(prefix="lmtpd-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with LossyMount(folder / "maildirs") as mounted:
            yield mounted


def test_dovecot_loses_what_it_delivers_into_a_maildir_that_it_has_just_made(
    open_mount: LossyMount,
) -> None:
    """Why the promise is worth a model: it fsyncs file and new/, and no parent of either."""
    components.require("dovecot-lmtp")
    if not dovecot_lmtp.is_known():
        pytest.skip("this Dovecot is not 2.3")
    with (
        DovecotLmtp(open_mount.path) as dovecot,
        Connection(dovecot.port, lambda: open_mount.count) as connection,
    ):
        for token in ("first", "second"):
            connection.deliver(["alice@example.org"], message(token))
        assert len(connection.promises) == 2, dovecot.log
    found = breaches(open_mount.calls(), connection.promises)
    assert [breach.why for breach in found] == ["lost after a power cut"] * 2


def assert_kept(mount: LossyMount, connection: Connection) -> None:
    assert connection.promises
    assert breaches(mount.calls(), connection.promises) == []
