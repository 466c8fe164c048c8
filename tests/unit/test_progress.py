"""Where a delivery is, and who gets it: the thread that makes it, or whoever withdraws it."""

from __future__ import annotations

import pytest

from lmtpd.delivery.progress import Progress, WithdrawnError
from lmtpd.delivery.stuck import StuckMailboxes
from lmtpd.failures import MailboxStuckError, reply_for
from lmtpd.protocol import replies


def test_each_step_is_counted_and_tells_where_it_is() -> None:
    progress = Progress()
    progress.enter("alice")
    first, second = object(), object()
    progress.made(first, "alice")
    progress.made(second, "bob")
    told = [(progress.steps, progress.mailboxes())]
    for copies in ([first], [second], [first, second]):
        progress.reach(copies)
        told.append((progress.steps, progress.mailboxes()))
    progress.enter("carol")
    told.append((progress.steps, progress.mailboxes()))
    names = [{"alice"}, {"alice"}, {"bob"}, {"alice", "bob"}, {"carol"}]
    assert told == [*enumerate(map(frozenset, names), 1)]


def test_what_is_claimed_cannot_be_withdrawn() -> None:
    progress = Progress()
    assert [progress.claim(), progress.withdraw(), progress.claim()] == [True, False, True]
    progress.enter("alice")


def test_what_is_withdrawn_cannot_be_claimed() -> None:
    progress = Progress()
    assert [progress.withdraw(), progress.claim(), progress.claim()] == [True, False, False]
    with pytest.raises(WithdrawnError):
        progress.enter("alice")


def test_a_mailbox_that_is_stuck_is_not_entered() -> None:
    stuck = StuckMailboxes()
    progress = Progress(stuck)
    stuck.add("one", ["alice", "bob"])
    stuck.add("two", ["bob"])
    for mailbox in ("alice", "bob"):
        with pytest.raises(MailboxStuckError, match=mailbox) as caught:
            progress.enter(mailbox)
        assert reply_for(caught.value) == replies.MAILBOX_STUCK
    assert progress.steps == 0
    assert stuck.remove("one") == {"alice", "bob"}
    progress.enter("alice")
    assert stuck.holds("bob")
    assert stuck.are_there
    assert stuck.remove("two") == {"bob"}
    assert stuck.remove("never") == frozenset()
    assert not stuck.holds("bob")
    assert not stuck.are_there
