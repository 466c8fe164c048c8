"""The hook `table`: what its file may say; every faulty line is named before mail comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import Peer
from lmtpd.recipients.chain import AddressRules
from lmtpd.recipients.table import Entries, TableError, TableVerifier, parse
from lmtpd.recipients.verdict import RcptContext, Verdict

CONTEXT = RcptContext(Peer(""))
DOMAIN = "example.org"


def read(text: str, rules: AddressRules | None = None) -> Entries:
    return parse(text, "table", DOMAIN, rules or AddressRules())


def ask(text: str, address: str) -> Verdict | None:
    return TableVerifier(read(text)).verify(Address.parse(address), CONTEXT)


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
    ("text", "entries"),
    [
        ("", {}),
        ("\n \n\t\n# comment\n   # indented comment\n", {}),
        ("alice@example.org", {"alice@example.org": ()}),
        ("alice", {"alice@example.org": ()}),
        ("Alice@EXAMPLE.org", {"alice@example.org": ()}),
        ("a@x.org b@x.org", {"a@x.org": ("b@x.org",)}),
        ("a@x.org\tb@x.org,c@x.org", {"a@x.org": ("b@x.org", "c@x.org")}),
        ("a@x.org b@x.org c@x.org", {"a@x.org": ("b@x.org", "c@x.org")}),
        ("a@x.org , b@x.org,, c@x.org,", {"a@x.org": ("b@x.org", "c@x.org")}),
        ("a@x.org\r\nb@x.org\r\n", {"a@x.org": (), "b@x.org": ()}),
        ("a@x.org b@x.org,\n c@x.org\n\td@x.org", {"a@x.org": ("b@x.org", "c@x.org", "d@x.org")}),
        ("a@x.org\n# comment\n\n b@x.org", {"a@x.org": ("b@x.org",)}),
        ("  a@x.org\nb@x.org", {"a@x.org": (), "b@x.org": ()}),
        ('"a b"@x.org c', {"a b@x.org": ("c@example.org",)}),
        ('"a, b"@x.org', {"a, b@x.org": ()}),
        ('"a\\"b"@x.org', {'a"b@x.org': ()}),
        ('"alice"@x.org', {"alice@x.org": ()}),
        ("#a@x.org\nb@x.org", {"b@x.org": ()}),
        ("bob@bücher.example", {"bob@xn--bcher-kva.example": ()}),
        ("@Bücher.Example bob", {"@xn--bcher-kva.example": ("bob@example.org",)}),
        ("jürgen@x.org", {"jürgen@x.org": ()}),
        ("a@[192.0.2.1]\n@[IPv6:2001:DB8::1] a", None),
    ],
)
def test_parse(text: str, entries: Entries | None) -> None:
    if entries is None:
        entries = {"a@[192.0.2.1]": (), "@[IPv6:2001:db8::1]": ("a@example.org",)}
    assert read(text) == entries


def test_case_counts_if_the_operator_says_so() -> None:
    rules = AddressRules(is_case_sensitive=True)
    assert read("Alice@X.org Bob", rules) == {"Alice@x.org": ("Bob@example.org",)}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("alice@", ["alice@", "no address"]),
        ("@", ["'@'", "no address"]),
        ("a@x.org @", ["no address"]),
        ("a@@x.org", ["no address"]),
        (".a@x.org", ["no address"]),
        ("a@-x.org", ["no address"]),
        ("a@x_.org b@..", ["b@..", "no address"]),
        ("a@x.org <b@x.org>", ["<b@x.org>", "no address"]),
        ('"a b@x.org', ["quotes"]),
        ('a@x.org "b', ["quotes"]),
        ('a"@x.org', ["quotes"]),
        ("@x.org", ["@x.org", "catch-all"]),
        ("a@x.org @x.org", ["a@x.org", "whole domain"]),
        ("@x.org @y.org", ["@x.org", "whole domain"]),
        ("a" * 300, ["no address"]),
        ("a\0@x.org", ["no address"]),
    ],
)
def test_a_faulty_line_is_named(line: str, words: list[str]) -> None:
    with pytest.raises(TableError) as caught:
        read(f"# comment\nfirst@x.org\n{line}\n")
    text = str(caught.value)
    assert text.startswith("table:3: ")
    assert all(word in text for word in words)
    assert "\n" not in text


@pytest.mark.parametrize("line", [",", " ,, "])
def test_a_line_without_words_is_told_in_words(line: str) -> None:
    with pytest.raises(TableError, match=r"^table:1: ") as caught:
        read(line)
    assert "unpack" not in str(caught.value)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(TableError) as caught:
        read("a@x.org\n@\nb@x.org\n c@x.org\n .d\nA@x.org\n@y.org\n")
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        "table:2",
        "table:3",
        "table:6",
        "table:7",
    ]


@pytest.mark.parametrize(
    "text",
    ["a@x.org\na@x.org b", "a@x.org\nA@X.org", 'a@x.org\n"a"@x.org', "@x.org a\n@X.org b"],
)
def test_two_entries_for_one_address(text: str) -> None:
    with pytest.raises(TableError, match=r"table:2: .*already"):
        read(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a b\nb a", ["a@example.org", "b@example.org"]),
        ("a b\nb c\nc a\nd a", [f"{name}@example.org" for name in "abcd"]),
        ("@x.org a\na b\nb a", ["@x.org", "a@example.org", "b@example.org"]),
    ],
)
def test_aliases_that_lead_nowhere(text: str, names: list[str]) -> None:
    with pytest.raises(TableError) as caught:
        TableVerifier(read(text))
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
    assert TableVerifier({}).verify(Address("alice", ""), CONTEXT) is None


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "recipients"
    path.write_bytes("jürgen@bücher.example\r\nb jürgen@bücher.example\n".encode())
    hook = TableVerifier.read(path, DOMAIN, AddressRules())
    verdict = hook.verify(Address("b", DOMAIN), CONTEXT)
    assert verdict == Verdict.accept("jürgen@xn--bcher-kva.example")


def test_a_files_faults_are_named_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "recipients"
    path.write_text("ok@x.org\n@\n")
    with pytest.raises(TableError) as caught:
        TableVerifier.read(path, DOMAIN, AddressRules())
    assert str(caught.value).startswith(f"{path}:2: ")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        TableVerifier.read(tmp_path / "missing", DOMAIN, AddressRules())


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recipients"
    path.write_bytes(b"alice@x.org\nj\xfcrgen@x.org\n")
    with pytest.raises(TableError) as caught:
        TableVerifier.read(path, DOMAIN, AddressRules())
    assert str(caught.value).startswith(f"{path}:")


def test_a_byte_order_mark_belongs_to_no_address(tmp_path: Path) -> None:
    path = tmp_path / "recipients"
    path.write_bytes("alice@example.org\n".encode("utf-8-sig"))
    hook = TableVerifier.read(path, DOMAIN, AddressRules())
    verdict = hook.verify(Address("alice", DOMAIN), CONTEXT)
    assert verdict == Verdict.accept("alice@example.org")
