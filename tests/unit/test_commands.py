"""What a worker answers to a command, and what a caller makes of the answers."""

from __future__ import annotations

import pytest

from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import Peer
from lmtpd.recipients.chain import AddressRules
from lmtpd.recipients.guard import GuardedHook
from lmtpd.recipients.memory import Memory
from lmtpd.recipients.policy import Policy
from lmtpd.recipients.verdict import RcptContext, Verdict
from lmtpd.server.commands import Flushed, answer, flushed
from tests.support.asking import Asking

ALICE = Address("alice", "example.org")


class Bad:
    """A hook that says what would forge a line, and paint the terminal."""

    def verify(self, address: Address, _: RcptContext) -> Verdict | None:  # noqa: ARG002
        raise OSError("one\nworker 1 forgot 7\x1b[31m")


@pytest.fixture
def memory() -> Memory:
    """Of a hook that is down."""
    asking = Asking()
    hook = GuardedHook("bad", Bad(), asking.process, str, Policy(faults=1))
    hook.verify(ALICE, RcptContext(Peer("")), asking.clock() + 25)
    return Memory([hook], AddressRules())


def test_an_answer_fits_into_the_channel() -> None:
    members = [f"\U0001f4ee{number}@example.org" for number in range(5_000)]

    class Everybody:
        def verify(self, _: Address, __: RcptContext) -> Verdict | None:
            return Verdict.accept(*members)

    asking = Asking()
    hook = GuardedHook("list", Everybody(), asking.process, str, Policy())
    hook.verify(ALICE, RcptContext(Peer("")), asking.clock() + 25)
    said = answer(f"recall {ALICE}", Memory([hook], AddressRules()))
    assert members[1_000] in said
    assert len(said.encode()) <= 65_536


def test_what_a_hook_said_cannot_forge_a_line(memory: Memory) -> None:
    said = answer(f"recall {ALICE}", memory)
    assert said.isprintable()
    assert said.endswith("OSError: one?worker 1 forgot 7?[31m")


@pytest.mark.parametrize("line", ["", "flu", "FLUSH", "recall", "recall @", "recall a b@x"])
def test_nonsense_is_told_so(line: str, memory: Memory) -> None:
    assert answer(line, memory).startswith("error ")


def test_a_flush_is_counted(memory: Memory) -> None:
    assert answer("flush", memory) == "forgot 0"


def test_answers_are_added_up() -> None:
    lines = ["worker 0 forgot 3", "worker 1 ended", "worker 2 silent", "worker 3 forgot 4"]
    assert flushed(lines) == Flushed(["0", "3"], ["1"], ["2"], 7)
    assert flushed(lines).asked == 4
    assert flushed([]) == Flushed()
