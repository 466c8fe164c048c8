"""The table: aliases, lists, patterns and catch-alls, resolved."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmtpd.protocol.address import Address
from lmtpd.recipients.chain import AddressRules
from lmtpd.recipients.entries import Entries, TableError, parse
from lmtpd.recipients.table import Table
from lmtpd.recipients.verdict import Verdict

DOMAIN = "example.org"
RULES = AddressRules()


def read(text: str) -> Entries:
    return parse(text, Path("table"), DOMAIN, RULES, Path.read_text)


def ask(text: str, address: str, rules: AddressRules = RULES) -> Verdict | None:
    return Table(read(text), rules).answer(Address.parse(address))


def caught(*mailboxes: str) -> Verdict:
    return Verdict.accept(*mailboxes, catch_all=True)


TABLE = """
# who we are
alice@example.org
bob@example.org
sales@example.org     alice@example.org
team@example.org      alice@example.org, bob@example.org
all@example.org       team@example.org, carol@example.net, team@example.org
@example.org          postmaster@example.org
@example.com          team@example.org
"""


@pytest.mark.parametrize(
    ("address", "verdict"),
    [
        ("alice@example.org", Verdict.accept("alice@example.org")),
        ("sales@example.org", Verdict.accept("alice@example.org")),
        ("team@example.org", Verdict.accept("alice@example.org", "bob@example.org")),
        (
            "all@example.org",
            Verdict.accept("alice@example.org", "bob@example.org", "carol@example.net"),
        ),
        ("unheard@example.org", Verdict.accept("postmaster@example.org", catch_all=True)),
        ("alice+x@example.org", Verdict.accept("postmaster@example.org", catch_all=True)),
        (
            "x@example.com",
            Verdict.accept("alice@example.org", "bob@example.org", catch_all=True),
        ),
        ("carol@example.net", None),
        ("alice@sub.example.org", None),
    ],
)
def test_the_table_of_the_docstring(address: str, verdict: Verdict | None) -> None:
    assert ask(TABLE, address) == verdict


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a b\nb a", ["a@example.org", "b@example.org"]),
        ("a b\nb c\nc a\nd a", [f"{name}@example.org" for name in "abcd"]),
        ("@x.org @y.org\n@y.org @x.org\n@z.org @x.org", ["@x.org", "@y.org"]),
        ("@x.org @x.org", ["@x.org"]),
        ("/^x/ a\na b\nb a", ["/^x/", "a@example.org", "b@example.org"]),
        ("@x.org a\na b\nb a", ["@x.org", "a@example.org", "b@example.org"]),
    ],
)
def test_aliases_that_lead_nowhere(text: str, names: list[str]) -> None:
    with pytest.raises(TableError) as caught:
        Table(read(text), RULES)
    assert str(caught.value).endswith(f": {', '.join(names)}")


@pytest.mark.parametrize(
    ("text", "address", "mailboxes"),
    [
        ("a a", "a", "a"),
        ("a a, b", "a", "a b"),
        ("a b\nb b", "a", "b"),
        ("a b\nb a, c", "a", "c"),
        ("a b, c\nb a\nc", "b", "c"),
        ("a b, c, d\nb x, y\nc y, z", "a", "x y z d"),
        ("a b, b, b", "a", "b"),
        ("a b, c\nb c\nc b, d", "a", "d"),
        ("a b\nb c\nc d\nd e", "a", "e"),
    ],
)
def test_aliases_and_lists_are_followed(text: str, address: str, mailboxes: str) -> None:
    expected = [f"{name}@example.org" for name in mailboxes.split()]
    assert ask(text, f"{address}@example.org") == Verdict.accept(*expected)


def test_a_long_chain_of_aliases() -> None:
    text = "\n".join(f"a{number} a{number + 1}" for number in range(500))
    assert ask(text, "a0@example.org") == Verdict.accept("a500@example.org")


def test_a_table_without_entries_knows_nobody() -> None:
    assert ask("", "alice@example.org") is None
    assert Table({}, RULES).answer(Address("alice", "")) is None


PATTERNS = r"""
/^sales-.*@example\.org$/  sales@example.org
/^SALES-x/                 never@example.org
/-archive@/                archive@example.org, team@example.org
sales-real@example.org
team@example.org           bob@example.org
@example.org               postmaster@example.org
"""


@pytest.mark.parametrize(
    ("address", "verdict"),
    [
        ("sales-x@example.org", caught("sales@example.org")),
        ("sales-real@example.org", Verdict.accept("sales-real@example.org")),
        ("x-archive@example.net", caught("archive@example.org", "bob@example.org")),
        ("sales-x@example.net", caught("never@example.org")),
        ("sales@example.org", caught("postmaster@example.org")),
        ("sales@example.net", None),
    ],
)
def test_patterns(address: str, verdict: Verdict | None) -> None:
    assert ask(PATTERNS, address) == verdict


def test_patterns_see_case_if_the_operator_says_so() -> None:
    entries, address = read("/^Sales-/ sales"), Address("sales-x", "example.org")
    assert Table(entries, RULES).answer(address) == caught("sales@example.org")
    assert Table(entries, AddressRules(is_case_sensitive=True)).answer(address) is None


MOVED = """
@old.example       @example.org
@oldest.example    @old.example
@caught.example    @all.example
@all.example       everything@example.org
alice@example.org
sales@example.org  alice@example.org
bob@old.example    bob@example.net
"""


@pytest.mark.parametrize(
    ("address", "verdict"),
    [
        ("alice@old.example", caught("alice@example.org")),
        ("sales@oldest.example", caught("alice@example.org")),
        ("sales+x@old.example", caught("alice@example.org")),
        ("bob@old.example", Verdict.accept("bob@example.net")),
        ("bob@oldest.example", caught("bob@example.net")),
        ("carol@old.example", caught("carol@example.org")),
        ("carol+x@oldest.example", caught("carol@example.org")),
        ("carol@caught.example", caught("everything@example.org")),
        ("carol@example.org", None),
    ],
)
def test_a_domain_that_stands_for_another(address: str, verdict: Verdict | None) -> None:
    assert ask(MOVED, address) == verdict


def test_its_length() -> None:
    assert len(Table(read(MOVED), RULES)) == 7
