"""The checks for authors of hooks: sound hooks pass, and each broken rule is found and named."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmtpd.delivery.disk import Disk
from lmtpd.delivery.layout import Layout
from lmtpd.delivery.tree import MaildirTree
from lmtpd.protocol.address import Address
from lmtpd.recipients.chain import AddressRules
from lmtpd.recipients.maildirs import MaildirsVerifier
from lmtpd.recipients.table_file import TableFile
from lmtpd.recipients.verdict import Kind, RcptContext, Verdict
from lmtpd.testing import ODD_LOCALS, SENDER, check_cooperation, check_hook
from tests.support.asking import Asking
from tests.support.backend import PORT, Backend
from tests.support.backend import Asking as AskingBackend

ALICE = "alice@example.org"
NOBODY = "nobody@example.org"


class Sound:
    """Knows alice; the base of those that break a rule."""

    deadline_s = 5.0

    def verify(self, address: Address, context: RcptContext) -> object:  # noqa: ARG002
        return self.judge(address)

    def judge(self, address: Address) -> object:
        if address.domain != "example.org":
            return None
        return Verdict.accept(ALICE) if address.local == "alice" else Verdict.unknown()


def check(hook: object, **options: object) -> None:
    check_hook(hook, [ALICE], [NOBODY], **options)  # type: ignore[arg-type]


class TestSoundHooks:
    def test_in_memory(self) -> None:
        check(Sound())

    def test_an_address_is_asked_for_in_its_normal_form(self) -> None:
        check_hook(Sound(), ["Alice@EXAMPLE.org"])  # type: ignore[arg-type]

    def test_maildirs(self, tmp_path: Path) -> None:
        (tmp_path / "example.org" / "alice").mkdir(parents=True)
        check(MaildirsVerifier(Layout("{domain}/{local}"), MaildirTree(tmp_path, Disk())))
        assert [path.name for path in tmp_path.rglob("*")] == ["example.org", "alice"]

    def test_table(self, tmp_path: Path) -> None:
        path = tmp_path / "table"
        path.write_text(
            "alice@example.org\n@example.com @example.org\n@example.net alice@example.org\n"
            "/^[a-z]+-list@example.org/ alice@example.org\n"
        )
        hook = TableFile(path, "example.org", AddressRules(), Asking().report)
        known = [ALICE, "some-list@example.org", "x@example.com", "x@example.net"]
        check_hook(hook, known, [NOBODY, "x@example.edu"])

    def test_one_with_sockets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Backend(ALICE) as backend:
            monkeypatch.setenv(PORT, str(backend.port))
            check(AskingBackend(None))

    def test_one_that_looks_at_the_sender(self) -> None:
        class Internal(Sound):
            def verify(self, address: Address, context: RcptContext) -> object:
                is_ours = context.reverse_path == "boss@example.org"
                return super().verify(address, context) if is_ours else Verdict.reject()

        check(Internal(), reads_context=True, sender="boss@example.org")
        with pytest.raises(AssertionError, match=r"^alice@example\.org is known, and it says: rej"):
            check(Internal(), reads_context=True)

    def test_a_reason_may_differ_from_time_to_time(self) -> None:
        class Counting(Sound):
            numbers = itertools.count()

            def judge(self, address: Address) -> object:
                if address.domain == "example.net":
                    return Verdict.defer(f"question {next(self.numbers)}")
                return Verdict(Kind.ACCEPT, (ALICE,), reason=str(next(self.numbers)))

        check_hook(Counting(), [ALICE])  # type: ignore[arg-type]

    def test_one_that_takes_a_whole_domain(self) -> None:
        class All(Sound):
            def judge(self, address: Address) -> object:
                return Verdict.accept(address.mailbox)

        check_hook(All(), [ALICE])  # type: ignore[arg-type]

    def test_one_that_closes_a_little_later(self) -> None:
        """Such as a back-end of the same process, which may hang up after the answer."""

        class Later(Sound):
            def judge(self, address: Address) -> object:
                descriptor = os.open("/dev/null", os.O_RDONLY)
                threading.Timer(0.05, os.close, [descriptor]).start()
                return super().judge(address)

        check_hook(Later(), [ALICE])  # type: ignore[arg-type]


class Mute:
    """Has no method."""


class Unsure(Sound):
    blocking = "yes"


class Timeless(Sound):
    positive_ttl_s = -1


class Wordy(Sound):
    def judge(self, address: Address) -> object:
        return address.local == "alice"


class Nowhere(Sound):
    def judge(self, _: Address) -> object:
        return Verdict(Kind.ACCEPT)


class Numeric(Sound):
    def judge(self, _: Address) -> object:
        return Verdict.reject(7)  # type: ignore[arg-type]


class Forgetful(Sound):
    def judge(self, _: Address) -> object:
        return None


class Deferring(Sound):
    def judge(self, _: Address) -> object:
        return Verdict.defer("not today")


class Trusting(Sound):
    def judge(self, address: Address) -> object:
        return Verdict.accept(address.mailbox)


class Unstorable(Sound):
    def judge(self, address: Address) -> object:
        return Verdict.accept(f"../{address.local}@example.org")


class Fickle(Sound):
    def __init__(self) -> None:
        self.asked: set[Address] = set()

    def judge(self, address: Address) -> object:
        if address in self.asked:
            return Verdict.full()
        self.asked.add(address)
        return super().judge(address)


class Racing(Sound):
    """What it says of one it takes from what it was asked about another."""

    def judge(self, address: Address) -> object:
        self.address = address
        for _ in range(20):
            time.sleep(0.001)
        return super().judge(self.address)


class AsciiOnly(Sound):
    def judge(self, address: Address) -> object:
        address.local.encode("ascii")
        return super().judge(address)


class WithDomain(Sound):
    def judge(self, address: Address) -> object:
        return super().judge(address) if address.domain[0] != "x" else None


class Exiting(Sound):
    """No guard catches that: the client would be left without a reply."""

    def judge(self, address: Address) -> object:
        if not address.local.isalnum():
            raise SystemExit(1)
        return super().judge(address)


class Injectable(Sound):
    def judge(self, address: Address) -> object:
        if "'1'='1" in address.local:
            return Verdict.accept(ALICE)
        return super().judge(address)


class Curious(Sound):
    def verify(self, address: Address, context: RcptContext) -> object:
        return self.judge(address) if context.peer.port >= 0 else None


class NoBounces(Sound):
    def verify(self, address: Address, context: RcptContext) -> object:
        assert context.reverse_path is not None
        return self.judge(address) if context.reverse_path.index("@") else None


class Endless(Sound):
    deadline_s = 0.1

    def judge(self, address: Address) -> object:
        return threading.Event().wait(30) and super().judge(address)


class Leaking(Sound):
    def __init__(self) -> None:
        self.connections: list[socket.socket] = []

    def judge(self, address: Address) -> object:
        self.connections.append(socket.socket())
        return super().judge(address)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Mute, "no method verify"),
        (Unsure, "blocking is neither"),
        (Timeless, "hook Timeless: positive_ttl_s = -1 is no number of seconds"),
        (Wordy, "about alice@example.org cannot be used: a Verdict or None was due, not bool"),
        (Nowhere, "accepted without a mailbox"),
        (Numeric, "about alice@example.org cannot be used"),
        (Forgetful, "alice@example.org is known, and it says: no opinion"),
        (Deferring, "alice@example.org is known, and it says: defer (not today)"),
        (Trusting, "nobody@example.org is unknown, and it says: accept nobody@example.org"),
        (Unstorable, "no store can hold what alice@example.org is accepted for"),
        (Fickle, "it says accept alice@example.org, and a second time full"),
        (Racing, "it says accept alice@example.org, and to several at once unknown"),
        (AsciiOnly, "it raises UnicodeEncodeError"),
        (WithDomain, "asked for postmaster it raises IndexError"),
        (Exiting, "it raises SystemExit(1)"),
        (Injectable, "is the address escaped"),
        (Curious, "it reads its context"),
        (NoBounces, "asked for alice@example.org it raises AssertionError"),
        (Endless, "it has no answer about alice@example.org within 0.1 s"),
        (Leaking, "it leaves descriptors open"),
    ],
)
def test_a_broken_rule_is_named(kind: type, words: str) -> None:
    hook = kind()
    with pytest.raises(AssertionError) as caught:
        check(hook)
    for connection in getattr(hook, "connections", ()):
        connection.close()
    assert words in str(caught.value)


def test_context_that_is_announced_and_not_read() -> None:
    with pytest.raises(AssertionError, match="never read its context"):
        check(Sound(), reads_context=True)


@pytest.mark.parametrize("local", [local for local in ODD_LOCALS if len(local) < 100])
def test_the_odd_addresses_are_legal(local: str) -> None:
    address = Address(local, "example.org")
    assert Address.parse(str(address)) == address


def test_the_usual_sender_is_an_address() -> None:
    assert str(Address.parse(SENDER)) == SENDER


SLOW = "tests.support.slow_hooks"
STALLING = ["alice@example.org", "x@stalling.example"]


@pytest.fixture
def _backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with Backend(ALICE) as backend:
        monkeypatch.setenv(PORT, str(backend.port))
        yield


class TestCooperation:
    @pytest.mark.usefixtures("_backend")
    @pytest.mark.parametrize(
        "name",
        [
            f"{SLOW}:Dozing",
            f"{SLOW}:DozingOnAThread",
            "tests.support.backend:Asking",
        ],
    )
    def test_sound_hooks(self, name: str) -> None:
        # Half the time that the stalling one takes; less would be a test of the machine.
        check_cooperation(name, STALLING, most_s=0.15)

    def test_one_that_stops_the_event_loop(self) -> None:
        with pytest.raises(AssertionError, match=r"Stalling stops the event loop for 0\.[3-9]"):
            check_cooperation(f"{SLOW}:Stalling", STALLING)

    def test_one_that_fails(self) -> None:
        with pytest.raises(AssertionError, match="RuntimeError: not in a greenlet"):
            check_cooperation(f"{SLOW}:Failing", STALLING)

    def test_one_that_is_not_there(self) -> None:
        with pytest.raises(AssertionError, match="has no attribute 'Missing'"):
            check_cooperation(f"{SLOW}:Missing", STALLING)

    def test_one_that_hangs(self) -> None:
        with pytest.raises(AssertionError, match=r"gave no answer within 3 s under gevent"):
            check_cooperation(f"{SLOW}:Waiting", ["x@waiting.example"], within_s=3)
