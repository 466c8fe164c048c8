"""The documentation as a site: it builds without a warning, and stands on its own."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.support.server import PROJECT

# What a browser fetches by itself, as <a> is not.
_FETCHED = {"link", "script", "img", "iframe", "source", "video", "audio"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site."""
    place = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"),
            *("-f", "docs/mkdocs.yml", "--site-dir", place),
        ],
        cwd=PROJECT,
        # Else it advertises, in colour, where warnings stand.
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return place


class Page(HTMLParser):
    """What a page fetches, where it links to, and which anchors it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched: set[str] = set()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One element."""
        found = {name: value or "" for name, value in attrs}
        if "id" in found:
            self.anchors.add(found["id"])
        for name in ("href", "src"):
            if name in found:
                (self.fetched if tag in _FETCHED else self.links).add(found[name])


def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_page_of_the_project_is_there(site: Path) -> None:
    for source in (*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")):
        name = source.relative_to(PROJECT).with_suffix("")
        folder = name.parent if name.name == "README" else name
        assert (site / folder / "index.html").exists(), f"{name} is not in the site"


def test_nothing_comes_from_another_host(site: Path) -> None:
    for path, page in pages(site).items():
        assert page.fetched, f"{path} has no style"
        assert not [url for url in page.fetched if urlsplit(url).netloc], path


def test_every_link_leads_to_a_page_and_its_anchor(site: Path) -> None:
    known = pages(site)
    for path, page in known.items():
        for url in page.links | page.fetched:
            scheme, host, target, _, fragment = urlsplit(url)
            if scheme or host:
                continue
            found = (path.parent / unquote(target)).resolve() if target else path
            found = found / "index.html" if found.is_dir() else found
            assert found.exists(), f"{path} links to {url}"
            if fragment and found in known:
                assert unquote(fragment) in known[found].anchors, f"{path}: {url}"
