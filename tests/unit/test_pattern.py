"""Patterns: what people write goes through; what could stop the process does not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtpd.recipients.pattern import compile_pattern


@pytest.mark.parametrize(
    ("text", "address", "is_found"),
    [
        (r"^sales-.*@example\.org$", "sales-x@example.org", True),
        (r"^sales-.*@example\.org$", "sales-x@example.orgy", False),
        (r"^(sales|info|jobs)@(a|b)\.example$", "jobs@b.example", True),
        (r"^[^@]+\.[^@]+@", "jane.doe@x", True),
        (r"^(.+)-(.+)@(.+)$", "a-b@c", True),
        (r"[]+*?{}()|]@", "a+@x", True),
        (r"^\(a\|b\)\*\+@", "(a|b)*+@x", True),
        (r"(abc)+@", "abcabc@x", True),
        (r"^([a-z])+@", "abc@x", True),
        (r"^a{2,3}?b*+@", "aab@x", True),
        (r"^A", "alice@x", True),
        ("", "alice@x", True),
        (r"{x", "{x@y", True),
    ],
)
def test_what_people_write(text: str, address: str, is_found: bool) -> None:
    assert bool(compile_pattern(text, is_case_sensitive=False).search(address)) is is_found


def test_case() -> None:
    assert not compile_pattern("^A", is_case_sensitive=True).search("alice@x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(a+)+$", "repeats"),
        ("(a|ab)*$", "repeats"),
        ("((a|b))*$", "repeats"),
        ("((a+)b)+", "repeats"),
        ("(a?){30}", "repeats"),
        ("((a)(b+))?", "repeats"),
        (r"^(a+)\1$", "refers back"),
        ("(?:a)", "(?"),
        ("(?i)a", "(?"),
        ("^a*a*a*a*$", "very long"),
        ("a*a*a*$", "very long"),
        ("^a?a?a?a?aaaa", "very long"),
        ("^.*.*.*" + "(a|b)" * 3, "very long"),
        ("(a|b)" * 18, "very long"),
        ("|".join("a" * 300_000), "very long"),
        ("(" * 11 + ")" * 11, "parentheses"),
        ("(", "no regular expression"),
        (")", "no regular expression"),
        ("[a", "no regular expression"),
        ("*a", "no regular expression"),
        ("a\\", "no regular expression"),
        ("^a{99999999999999}", "no regular expression"),
    ],
)
def test_what_could_take_long_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        compile_pattern(text, is_case_sensitive=False)


PIECES = [
    "a",
    "(",
    ")",
    "|",
    "*",
    "+",
    "?",
    "{2}",
    "{1,}",
    "[ab]",
    "^",
    "$",
    "\\",
    "(?",
    "a*",
    "(a|",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_pattern_is_taken_or_refused_in_words(text: str) -> None:
    try:
        compile_pattern(text, is_case_sensitive=False)
        fault = text
    except ValueError as error:
        fault = str(error)
    assert text in fault


@settings(deadline=None, max_examples=50)
@given(
    pieces=st.lists(st.sampled_from(["a*", "a+", "a?", "(a|a)", "[a-z]*", "aa"]), max_size=6),
    is_anchored=st.booleans(),
)
def test_the_worst_of_those_that_are_taken_ends(pieces: list[str], is_anchored: bool) -> None:
    """A pattern that exploded would not come back within the life of the test run."""
    text = "^" * is_anchored + "".join(pieces) + "!"
    try:
        pattern = compile_pattern(text, is_case_sensitive=True)
    except ValueError:
        return
    assert not pattern.search("a" * 250 + "@x")
