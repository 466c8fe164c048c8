"""Which files the site shows: those of the project, where they lie, with the links they have.

So the pages are read on a forge and on the site alike, and no link is written twice. mkdocs calls
`on_files`, for docs/mkdocs.yml names this file as a hook.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PROJECT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and what else they link to."""
    pages = set(_pages())
    linked = {target for page in pages for target in _targets(page)}
    for path in sorted(pages | linked):
        name = path.relative_to(PROJECT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def _pages() -> Iterator[Path]:
    yield from PROJECT.glob("*.md")
    yield from PROJECT.glob("docs/**/*.md")
    yield from PROJECT.glob("bench/**/*.md")
    yield PROJECT / "tests" / "mta" / "README.md"


def _targets(page: Path) -> Iterator[Path]:
    for target in _LINK.findall(page.read_text("utf-8")):
        path = (page.parent / target).resolve()
        if path.is_file() and path.is_relative_to(PROJECT):
            yield path
