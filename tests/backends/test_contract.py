"""What every back-end has to do, said once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from lmtpd.protocol.envelope import Peer
from lmtpd.recipients.verdict import AnswerError, RcptContext, RecipientVerifier, Verdict
from tests.backends.conftest import BackEnd, Fate
from tests.support.population import ALICE, ANSWERS, NONSENSE, address

DISASTERS: list[Callable[[Fate], object]] = [
    lambda fate: fate.leave(),
    lambda fate: fate.hang(),
    lambda fate: fate.halve(),
    lambda fate: fate.babble(),
]
NAMES = ["leaves", "hangs", "dies", "babbles"]


def ask(hook: RecipientVerifier, mailbox: str) -> Verdict | None:
    context = RcptContext(Peer(""))
    verdict = hook.verify(address(mailbox), context)
    assert not context.was_read, "an answer that is not kept"
    return verdict


def test_answers(back_end: BackEnd) -> None:
    hook = back_end.build()
    answers = {mailbox: ask(hook, mailbox) for mailbox in ANSWERS}
    assert answers == ANSWERS


@pytest.mark.parametrize("mailbox", NONSENSE)
def test_nonsense_about_an_address_is_no_fault(back_end: BackEnd, mailbox: str) -> None:
    hook = back_end.build()
    with pytest.raises(AnswerError, match=r"."):
        ask(hook, mailbox)
    assert ask(hook, ALICE) == ANSWERS[ALICE]


@pytest.mark.parametrize("befall", DISASTERS, ids=NAMES)
def test_a_disaster_is_a_fault_and_has_an_end(
    back_end: BackEnd, befall: Callable[[Fate], object]
) -> None:
    hook = back_end.build(lmtp_hook_timeout=1)
    assert ask(hook, ALICE) == ANSWERS[ALICE]
    befall(back_end.fate)
    for mailbox in ("user1@example.org", "nobody@example.org"):
        with pytest.raises(Exception, match=r"."):
            ask(hook, mailbox)
    back_end.fate.recover()
    assert ask(hook, "user2@example.org") == Verdict.accept("box2@example.org")
    assert ask(hook, "nobody@example.org") is None


@pytest.mark.parametrize("befall", DISASTERS, ids=NAMES)
def test_it_need_not_be_there_at_the_start(
    back_end: BackEnd, befall: Callable[[Fate], object]
) -> None:
    befall(back_end.fate)
    hook = back_end.build(lmtp_hook_timeout=1)
    with pytest.raises(Exception, match=r"."):
        ask(hook, ALICE)
    back_end.fate.recover()
    assert ask(hook, ALICE) == ANSWERS[ALICE]


def test_a_connection_that_died_while_idle_is_replaced(back_end: BackEnd) -> None:
    hook = back_end.build()
    for _ in range(3):
        assert ask(hook, ALICE) == ANSWERS[ALICE]
        back_end.fate.lose()


def test_many_questions_at_once_get_their_own_answers(back_end: BackEnd) -> None:
    hook = back_end.build()

    def asked(number: int) -> bool:
        number %= 20
        verdict = ask(hook, f"user{number}@example.org")
        return verdict == Verdict.accept(f"box{number}@example.org")

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(asked, range(200)))
    if back_end.gate:
        assert 1 <= back_end.gate.most <= 4
