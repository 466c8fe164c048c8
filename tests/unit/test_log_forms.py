"""A line of the log is one line, whatever is in it, and can be read back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtpd.log.forms import FORMS, escaped
from lmtpd.protocol import replies
from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import Peer

NOW = 1_700_000_000.0


def written(event: str, now: float = NOW, /, form: str = "logfmt", **fields: object) -> str:
    return FORMS[form].line(now, event, FORMS[form].words(fields))


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, ""),
        ({"id": "0123abcd"}, " id=0123abcd"),
        ({"a": 1, "b": True, "c": 0, "d": False}, " a=1 b=True c=0 d=False"),
        ({"a": None, "b": "", "c": "x"}, " c=x"),
        ({"seconds": 0.0}, " seconds=0.0000"),
        ({"seconds": 1.23456}, " seconds=1.2346"),
        ({"seconds": 1e-9}, " seconds=0.0000"),
        ({"seconds": 1234567.0}, " seconds=1234567.0000"),
        ({"peer": Peer("192.0.2.1")}, " peer=192.0.2.1"),
        ({"peer": Peer("")}, " peer=local"),
        ({"to": Address("a b", "x.org")}, r' to="\"a b\"@x.org"'),
        ({"sender": "<a@x.org>"}, " sender=<a@x.org>"),
        ({"reply": replies.STORAGE_FULL}, f' reply="{replies.STORAGE_FULL}"'),
        ({"cause": repr(OSError(28, "full", "/srv"))}, " cause=\"OSError(28, 'full')\""),
    ],
)
def test_lines(fields: dict[str, object], line: str) -> None:
    assert written("event", **fields) == f"2023-11-14T22:13:20.000Z event{line}"


@pytest.mark.parametrize(
    ("now", "time"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (NOW + 0.25, "2023-11-14T22:13:20.250Z"),
        (NOW + 0.9996, "2023-11-14T22:13:20.999Z"),
    ],
)
def test_the_time(now: float, time: str) -> None:
    assert written("event", now) == f"{time} event"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("a@b.c", "a@b.c"),
        ("<>", "<>"),
        ("a'b", "a'b"),
        ("", ""),
        (" ", '" "'),
        ("550 5.1.1 <a@b> No", '"550 5.1.1 <a@b> No"'),
        ('a "b"', r'"a \"b\""'),
        ("a b\\", r'"a b\\"'),
        ("a b\x7f", r'"a b\u007f"'),
        ("a bü", r'"a b\u00fc"'),
        ("a b", '"a b"'),
        ("a=b", '"a=b"'),
        ('a"b', r'"a\"b"'),
        ("a\\b", r'"a\\b"'),
        ("a\nb", r'"a\nb"'),
        ("a\r\n2023 event", r'"a\r\n2023 event"'),
        ("\0\x1b[31m\x7f", r'"\u0000\u001b[31m\u007f"'),
        ("\x85\xa0", r'"\u0085\u00a0"'),
        ("\u2028", r'"\u2028"'),
        ("ü", r'"\u00fc"'),
        ("𐍈", r'"\ud800\udf48"'),
        ("\ud800", r'"\ud800"'),
        (1.5, "1.5000"),
        (-1.5, "-1.5000"),
        (float("nan"), "nan"),
        (7, "7"),
        (None, "None"),
    ],
)
def test_escaped(value: object, text: str) -> None:
    assert escaped(value) == text


@given(st.text(alphabet=st.characters() | st.sampled_from('\r\n"\\= \x7f\ud800')))
def test_any_text_is_one_word_and_can_be_read_back(text: str) -> None:
    word = escaped(text)
    assert word.isascii()
    assert word.isprintable()
    assert (json.loads(word) if word.startswith('"') else word) == text


@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ({}, {}),
        ({"a": 1, "b": True, "c": 0, "d": False}, {"a": 1, "b": True, "c": 0, "d": False}),
        ({"a": None, "b": "", "c": "x"}, {"c": "x"}),
        ({"seconds": 0.25}, {"seconds": 0.25}),
        ({"seconds": float("nan"), "most": float("inf")}, {"seconds": "nan", "most": "inf"}),
        ({"peer": Peer("192.0.2.1")}, {"peer": "192.0.2.1"}),
        ({"to": Address("a b", "x.org")}, {"to": '"a b"@x.org'}),
        ({"reply": replies.STORAGE_FULL}, {"reply": str(replies.STORAGE_FULL)}),
    ],
)
def test_json(fields: dict[str, object], read: dict[str, object]) -> None:
    line = written("event", form="json", **fields)
    assert json.loads(line) == {"time": "2023-11-14T22:13:20.000Z", "event": "event", **read}


@given(st.text(alphabet=st.characters() | st.sampled_from('\r\n"\\= \x7f\ud800')))
def test_any_text_in_json_is_one_line_and_can_be_read_back(text: str) -> None:
    line = written("event", form="json", name=text)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line).get("name", "") == text


@pytest.mark.parametrize("form", FORMS)
def test_words_that_lines_have_in_common_are_those_of_the_line(form: str) -> None:
    common = FORMS[form].words({"id": "a b", "size": 1})
    own = FORMS[form].words({"reply": "250 ü"})
    assert FORMS[form].line(NOW, "e", common + own) == written(
        "e", form=form, id="a b", size=1, reply="250 ü"
    )


def test_where_somebody_else_notes_the_time_there_is_none() -> None:
    assert FORMS["logfmt"].line(None, "event", " a=1") == "event a=1"
    assert json.loads(FORMS["json"].line(None, "event", ',"a":1')) == {"event": "event", "a": 1}
