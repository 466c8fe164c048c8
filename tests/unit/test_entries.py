"""What a table's file may say; every faulty line is named before mail comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmtpd.recipients.chain import AddressRules
from lmtpd.recipients.entries import Entries, TableError, parse

DOMAIN = "example.org"


def read(text: str, rules: AddressRules | None = None, **lists: str) -> Entries:
    """The entries of a text; lists lie beside it."""

    def include(path: Path) -> str:
        if path.name in lists:
            return lists[path.name]
        raise FileNotFoundError(2, "No such file or directory")

    return parse(text, Path("table"), DOMAIN, rules or AddressRules(), include)


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
        ("a@x.org ~Bob, ~c@x.org, d", {"a@x.org": ("~Bob", "~c@x.org", "d@example.org")}),
        ("~a ~a", {"~a@example.org": ("~a",)}),
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
        ("@x.org @y.org, b", ["@x.org", "whole domain"]),
        ("@x.org @y.org @z.org", ["@x.org", "whole domain"]),
        ("/^a/", ["pattern /^a/", "needs a mailbox"]),
        ("/^a/ @x.org", ["/^a/", "whole domain"]),
        ("/^(.*)-x@/ $1@x.org", ["/^(.*)-x@/", "$1"]),
        ("/^(/ a@x.org", ["/^(/", "no regular expression"]),
        ("/(a+)+/ a@x.org", ["(a+)+", "repeats"]),
        ("a@x.org /^b/", ["a@x.org", "not to a pattern"]),
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


class TestPatterns:
    def test_a_pattern_may_hold_what_else_parts_words(self) -> None:
        text = r'/^"a, b"@x\/y{1,2}$/   b@x.org, c@x.org'
        assert read(text) == {r'/^"a, b"@x\/y{1,2}$/': ("b@x.org", "c@x.org")}

    def test_slashes_inside_an_address_are_letters(self) -> None:
        assert read("/a/b@x.org /c@x.org") == {"/a/b@x.org": ("/c@x.org",)}
        assert read("//") == {"//@example.org": ()}


class TestLists:
    def test_members_stand_in_the_order_of_the_file(self) -> None:
        entries = read(
            "team@x.org a@x.org, :include:staff, z@x.org",
            staff="# who\nB@x.org, c@x.org\n\n d@x.org\nplain\n",
        )
        members = ("a@x.org", "b@x.org", "c@x.org", "d@x.org", "plain@example.org", "z@x.org")
        assert entries == {"team@x.org": members}

    @pytest.mark.parametrize(
        "word", [":include:my list", '":include:my list"', ':include:"my list"', ":include:staff"]
    )
    def test_a_name_with_a_space_stands_in_quotes(self, word: str) -> None:
        files = {"my list": "a@x.org", "staff": "a@x.org"}
        if word == ":include:my list":
            with pytest.raises(TableError, match="the list my cannot be read: No such file"):
                read(f"team@x.org {word}", **files)
        else:
            assert read(f"team@x.org {word}", **files) == {"team@x.org": ("a@x.org",)}

    def test_lists_of_lists(self) -> None:
        lists = {
            "all": ":include:one, :include:two",
            "one": "a@x.org",
            "two": ":include:one b@x.org",
        }
        assert read("t@x.org :include:all", **lists)["t@x.org"] == ("a@x.org", "a@x.org", "b@x.org")

    def test_a_path_is_relative_to_the_file_that_names_it(self) -> None:
        asked: list[str] = []

        def include(path: Path) -> str:
            asked.append(str(path))
            return ":include:more" if len(asked) == 1 else "a@x.org"

        text = "t@x.org :include:lists/all\nu@x.org :include:/etc/list"
        parse(text, Path("/srv/table"), DOMAIN, AddressRules(), include)
        assert asked == ["/srv/lists/all", "/srv/lists/more", "/etc/list"]

    @pytest.mark.parametrize(
        ("lists", "words"),
        [
            ({}, ["the list staff cannot be read: No such file"]),
            ({"staff": "# nobody\n"}, ["the list staff has no members"]),
            ({"staff": "a@x.org\n@@"}, ["the list staff: ", "@@", "no address"]),
            ({"staff": '"a'}, ["the list staff: ", "quotes"]),
            ({"staff": ":include:staff"}, ["the list staff includes itself"]),
            (
                {"staff": ":include:other", "other": "a, :include:staff"},
                ["the list other: the list staff includes itself"],
            ),
            ({"staff": ":include:none"}, ["the list staff: the list none cannot be read"]),
            ({"staff": "@x.org"}, ["team@x.org must lead to addresses"]),
            ({"staff": "/^x/"}, ["team@x.org must lead to addresses"]),
        ],
    )
    def test_a_fault_of_a_list_is_one_of_the_line(
        self, lists: dict[str, str], words: list[str]
    ) -> None:
        with pytest.raises(TableError) as caught:
            read("a@x.org\nteam@x.org :include:staff", **lists)
        text = str(caught.value)
        assert text.startswith("table:2: ")
        assert all(word in text for word in words)


class TestPostfix:
    """Maps of virtual(5) as they are."""

    def test_a_whole_map(self) -> None:
        entries = read(
            "# /etc/postfix/virtual\n"
            "example.com             anything\n"
            "postmaster@example.com  postmaster\n"
            "jane.doe                jane\n"
            "info@example.com        jane, joe@example.net\n"
            "@example.net            @example.com\n"
            "EXAMPLE.NET             DOMAIN\n"
        )
        assert entries == {
            "postmaster@example.com": ("postmaster@example.org",),
            "jane.doe@example.org": ("jane@example.org",),
            "info@example.com": ("jane@example.org", "joe@example.net"),
            "@example.net": ("@example.com",),
        }

    def test_the_mark_of_our_own_domain(self) -> None:
        assert read("example.org x\na@example.org") == {"a@example.org": ()}

    def test_a_name_with_a_dot_that_is_no_domain_here_is_an_address(self) -> None:
        assert read("jane.doe jane\na@x.org") == {
            "jane.doe@example.org": ("jane@example.org",),
            "a@x.org": (),
        }
