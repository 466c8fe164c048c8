"""A mailbox name becomes directories below the root, or is refused; it is never cleaned up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtpd.delivery.layout import NAME_OCTETS, Layout, home_of, is_home, user_of
from lmtpd.failures import UnsafeMailboxError

USUAL = "{domain}/{local}"
TEMPLATES = (USUAL, "{local}", "{mailbox}", "{domain}/{local}/Maildir", "mail/{domain}-{local}")


@pytest.mark.parametrize(
    ("template", "mailbox", "parts"),
    [
        (USUAL, "alice@example.org", ("example.org", "alice")),
        (USUAL, "a@b@example.org", ("example.org", "a@b")),
        (USUAL, "...@example.org", ("example.org", "...")),
        (USUAL, "a b@example.org", ("example.org", "a b")),
        (USUAL, "a%2b@example.org", ("example.org", "a%2b")),
        (USUAL, "a\\b@example.org", ("example.org", "a\\b")),
        (USUAL, "{local}@example.org", ("example.org", "{local}")),
        (USUAL, "alice@[ipv6:2001:db8::1]", ("[ipv6:2001:db8::1]", "alice")),
        (USUAL, "jürgen@example.org", ("example.org", "jürgen")),
        (USUAL, f"{'a' * 255}@example.org", ("example.org", "a" * 255)),
        (USUAL, f"{'ü' * 127}@example.org", ("example.org", "ü" * 127)),
        ("{local}", "alice@example.org", ("alice",)),
        ("{local}", "alice", ("alice",)),
        ("{mailbox}", "alice@example.org", ("alice@example.org",)),
        ("{mailbox}", "alice", ("alice",)),
        ("{domain}/{local}/Maildir", "a@b.c", ("b.c", "a", "Maildir")),
        ("mail/{domain}-{local}", "a@b.c", ("mail", "b.c-a")),
        ("{local}-{local}", "a@b.c", ("a-a",)),
    ],
)
def test_places(template: str, mailbox: str, parts: tuple[str, ...]) -> None:
    assert Layout(template).parts(mailbox) == parts


ENCODED = ("%2e", "%2E", "%2f", "%2F", "%5c", "%5C", "%00")
BAD_NAMES = {
    "dot": ".",
    "dot-dot": "..",
    "slash": "a/b",
    "only-slash": "/",
    "up": "../alice",
    "up-and-down": "a/../b",
    "nul": "a\0b",
    "only-nul": "\0",
    **{f"encoded-{code[1:]}": f"a{code}b" for code in ENCODED},
    "encoded-dot-dot": "%2e%2E",
    "too-long": "a" * (NAME_OCTETS + 1),
    "too-long-in-octets": "ü" * (NAME_OCTETS // 2 + 1),
    "high-surrogate": "a\ud800",
    "low-surrogate": "a\udfff",
    # These are what Python makes of octets that are no UTF-8: the file system would take them.
    "escaped-octet-80": "a\udc80",
    "escaped-octet-ff": "a\udcff",
}


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_an_unsafe_local_part_is_refused(name: str, template: str) -> None:
    with pytest.raises(UnsafeMailboxError):
        Layout(template).parts(f"{name}@example.org")


@pytest.mark.parametrize("template", [one for one in TEMPLATES if "domain" in one])
@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_an_unsafe_domain_is_refused(name: str, template: str) -> None:
    with pytest.raises(UnsafeMailboxError):
        Layout(template).parts(f"alice@{name}")


@pytest.mark.parametrize("name", [".", "..", "%2e%2e", "%2F"])
def test_a_domain_that_the_template_leaves_out_is_looked_at_too(name: str) -> None:
    with pytest.raises(UnsafeMailboxError):
        Layout("{local}").parts(f"alice@{name}")


@pytest.mark.parametrize(
    ("template", "mailbox"),
    [
        (USUAL, ""),
        (USUAL, "alice"),
        (USUAL, "@"),
        (USUAL, "alice@"),
        (USUAL, "@example.org"),
        ("{local}", ""),
        ("{local}", "@example.org"),
        ("{mailbox}", ""),
        ("{mailbox}", "."),
        ("{mailbox}", ".."),
        ("{mailbox}", "/"),
        ("{domain}{local}", ""),
    ],
)
def test_nothing_is_no_name(template: str, mailbox: str) -> None:
    with pytest.raises(UnsafeMailboxError):
        Layout(template).parts(mailbox)


@pytest.mark.parametrize(
    ("template", "mailbox"), [("{domain}{local}", "@."), ("{domain}{local}", ".@.")]
)
def test_values_that_are_unsafe_only_together(template: str, mailbox: str) -> None:
    with pytest.raises(UnsafeMailboxError):
        Layout(template).parts(mailbox)


def test_a_name_that_is_too_long_only_with_the_templates_own_letters() -> None:
    with pytest.raises(UnsafeMailboxError):
        Layout("user-{local}").parts("a" * NAME_OCTETS)


def test_the_error_names_the_mailbox() -> None:
    with pytest.raises(UnsafeMailboxError, match=r"'a/b@example\.org'"):
        Layout(USUAL).parts("a/b@example.org")


ANYTHING = st.text(alphabet=st.characters() | st.sampled_from("./%\\\0@2eEfF\ud800\udc80"))


@given(mailbox=ANYTHING, template=st.sampled_from(TEMPLATES))
def test_whatever_is_not_refused_stays_below_the_root(mailbox: str, template: str) -> None:
    layout = Layout(template)
    try:
        parts = layout.parts(mailbox)
    except UnsafeMailboxError:
        return
    assert len(parts) == len(template.split("/"))
    path = os.path.normpath(Path("/store", *parts))
    assert path == "/".join(("/store", *parts))
    assert all(0 < len(os.fsencode(part)) <= NAME_OCTETS for part in parts)


@given(local=ANYTHING, domain=ANYTHING)
def test_two_mailboxes_are_two_places(local: str, domain: str) -> None:
    mailbox = f"{local}@{domain}"
    try:
        parts = Layout(USUAL).parts(mailbox)
    except UnsafeMailboxError:
        return
    assert f"{parts[1]}@{parts[0]}" == mailbox


def _make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True)


@pytest.mark.parametrize(
    ("template", "directories", "mailboxes"),
    [
        (
            USUAL,
            ["b.org/bob", "a.org/bob", "a.org/alice", "empty.org"],
            ["alice@a.org", "bob@a.org", "bob@b.org"],
        ),
        (USUAL, ["a.org/alice/new", "a.org/a@b"], ["a@b@a.org", "alice@a.org"]),
        (USUAL, [], []),
        ("{local}-{local}", ["a-a"], []),
        ("{local}", ["bob", "alice/new"], ["alice", "bob"]),
        ("{local}", ["a@b"], ["a@b@"]),
        ("{mailbox}", ["alice@a.org", "bob"], ["alice@a.org", "bob"]),
        ("{domain}/{local}/Maildir", ["a.org/alice/Maildir", "a.org/bob"], ["alice@a.org"]),
        ("{domain}/{local}/Maildir", ["a.org/alice/Mail", "a.org/alice/Maildir2"], []),
        ("mail/{domain}-{local}", ["mail/a.org-alice", "mail/alice", "m/a.org-b"], ["alice@a.org"]),
        (USUAL, ["a.org/%2e%2e", "a.org/a%2Fb", "%2e/alice"], []),
        (USUAL, ["a.org/with\nline break"], []),
    ],
)
def test_walk(template: str, directories: list[str], mailboxes: list[str], tmp_path: Path) -> None:
    _make(tmp_path, *directories)
    layout = Layout(template)
    found = list(layout.walk(str(tmp_path)))
    for mailbox in found:
        assert tmp_path.joinpath(*layout.parts(mailbox)).is_dir()
    assert found == mailboxes


def test_walk_passes_over_files_and_follows_links_to_directories(tmp_path: Path) -> None:
    _make(tmp_path, "a.org/alice")
    (tmp_path / "README").touch()
    (tmp_path / "a.org" / "file").touch()
    (tmp_path / "a.org" / "dangling").symlink_to("nowhere")
    (tmp_path / "b.org").symlink_to("a.org")
    assert list(Layout(USUAL).walk(str(tmp_path))) == ["alice@a.org", "alice@b.org"]


def test_walk_passes_over_names_that_nobody_can_print(tmp_path: Path) -> None:
    try:
        (tmp_path / "a.org" / os.fsdecode(b"caf\xe9")).mkdir(parents=True)
    except OSError as error:
        pytest.skip(f"this file system takes UTF-8 only: {error}")
    for mailbox in Layout(USUAL).walk(str(tmp_path)):
        mailbox.encode("utf-8")


def test_walk_without_a_root(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(Layout(USUAL).walk(str(tmp_path / "missing")))


def test_homes_are_told_by_their_names() -> None:
    assert is_home("~alice")
    assert (home_of("alice"), user_of("~alice")) == ("~alice", "alice")
    for mailbox in ("alice@example.org", "~alice@example.org", "alice", ""):
        assert not is_home(mailbox)
