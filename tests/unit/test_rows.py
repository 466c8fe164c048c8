"""What rows mean, table first; back-ends of their own have them come true in tests/backends."""

from __future__ import annotations

import pytest

from lmtpd.recipients.chain import AddressRules
from lmtpd.recipients.rows import MOST_ROWS, RowReader
from lmtpd.recipients.verdict import Verdict

READER = RowReader("example.org", AddressRules())
A, B = "alice@example.org", "bob@example.org"


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([], None),
        ([(A, None)], Verdict.accept(A)),
        ([(A, "accept Thank you")], Verdict.accept(A, text="Thank you")),
        ([("Alice", None)], Verdict.accept(A)),
        ([("Alice@EXAMPLE.org", None), (B, None)], Verdict.accept(A, B)),
        ([(B, None), (A, "accept"), (B, None)], Verdict.accept(B, A)),
        ([(A, "catch-all")], Verdict.accept(A, catch_all=True)),
        ([(A, "catch-all"), (B, None)], Verdict.accept(B)),
        ([(None, "unknown")], Verdict.unknown()),
        ([(A, None), (None, "reject Closed  now")], Verdict.reject("Closed  now")),
        ([(A, "full")], Verdict.full()),
        ([(A, "catch-all"), (A, "full Later"), (A, "reject")], Verdict.full("Later")),
    ],
)
def test_meanings(rows: list[tuple[object, object]], verdict: Verdict | None) -> None:
    assert READER.verdict(rows) == verdict


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([(None, None)], "a mailbox is text, not NoneType"),
        ([(None, "accept")], "a mailbox is text"),
        ([(b"alice", None)], "not bytes"),
        ([("", None)], "a mailbox is empty"),
        ([("alice@@x", None)], "'alice@@x' is no mailbox"),
        ([("a" * 300, None)], "'a{100}' is no mailbox: path is too long"),
        ([(A, "")], "a word is empty"),
        ([(A, 1)], "a word is text, not int"),
        ([(A, "Accept")], "'Accept' is none of accept, catch-all, unknown, reject, full"),
        ([(A, "full"), (A, "perhaps")], "'perhaps' is none of"),
        ([(A, "x" * 100)], "'x{32}' is none of"),
        ([(f"{number}", None) for number in range(MOST_ROWS + 1)], "1000 rows"),
        ([(A, None), (A, "reject " + "\u00e4" * 33_000)], "65536 octets"),
    ],
)
def test_nonsense(rows: list[tuple[object, object]], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        READER.verdict(rows)


def test_as_much_as_may_be() -> None:
    rows = [(f"{number:054}", None) for number in range(MOST_ROWS)]
    assert READER.verdict(rows[:900]) is not None
    with pytest.raises(ValueError, match="octets"):
        READER.verdict(rows)
