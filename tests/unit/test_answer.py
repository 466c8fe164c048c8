"""From what a back-end says to a verdict."""

from __future__ import annotations

import pytest

from lmtpd.recipients.answer import AnswerError, AnswerReader
from lmtpd.recipients.chain import AddressRules
from lmtpd.recipients.verdict import Verdict

READER = AnswerReader("example.org", AddressRules())


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (b"null", None),
        (b' {"accept": "Alice"}\n', Verdict.accept("alice@example.org")),
        (b'{"accept": ["a@x", "B@x", "a@x"]}', Verdict.accept("a@x", "b@x")),
        (b'{"accept": "\\"a b\\"@x"}', Verdict.accept("a b@x")),
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
    with pytest.raises(AnswerError, match="answer") as caught:
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
