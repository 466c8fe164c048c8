"""Every attack that docs/SECURITY.md names has its test."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
_TEST = re.compile(r"`(tests/[a-z_/]+\.py)::([A-Za-z0-9_:]+)`")
_NOT_APPLICABLE = "not applicable: "


def _rows() -> Iterator[tuple[str, str, str]]:
    text = (PROJECT / "docs" / "SECURITY.md").read_text("utf-8")
    _, _, table = text.partition("\n## Known attacks\n")
    lines = [line for line in table.splitlines() if line.startswith("|")]
    for line in lines[2:]:
        _, attack, done, tests, _ = (cell.strip() for cell in line.split("|"))
        yield attack, done, tests


def _names(path: Path) -> set[str]:
    """The tests of a file, those of a class as `Class::test`."""
    tree = ast.parse(path.read_text("utf-8"))
    return {
        *(node.name for node in tree.body if isinstance(node, ast.FunctionDef)),
        *(
            f"{node.name}::{inner.name}"
            for node in tree.body
            if isinstance(node, ast.ClassDef)
            for inner in node.body
            if isinstance(inner, ast.FunctionDef)
        ),
    }


@pytest.mark.parametrize(("attack", "done", "tests"), list(_rows()))
def test_each_attack_has_a_test_that_is_there(attack: str, done: str, tests: str) -> None:
    assert attack
    assert bool(tests) != done.startswith(_NOT_APPLICABLE)
    assert _TEST.sub("", tests).strip(", ") == "", "it names something that is no test"
    for path, name in _TEST.findall(tests):
        assert name.rpartition("::")[2].startswith("test_")
        assert name in _names(PROJECT / path), f"there is no {path}::{name}"


def test_the_table_is_read() -> None:
    assert len(list(_rows())) > 40
