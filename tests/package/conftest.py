"""The Debian package, and the root to install it in: made once for all that want them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import debian_package
from tests.support.components import lacking, require, require_root
from tests.support.debian_package import CleanRoot
from tests.support.installed import CONFIG, Installed
from tests.support.sandbox import NoSandboxError


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, CleanRoot]]:
    """Both come into being at the same time."""
    require_root("a root file system is made by root only")
    require("clean-root")
    require("debian")
    root = CleanRoot(tmp_path_factory.mktemp("root"))
    try:
        root.begin()
        yield debian_package.build(tmp_path_factory.mktemp("debian")), root
    finally:
        root.end()


@pytest.fixture(scope="session")
def package(made: tuple[Path, CleanRoot]) -> Path:
    """The .deb file."""
    return made[0]


@pytest.fixture(scope="session")
def newer(package: Path) -> Path:
    """That of another version, with more in its configuration."""
    version = f"{debian_package.field(package, 'Version')}+1"
    return debian_package.changed(package, version, CONFIG, "# New.\n")


@pytest.fixture(scope="session")
def clean_root(made: tuple[Path, CleanRoot]) -> Path:
    """A Debian that has never seen it."""
    return made[1].path()


@pytest.fixture(scope="session")
def machine(package: Path, clean_root: Path) -> Iterator[Installed]:
    """One where it is installed and systemd runs."""
    try:
        with Installed(clean_root, package) as installed:
            yield installed
    except NoSandboxError as error:
        lacking(str(error))


@pytest.fixture
def site(machine: Installed) -> Iterator[Installed]:
    """There it is stopped, and as it is installed but for its mail."""
    machine.reset()
    yield machine
    machine.reset()
