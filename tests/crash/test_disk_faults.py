"""A disk that fails below the running server, at each call of a delivery and with each error.

Whatever fails, and wherever: each reply is a 250 with one whole file in new/, durably, or the
documented 4xx with none; and once the fault is gone the same server takes the same message again,
which is then there once.
"""

from __future__ import annotations

import errno
import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.forgetful import FAULTY
from tests.support.lossy_mount import LossyMount
from tests.support.messages import as_stored
from tests.support.outcomes import (
    DELIVERED,
    DOCUMENTED,
    FIRST,
    UNVERIFIED,
    check,
    deliver,
    not_made,
    settings,
    status,
    stored,
)
from tests.support.promises import Promise, breaches
from tests.support.server import Server
from tests.support.strict_load import Connection, message

_LARGE_OCTETS = 300 * 1024
_CLIENTS = 4
_TURNS = 8


def refusals_of_each_error(
    mount: LossyMount,
    connection: Connection,
    recipients: Iterator[list[str]],
    errors: Iterable[int] = tuple(DOCUMENTED),
    octets: int = 1000,
) -> list[int]:
    """Let each call of a delivery fail with each error, and hold what was said against the disk."""
    refusals = [break_each_call(mount, connection, recipients, one, octets) for one in errors]
    assert breaches(mount.calls(), connection.promises) == []
    return refusals


def break_each_call(
    mount: LossyMount,
    connection: Connection,
    recipients: Iterator[list[str]],
    error: int,
    octets: int,
) -> int:
    """Let the first call of a delivery fail, the second of another, and so on to the last.

    How many deliveries were refused.
    """
    refused = 0
    for nth, to in enumerate(recipients, start=1):
        content = message(f"n{nth}e{error}", octets)
        mount.break_calls(error, nth=nth, repeat="once")
        replies = connection.deliver(to, content)
        if not mount.mend():
            assert {status(reply) for reply in replies.values()} == {DELIVERED}
            break
        again = check(mount.path, replies, content, error)
        if again:
            refused += 1
            assert check(mount.path, connection.deliver(again, content), content, error) == []
        assert all(len(stored(mount.path, one)) == 1 for one in to)
    return refused


def test_each_call_of_a_delivery_into_a_mailbox_that_is_made(
    mount: LossyMount, connection: Connection
) -> None:
    refusals = refusals_of_each_error(mount, connection, not_made())
    # Not less than: five directories looked up, made and synced, a file likewise, and renamed.
    assert min(refusals) >= 25


def test_each_call_of_a_delivery_into_a_mailbox_that_is_there(
    mount: LossyMount, server: Server, connection: Connection
) -> None:
    def mailboxes() -> Iterator[list[str]]:
        for number in itertools.count():
            mailbox = f"{number}@example.org"
            for name in ("tmp", "new", "cur"):
                (server.mailbox(mailbox) / name).mkdir()
            yield [mailbox]

    assert min(refusals_of_each_error(mount, connection, mailboxes())) >= 15


def test_each_call_of_a_delivery_into_a_mailbox_that_is_known(
    mount: LossyMount, connection: Connection
) -> None:
    """A server may keep it open: then there are few calls, and each of them counts."""
    for error, [recipient] in zip(DOCUMENTED, not_made(), strict=False):
        deliver(connection, recipient, message("known"))
        for nth in itertools.count(1):
            content = message(f"n{nth}e{error}")
            mount.break_calls(error, nth=nth, repeat="once")
            reply = connection.deliver([recipient], content)[recipient]
            if not mount.mend():
                assert nth > 5
                break
            assert status(reply) in (DELIVERED, DOCUMENTED[error], UNVERIFIED)
            assert len(stored(mount.path, recipient)) == nth + (reply.code == 250)
            if reply.code != 250:
                deliver(connection, recipient, content)
                assert len(stored(mount.path, recipient)) == nth + 1
    assert breaches(mount.calls(), connection.promises) == []


def test_each_call_for_a_message_too_large_for_memory(
    mount: LossyMount, connection: Connection
) -> None:
    refusals = refusals_of_each_error(
        mount, connection, not_made(), [errno.EIO], octets=_LARGE_OCTETS
    )
    assert min(refusals) >= 25


@pytest.mark.parametrize("own_headers", [True, False])
def test_each_call_of_a_delivery_to_several(
    own_headers: bool, tmp_path: Path, mount: LossyMount
) -> None:
    """Each copy for itself, and copies that share their octets by hard links."""
    names = itertools.chain.from_iterable(not_made())
    recipients = ([next(names) for _ in range(2)] for _ in itertools.count())
    chosen = settings(tmp_path) | {"lmtp_delivered_to": own_headers}
    with (
        Server(tmp_path, **chosen) as server,
        Connection(server.port, lambda: mount.count) as connection,
    ):
        refusals = refusals_of_each_error(mount, connection, recipients, [errno.EIO])
    assert min(refusals) >= 50


