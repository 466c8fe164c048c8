"""Every system call of a delivery into a home fails once, in every way; the promise holds.

What the rest of a delivery owes is in test_delivery_faults.py; here, that a home is no exception,
that its neighbours are not hurt, and that nobody's rights are kept.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lmtpd.delivery.agent import Outcome
from lmtpd.protocol import replies
from lmtpd.protocol.envelope import Recipient
from tests.faults.test_delivery_faults import REPLIES
from tests.support.faulty_disk import Call, Fault
from tests.support.home_server import ALICE, BOB, CAROL, TEAM, HomeServer


@dataclass(frozen=True)
class Scenario:
    """Who gets the message, and what is there before."""

    recipients: tuple[Recipient, ...]
    is_open: bool = False
    is_spilled: bool = False
    mode: str = "fsync"


SCENARIOS = {
    "new": Scenario((ALICE,)),
    "open": Scenario((ALICE,), is_open=True),
    "new-beside-others": Scenario((CAROL, ALICE, BOB)),
    "open-beside-others": Scenario((ALICE, CAROL, BOB), is_open=True),
    "spilled": Scenario((ALICE, CAROL), is_open=True, is_spilled=True),
    "list": Scenario((TEAM, BOB), is_open=True),
    "syncfs": Scenario((ALICE, BOB), is_open=True, mode="syncfs"),
}


class Prepared:
    """A server on which a fault of alice's disk can befall one delivery."""

    def __init__(self, folder: Path, scenario: Scenario) -> None:
        folder.mkdir()
        self.server = HomeServer(folder, mode=scenario.mode)
        self.server.homes.has_syncfs = scenario.mode == "syncfs"
        self._scenario = scenario
        if scenario.is_open:
            self.deliver()
        self.before = self.counts()

    def deliver(self, *faults: Fault) -> tuple[Outcome, ...]:
        """With faults on the disk of alice, be it made by this delivery."""
        homes = self.server.homes
        homes.faults = list(faults)
        for disk in homes.disks.values():
            disk.calls.clear()
            disk.faults = homes.faults_of(disk)
        try:
            scenario = self._scenario
            return self.server.deliver(*scenario.recipients, is_spilled=scenario.is_spilled)
        finally:
            homes.faults = []
            for disk in homes.disks.values():
                disk.faults = []

    def counts(self) -> dict[str, int]:
        """Messages in each new/."""
        found = {name: len(self.server.homes.new(name)) for name in ("alice", "bob")}
        return found | {"carol": len(self.server.carol())}

    def leftovers(self) -> list[Path]:
        return list(self.server.maildir("alice").glob("tmp/*"))


def complaints(prepared: Prepared, outcomes: tuple[Outcome, ...], error: int) -> Iterator[str]:
    came = {name: count - prepared.before[name] for name, count in prepared.counts().items()}
    for outcome in outcomes:
        name = outcome.recipient.address.local
        boxes = ["alice", "carol"] if name == "team" else [name]
        if outcome.reply.is_success:
            if [came[box] for box in boxes] != [1] * len(boxes):
                yield f"{name} has 250, but new/ got {came}"
            continue
        if "alice" not in boxes:
            yield f"{name} is hurt: {outcome.cause!r}"
        if outcome.reply != REPLIES[error].about(outcome.recipient.address):
            yield f"{name} has {outcome.reply}"
        if came["alice"]:
            yield f"{name} has {outcome.reply}, but new/ got a file"
    if prepared.leftovers():
        yield f"left over: {prepared.leftovers()}"
    if not prepared.server.homes.kernel.is_ours:
        yield "rights are kept"


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_call_and_each_errno(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    dry = Prepared(tmp_path / "dry", scenario)
    assert all(outcome.reply.is_success for outcome in dry.deliver())
    calls = list(dry.server.homes.disks["alice"].calls)
    assert {"create", "rename"} <= {call.kind for call in calls}
    found: list[str] = []
    hurt: set[str] = set()
    for number, call in enumerate(calls):
        for error in REPLIES:
            prepared = Prepared(tmp_path / f"{number}-{error}", scenario)
            outcomes = prepared.deliver(Fault(error, number=number))
            wrong = list(complaints(prepared, outcomes, error)) if _matters(call) else []
            if not all(outcome.reply.is_success for outcome in outcomes):
                hurt.add(call.kind)
            if not all(outcome.reply.is_success for outcome in prepared.deliver()):
                wrong.append("the next delivery fails too")
            prepared.server.give_back()
            found += (f"{errno.errorcode[error]} at {number}, {call}: {text}" for text in wrong)
    dry.server.give_back()
    assert not found, "\n" + "\n".join(found)
    assert {"create", "write", "rename"} <= hurt


def _matters(call: Call) -> bool:
    """But for what takes away what is not needed any more."""
    return call.kind != "unlink"


@pytest.mark.parametrize("since", range(12))
def test_rights_that_are_refused_from_some_call_on(since: int, tmp_path: Path) -> None:
    """The kernel lends none: a 4xx for homes, mail for others, and we are ourselves."""
    server = HomeServer(tmp_path)
    kernel = server.homes.kernel
    original, count = kernel.set_groups, iter(range(10**6))

    def set_groups(groups: tuple[int, ...]) -> None:
        if groups != kernel.ours.groups and next(count) >= since:
            raise PermissionError(errno.EPERM, "setgroups")
        original(groups)

    kernel.set_groups = set_groups  # type: ignore[method-assign]
    alice, carol = server.deliver(ALICE, CAROL)
    assert alice.reply in (replies.STORE_MISCONFIGURED.about(ALICE.address),)
    assert carol.reply.is_success
    assert server.homes.new("alice") == []
    assert kernel.is_ours
    server.give_back()
