"""The table of replies: each one is legal, each one is used, and no code stands anywhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import lmtpd
from lmtpd.protocol import replies
from lmtpd.protocol.address import PATH_OCTETS, Address
from lmtpd.protocol.reply import LINE_OCTETS, Reply

TABLE = replies.table()
PACKAGE = Path(lmtpd.__file__).parent
SOURCES = {
    str(path.relative_to(PACKAGE)): ast.parse(path.read_text("utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}
HOME = "protocol/replies.py"

# RFC 5321 4.2.3, RFC 3207 4, RFC 4954 6 and RFC 5248: what SMTP and LMTP servers say.
CODES = frozenset(
    {211, 214, 220, 221, 235, 250, 251, 252, 334, 354}
    | {421, 432, 450, 451, 452, 454, 455}
    | {500, 501, 502, 503, 504, 521, 523, 530, 534, 535, 538}
    | {550, 551, 552, 553, 554, 555, 556}
)

# RFC 2034 4: every 2yz, 4yz and 5yz but these.
WITHOUT_STATUS = {"GREETING", "HELLO", "START_MAIL"}

# The longest path that a client may write, less its angle brackets (RFC 5321 4.5.3.1.3).
LONGEST = Address("a" * (PATH_OCTETS - len("<@example.org>")), "example.org")

every_reply = pytest.mark.parametrize("reply", TABLE.values(), ids=TABLE.keys())


def _names_of_replies(tree: ast.Module) -> Iterator[str]:
    """`replies.NAME`, or NAME from `from ... replies import NAME`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "replies":
                yield node.attr
        elif isinstance(node, ast.ImportFrom) and (node.module or "").endswith("replies"):
            yield from (alias.name for alias in node.names)


def _codes(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """Line and number of each literal that is a code of SMTP."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and type(node.value) is int and node.value in CODES:
            yield node.lineno, node.value


def test_the_table_holds_every_reply_of_its_module_in_order() -> None:
    assigned = [
        target.id
        for node in SOURCES[HOME].body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    assert list(TABLE) == assigned
    assert len(TABLE) > 40


@pytest.mark.parametrize("name", TABLE)
def test_names_are_constants(name: str) -> None:
    assert re.fullmatch(r"[A-Z]+(_[A-Z0-9]+)*", name)


@every_reply
def test_code_is_known_and_its_class_agrees_with_the_status(reply: Reply) -> None:
    assert reply.code in CODES
    if reply.status:
        assert reply.status.startswith(f"{reply.code // 100}.")
        assert sum((reply.is_success, reply.is_transient, reply.is_permanent)) == 1


def test_only_the_exceptions_of_rfc_2034_lack_a_status() -> None:
    assert {name for name, reply in TABLE.items() if not reply.status} == WITHOUT_STATUS


@every_reply
def test_every_line_fits(reply: Reply) -> None:
    lines = reply.encode().split(b"\r\n")
    assert lines.pop() == b""
    assert len(lines) == len(reply.lines)
    assert max(map(len, lines)) + len("\r\n") <= LINE_OCTETS


@every_reply
def test_every_line_fits_with_the_longest_address(reply: Reply) -> None:
    about = reply.about(LONGEST)
    assert about.lines[0] == f"<{LONGEST}> {reply.lines[0]}"
    assert max(map(len, about.encode().splitlines(keepends=True))) <= LINE_OCTETS
    assert (about.code, about.status) == (reply.code, reply.status)


@every_reply
def test_texts_are_plain_words(reply: Reply) -> None:
    for line in reply.lines:
        assert line.isascii()
        assert line == line.strip() != ""
        assert "/" not in line, "no path may reach a peer"


@pytest.mark.parametrize("name", TABLE)
def test_no_name_is_unused(name: str) -> None:
    users = [
        source
        for source, tree in SOURCES.items()
        if source != HOME and name in _names_of_replies(tree)
    ]
    assert users


@pytest.mark.parametrize("source", [source for source in SOURCES if source != HOME])
def test_no_name_is_invented(source: str) -> None:
    used = set(_names_of_replies(SOURCES[source]))
    assert used <= {*TABLE, "table"}


@pytest.mark.parametrize("source", [source for source in SOURCES if source != HOME])
def test_a_code_stands_in_the_table_only(source: str) -> None:
    assert not list(_codes(SOURCES[source]))


def test_the_scan_sees_codes() -> None:
    assert {code for _, code in _codes(SOURCES[HOME])} == {reply.code for reply in TABLE.values()}
