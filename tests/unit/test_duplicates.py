"""What may be a repetition, and what is one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtpd.delivery.duplicates import KEY_OCTETS, LAST_SECONDS, Duplicates, Unconfirmed, key_of
from lmtpd.delivery.layout import Layout
from lmtpd.delivery.maildir import MaildirStore
from lmtpd.delivery.tree import MaildirTree
from tests.support.faulty_disk import Fault, FaultyDisk

KEYS = st.binary(min_size=KEY_OCTETS, max_size=KEY_OCTETS).filter(any)
KEY, OTHER = bytes(range(1, 9)), bytes(range(11, 19))
PLACE = ("example.org", "alice")
DAY = 86400


class TestKeys:
    @given(st.lists(st.tuples(st.text(), st.text(), st.binary(min_size=32, max_size=32))))
    def test_equal_for_equals_alone(self, deliveries: list[tuple[str, str, bytes]]) -> None:
        # NUL is in no address.
        named = {one for one in deliveries if "\0" not in one[0] + one[1]}
        assert len({key_of(*one) for one in named}) == len(named)

    def test_an_address_that_is_no_unicode(self) -> None:
        assert len(key_of("a\udcff@x", "b\udcff@y", b"")) == KEY_OCTETS


class TestUnconfirmed:
    def test_while_somebody_talks_to_the_client(self) -> None:
        unconfirmed = Unconfirmed()
        assert not unconfirmed.may_be_repeated(KEY)
        unconfirmed.add(KEY)
        assert not unconfirmed.may_be_repeated(KEY)
        unconfirmed.abandon(KEY)
        assert unconfirmed.may_be_repeated(KEY)
        unconfirmed.add(KEY)
        assert not unconfirmed.may_be_repeated(KEY)

    def test_what_is_confirmed_is_forgotten(self) -> None:
        unconfirmed = Unconfirmed()
        unconfirmed.confirm(KEY)
        unconfirmed.abandon(KEY)
        unconfirmed.confirm(OTHER)
        assert unconfirmed.may_be_repeated(KEY)
        unconfirmed.confirm(KEY)
        assert not unconfirmed.may_be_repeated(KEY)

    def test_a_process_that_died(self) -> None:
        unconfirmed = Unconfirmed()
        pid = os.fork()
        if not pid:
            unconfirmed.add(KEY)
            os._exit(0)
        os.waitpid(pid, 0)
        assert unconfirmed.may_be_repeated(KEY)

    @given(st.lists(KEYS, max_size=200, unique=True), st.lists(KEYS, max_size=20, unique=True))
    def test_a_few_keys_are_all_remembered(self, lost: list[bytes], known: list[bytes]) -> None:
        unconfirmed = Unconfirmed()
        for key in lost + known:
            unconfirmed.abandon(key)
        for key in known:
            unconfirmed.confirm(key)
        # Eight keys of one bucket push out a ninth: the keys of one bucket begin alike.
        buckets = [int.from_bytes(key[:4]) % 16384 for key in lost + known]
        if max(map(buckets.count, buckets), default=0) <= 8:
            for key in set(lost) - set(known):
                assert unconfirmed.may_be_repeated(key)
        for key in known:
            assert not unconfirmed.may_be_repeated(key)

    def test_the_oldest_of_too_many_is_forgotten(self) -> None:
        unconfirmed = Unconfirmed()
        keys = [b"same" + number.to_bytes(4) for number in range(9)]
        for key in keys:
            unconfirmed.abandon(key)
        assert [unconfirmed.may_be_repeated(key) for key in keys] == [False] + [True] * 8

    def test_another_program_goes_on_with_it(self) -> None:
        before = Unconfirmed()
        before.add(KEY)
        descriptor, since = before.kept
        after = Unconfirmed((os.dup(descriptor), since))
        assert after.since == before.since
        after.abandon(KEY)
        assert before.may_be_repeated(KEY)


class Mailbox:
    """alice@example.org, with copies of a given time and key."""

    def __init__(self, root: Path) -> None:
        self.path = root.joinpath(*PLACE)
        for name in ("new", "cur", "tmp"):
            (self.path / name).mkdir(parents=True)
        self.disk = FaultyDisk()
        store = MaildirStore(Layout("{domain}/{local}"), MaildirTree(root, self.disk), "host")
        self.store = store
        self.unconfirmed = Unconfirmed()
        self.now = float(self.unconfirmed.since)
        self.duplicates = Duplicates(store, self.unconfirmed, DAY, lambda: self.now)

    def hold(self, key: bytes, seconds_ago: float, folder: str = "new", flags: str = "") -> str:
        seconds, _, fraction = f"{self.now - seconds_ago:.6f}".partition(".")
        name = f"{seconds}.M{fraction}P1Q1R1D{key.hex()}.host,S=1,W=1{flags}"
        (self.path / folder / name).touch()
        return name

    def find(self, key: bytes) -> str:
        return self.duplicates.find(PLACE, key)


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    return Mailbox(tmp_path)


class TestDuplicates:
    def test_an_empty_mailbox(self, mailbox: Mailbox) -> None:
        assert mailbox.find(KEY) == ""
        mailbox.unconfirmed.abandon(KEY)
        assert mailbox.find(KEY) == ""

    def test_no_mailbox(self, mailbox: Mailbox) -> None:
        mailbox.unconfirmed.abandon(KEY)
        assert mailbox.duplicates.find(("example.org", "nobody"), KEY) == ""

    def test_a_mailbox_without_folders(self, mailbox: Mailbox) -> None:
        for name in ("new", "cur"):
            (mailbox.path / name).rmdir()
        mailbox.unconfirmed.abandon(KEY)
        assert mailbox.find(KEY) == ""

    @pytest.mark.parametrize(("folder", "flags"), [("new", ""), ("cur", ":2,S")])
    def test_what_the_server_before_did_last(
        self, mailbox: Mailbox, folder: str, flags: str
    ) -> None:
        mailbox.now += 5
        name = mailbox.hold(KEY, 3600, folder, flags)
        mailbox.hold(OTHER, 3600 + LAST_SECONDS + 1)
        assert mailbox.find(KEY) == name
        assert mailbox.find(OTHER) == "", "its client had a minute to hear of it"

    def test_what_is_found_is_durable(self, mailbox: Mailbox) -> None:
        """Whoever has moved it into new/ may have died before the fsync of new/."""
        name = mailbox.hold(KEY, 1)
        mailbox.unconfirmed.abandon(KEY)
        mailbox.disk.calls.clear()
        assert mailbox.find(KEY) == name
        synced = {call.place for call in mailbox.disk.made("sync")}
        assert synced == {"example.org/alice/new", "example.org/alice/cur"}
        with (
            mailbox.disk.failing(Fault(errno.EIO, kind="sync", under="example.org/alice/new")),
            pytest.raises(OSError, match="Input/output"),
        ):
            mailbox.find(KEY)

    def test_what_this_server_did_is_not_taken_for_it(self, mailbox: Mailbox) -> None:
        mailbox.now += 3600
        mailbox.hold(KEY, 1800)
        assert mailbox.find(KEY) == ""
        mailbox.unconfirmed.abandon(KEY)
        assert mailbox.find(KEY)

    def test_a_restart_within_the_same_second(self, mailbox: Mailbox) -> None:
        mailbox.now = mailbox.unconfirmed.since
        before, after = mailbox.hold(KEY, 0.001), mailbox.hold(OTHER, -0.001)
        assert mailbox.find(KEY) == before
        assert mailbox.find(OTHER) == "", f"{after} is this server's own"

    def test_after_the_window_it_is_another_message(self, mailbox: Mailbox) -> None:
        mailbox.now += 5
        mailbox.hold(KEY, DAY + 1)
        mailbox.unconfirmed.abandon(KEY)
        assert mailbox.find(KEY) == ""

    def test_a_mailbox_is_looked_through_once(self, mailbox: Mailbox) -> None:
        for _ in range(3):
            assert mailbox.find(KEY) == ""
        assert [call.kind for call in mailbox.disk.calls].count("names") == 2  # new/ and cur/

    def test_a_server_that_has_run_for_long_looks_at_nothing(self, mailbox: Mailbox) -> None:
        mailbox.now += DAY
        mailbox.disk.calls.clear()
        assert mailbox.find(KEY) == ""
        assert mailbox.disk.calls == []

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "1.2.host",
            "x.M000001P1Q1R1D0102030405060708.host",
            "1.M1P1Q1R1D0102030405060708.host",
            "1.M000001P1Q1R1D01020304050607.host",
            "1" * 13 + ".M000001P1Q1R1D0102030405060708.host",
            "1.M000001P1Q1R1D0102030405060708",
            "dovecot-uidlist",
        ],
    )
    def test_other_names(self, mailbox: Mailbox, name: str) -> None:
        if name:
            (mailbox.path / "cur" / name).touch()
        mailbox.unconfirmed.abandon(KEY)
        assert mailbox.find(KEY) == ""
