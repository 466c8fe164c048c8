"""What all hooks remember, as one."""

from __future__ import annotations

from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import Peer
from lmtpd.recipients.chain import AddressRules, VerifierChain
from lmtpd.recipients.guard import GuardedHook
from lmtpd.recipients.memory import Memory
from lmtpd.recipients.policy import Policy
from lmtpd.recipients.verdict import RcptContext, Verdict
from tests.support.asking import Asking

ALICE = Address("Alice+x", "example.org")
_LEFT = "(asked 0.0 s ago, holds"


class Knows:
    """A hook that knows one local part."""

    def __init__(self, local: str) -> None:
        self.local = local

    def verify(self, address: Address, _: RcptContext) -> Verdict | None:
        return Verdict.accept(address.mailbox) if address.local == self.local else None


def test_every_hook_is_looked_into_under_every_spelling() -> None:
    process, rules = Asking().process, AddressRules()
    hooks = [
        GuardedHook(f"hook{local}", Knows(local), process, str, Policy(jitter=0))
        for local in ("bob", "alice")
    ]
    memory = Memory(hooks, rules)
    assert memory.recall(ALICE) == []
    chain = VerifierChain(hooks, rules, 25.0, process.clock)
    assert chain.verify(ALICE, RcptContext(Peer(""))).is_accepted
    assert memory.recall(ALICE) == [
        f"hook hookbob on alice+x@example.org: no opinion {_LEFT} 10.0 s more)",
        f"hook hookalice on alice+x@example.org: no opinion {_LEFT} 10.0 s more)",
        f"hook hookbob on alice@example.org: no opinion {_LEFT} 10.0 s more)",
        f"hook hookalice on alice@example.org: accept alice@example.org {_LEFT} 300.0 s more)",
    ]
    bob, alice = memory.health()
    assert (bob.name, bob.is_up, bob.asked, bob.faults, bob.hits, bob.remembered) == (
        "hookbob",
        True,
        2,
        0,
        0,
        2,
    )
    assert alice.remembered == 2
    assert chain.verify(ALICE, RcptContext(Peer(""))).is_accepted
    assert memory.health()[1].hits == 2
    assert memory.flush() == 4
    assert memory.flush() == 0
    assert memory.recall(ALICE) == []