@pytest.mark.parametrize("breach", FAULTY)
def test_a_server_that_answers_a_fault_wrongly_is_caught(
    breach: str, tmp_path: Path, mount: LossyMount
) -> None:
    program = ("-m", "tests.support.forgetful", breach)
    with (
        Server(tmp_path, program=program, **settings(tmp_path)) as server,
        Connection(server.port, lambda: mount.count) as connection,
        pytest.raises(AssertionError),
    ):
        refusals_of_each_error(mount, connection, not_made(), [errno.EIO])


def test_a_disk_that_dies_at_each_call_of_a_delivery(
    mount: LossyMount, connection: Connection
) -> None:
    """What was visible already cannot be taken away then: a copy is left, once, and it is whole."""
    left = 0
    for nth, [recipient] in enumerate(not_made(), start=1):
        content = message(f"dies{nth}")
        mount.break_calls(errno.EIO, nth=nth)
        reply = connection.deliver([recipient], content)[recipient]
        if not mount.mend():
            break
        # The disk may die when the file is closed: all is durable by then.
        assert status(reply) in (DOCUMENTED[errno.EIO], UNVERIFIED, DELIVERED)
        before = len(stored(mount.path, recipient))
        if reply.code != 250:
            left += before
            deliver(connection, recipient, content)
        copies = stored(mount.path, recipient)
        assert len(copies) == (1 if reply.code == 250 else before + 1)
        assert all(copy.endswith(as_stored(content)) for copy in copies)
    # It died before, or while, the directory was asked whether its fsync was true.
    assert left <= 2


def test_deliveries_that_are_made_durable_together_fail_alone(
    mount: LossyMount, server: Server
) -> None:
    """Several clients at one time, and every thirtieth call of their deliveries fails."""
    recipients = iter(list(not_made()))
    wrong = ("create", "write", "fsync", "fsyncdir", "rename", "mkdir")

    def client(number: int) -> list[Promise]:
        with Connection(server.port, lambda: mount.count) as connection:
            for turn in range(_TURNS):
                to = [one for _ in range(2) for one in next(recipients)]
                content = message(f"client{number}turn{turn}")
                # Faults may strike again and again; in the end each has its copy.
                while to:
                    replies = connection.deliver(to, content)
                    to = check(mount.path, replies, content, errno.EIO)
            return connection.promises

    with mount.broken(errno.EIO, *wrong, nth=30, repeat="every"), ThreadPoolExecutor() as pool:
        running = [pool.submit(client, number) for number in range(_CLIENTS)]
        promises = [promise for one in running for promise in one.result()]
    assert len(promises) == _CLIENTS * _TURNS * 2
    assert breaches(mount.calls(), promises) == []


def test_a_fault_of_one_mailbox_is_not_the_others(
    mount: LossyMount, connection: Connection
) -> None:
    sick = "u@1.new.example"
    content = message("shared")
    error = errno.EDQUOT
    with mount.broken(error, below="/1.new.example"):
        replies = connection.deliver([f"u@{n}.new.example" for n in range(4)], content)
    assert check(mount.path, replies, content, error) == [sick]
    deliver(connection, sick, content)
    assert len(stored(mount.path, sick)) == 1
    assert breaches(mount.calls(), connection.promises) == []


def test_a_probe_is_never_told_that_there_is_no_such_mailbox(
    mount: LossyMount, connection: Connection
) -> None:
    for error in DOCUMENTED:
        for nth in itertools.count(1):
            mount.break_calls(error, nth=nth, repeat="once")
            reply = connection.rcpt(FIRST)
            if not mount.mend():
                assert reply.code == 250
                assert nth > 1
                break
            assert reply.code == 250 or status(reply) == UNVERIFIED


def test_a_disk_that_fails_at_everything_for_a_while(
    mount: LossyMount, server: Server, connection: Connection
) -> None:
    for error in DOCUMENTED:
        outage(error, mount, server, connection)


def outage(error: int, mount: LossyMount, server: Server, connection: Connection) -> None:
    """A client that stays and one that comes during the outage; known and unknown recipients."""
    content = message(f"while{error}")
    recipients = [FIRST, "u@0.new.example", "unknown@example.org"]
    before = stored(mount.path, FIRST)
    with Connection(server.port, lambda: mount.count) as other:
        with mount.broken(error):
            for client in (connection, other):
                for _ in range(3):
                    replies = client.deliver(recipients, content)
                    assert {status(reply) for reply in replies.values()} <= {
                        DOCUMENTED[error],
                        UNVERIFIED,
                    }
        assert stored(mount.path, FIRST) == before
        for client, recipient in ((connection, recipients[0]), (other, recipients[1])):
            deliver(client, recipient, content)
            assert client.rcpt(recipients[2]).code == 550
        assert len(stored(mount.path, recipients[0])) == len(before) + 1
        promises = connection.promises + other.promises
    assert breaches(mount.calls(), promises) == []
