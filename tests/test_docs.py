"""The documentation says what the code says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).resolve().parents[1]


def _tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", PROJECT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("path", "text"), _tables().pages().items(), ids=lambda one: getattr(one, "name", "")
)
def test_printed_pages_are_up_to_date(path: Path, text: str) -> None:
    assert path.read_text("utf-8") == text, "run `make docs`"


@pytest.mark.parametrize(
    "path", sorted(PROJECT.glob("*.md")) + sorted(PROJECT.glob("docs/**/*.md"))
)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_architecture_names_every_module() -> None:
    text = (PROJECT / "docs" / "ARCHITECTURE.md").read_text("utf-8")
    for path in (PROJECT / "lmtpd").rglob("*.py"):
        if path.name != "__init__.py":
            assert f"{path.stem}.py" in text, f"docs/ARCHITECTURE.md does not name {path.name}"
