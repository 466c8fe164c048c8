"""The hook `passwd`: people are recipients, and a home that is not there bounces nothing."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import Peer
from lmtpd.recipients.passwd import PasswdVerifier
from lmtpd.recipients.verdict import Kind, RcptContext, Verdict
from tests.support.faulty_disk import FaultyDisk, open_descriptors
from tests.support.lent import LentHomes

CONTEXT = RcptContext(Peer(""))
ALICE = Address("alice", "example.org")


@pytest.fixture
def homes(tmp_path: Path) -> LentHomes:
    return LentHomes(tmp_path, "alice")


@pytest.fixture
def hook(homes: LentHomes) -> PasswdVerifier:
    return PasswdVerifier({"example.org", "example.net"}, homes)


def test_it_waits_for_nss_on_a_thread(hook: PasswdVerifier) -> None:
    assert hook.blocking


def test_a_user_is_a_recipient(hook: PasswdVerifier) -> None:
    assert hook.verify(ALICE, CONTEXT) == Verdict.accept("~alice")
    assert hook.verify(Address("alice", "example.net"), CONTEXT) == Verdict.accept("~alice")


@pytest.mark.parametrize("address", ["bob@example.org", "alice@example.com", '"../x"@example.org'])
def test_others_are_left_to_the_next_hook(address: str, hook: PasswdVerifier) -> None:
    assert hook.verify(Address.parse(address), CONTEXT) is None


def test_nothing_is_made(hook: PasswdVerifier, homes: LentHomes, tmp_path: Path) -> None:
    before = open_descriptors()
    hook.verify(ALICE, CONTEXT)
    assert list((tmp_path / "alice").iterdir()) == []
    assert open_descriptors() == before
    assert not homes.disks["alice"].made("make_directory", "create", "sync", "unlink")


def test_a_home_that_is_not_there_is_deferred(hook: PasswdVerifier, tmp_path: Path) -> None:
    (tmp_path / "alice").rmdir()
    verdict = hook.verify(ALICE, CONTEXT)
    assert verdict
    assert verdict.kind is Kind.DEFER
    assert verdict.reason.startswith("HomeError: ~alice: ")


def test_a_home_that_cannot_be_entered_is_deferred(
    hook: PasswdVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(FaultyDisk, "open_root", refuse)
    verdict = hook.verify(ALICE, CONTEXT)
    assert verdict
    assert (verdict.kind, verdict.reason[:15]) == (Kind.DEFER, "PermissionError")


def test_a_service_that_is_down_is_a_fault_of_the_hook(
    hook: PasswdVerifier, homes: LentHomes
) -> None:
    """The guard in front makes a deferral of it, and leaves the service alone for a while."""

    def refuse(_: str) -> None:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

    homes.users._ask = refuse
    with pytest.raises(ConnectionRefusedError):
        hook.verify(ALICE, CONTEXT)
