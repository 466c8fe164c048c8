"""From what a back-end says to a verdict."""

from __future__ import annotations

import pytest

from lmtpd.recipients.answer import MOST_ROWS, AnswerReader
from lmtpd.recipients.chain import AddressRules
from lmtpd.recipients.verdict import AnswerError, Verdict

READER = AnswerReader("example.org", AddressRules())
A, B = "alice@example.org", "bob@example.org"


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (b"null", None),
        (b' {"accept": "Alice"}\n', Verdict.accept("alice@example.org")),
        (b'{"accept": ["a@x", "B@x", "a@x"]}', Verdict.accept("a@x", "b@x")),
        (b'{"accept": "\\"a b\\"@x"}', Verdict.accept("a b@x")),
        (b'{"accept": ["~alice", "~bob@x"]}', Verdict.accept("~alice", "~bob@x")),
        (b'{"catch_all": "a@x"}', Verdict.accept("a@x", catch_all=True)),
        (b'{"unknown": ""}', Verdict.unknown()),
        (b'{"reject": "no"}', Verdict.reject("no")),
        (b'{"full": "no"}', Verdict.full("no")),
        (b'{"defer": "later"}', Verdict.defer("later")),
    ],
)
def test_json(answer: bytes, verdict: Verdict | None) -> None:
    assert READER.of_json(answer) == verdict


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"x",
        b"\xff",
        b"[" * 60000,
        b"9" * 60000,
        b"{}",
        b"true",
        b"[]",
        b'"alice"',
        b'{"accept": []}',
        b'{"accept": null}',
        b'{"accept": ["a@x", 7]}',
        b'{"accept": "a@x", "full": ""}',
        b'{"accept": "@x"}',
        b'{"accept": "a\\r\\nb@x"}',
        b'{"accept": "\\ud800@x"}',
        b'{"accept": "' + b"x" * 300 + b'"}',
        b'{"reject": 7}',
        b'{"Reject": "x"}',
        b"null null",
        '{"accept": "a@x"}'.encode("utf-16"),
    ],
)
def test_what_is_no_json_answer(answer: bytes) -> None:
    with pytest.raises(AnswerError, match=r"answer|mailbox") as caught:
        READER.of_json(answer)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        ("Alice", Verdict.accept("alice@example.org")),
        (" a@x,b@x\tc@x ", Verdict.accept("a@x", "b@x", "c@x")),
        ('"a, b"@x', Verdict.accept("a, b@x")),
        ("REJECT", Verdict.reject()),
        ('REJECT "gone', Verdict.reject('"gone')),
        ("554 5.7.1 gone", Verdict.reject("gone")),
        ("452 full", Verdict.full("full")),
        ("DEFER", Verdict.defer("")),
        ("450 4.2.0 moved", Verdict.defer("moved")),
        ("reject", Verdict.accept("reject@example.org")),
    ],
)
def test_value(value: str, verdict: Verdict) -> None:
    assert READER.of_value(value) == verdict


@pytest.mark.parametrize("value", ["", " , ", '"a@x', "@x", "a@x :include:/etc/passwd"])
def test_what_is_no_value(value: str) -> None:
    with pytest.raises(AnswerError):
        READER.of_value(value)


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
        ([(A, "defer is being moved")], Verdict.defer("is being moved")),
        ([(A, "catch-all"), (A, "full Later"), (A, "reject")], Verdict.full("Later")),
    ],
)
def test_rows(rows: list[tuple[object, object]], verdict: Verdict | None) -> None:
    assert READER.of_rows(rows) == verdict


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([(None, None)], "a mailbox is text, not NoneType"),
        ([(None, "accept")], "a mailbox is text"),
        ([(b"alice", None)], "not bytes"),
        ([("", None)], "a mailbox is empty"),
        ([("alice@@x", None)], "'alice@@x' is no mailbox"),
        ([("a" * 300, None)], r"'a{96}\.{3} is no mailbox: path is too long"),
        ([(A, "")], "a word is empty"),
        ([(A, 1)], "a word is text, not int"),
        ([(A, "Accept")], "'Accept' is none of accept, catch-all, unknown, reject, full, defer"),
        ([(A, "full"), (A, "perhaps")], "'perhaps' is none of"),
        ([(A, "x" * 100)], "'x{32}' is none of"),
        ([(f"{number}", None) for number in range(MOST_ROWS + 1)], "1000 rows"),
        ([(A, None), (A, "reject " + "\u00e4" * 33_000)], "65536 octets"),
    ],
)
def test_rows_that_mean_nothing(rows: list[tuple[object, object]], fault: str) -> None:
    with pytest.raises(AnswerError, match=fault):
        READER.of_rows(rows)


def test_as_many_rows_as_may_be() -> None:
    rows = [(f"{number:054}", None) for number in range(MOST_ROWS)]
    assert READER.of_rows(rows[:900]) is not None
    with pytest.raises(AnswerError, match="octets"):
        READER.of_rows(rows)
