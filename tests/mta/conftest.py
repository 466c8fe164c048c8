"""Real mail programs, each started for one test and stopped after it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.components import lacking, require, require_root
from tests.support.mta import SENDER, Mta, SandboxedMta
from tests.support.mta_table import MtaTable
from tests.support.sandbox import NoSandboxError, Sandbox
from tests.support.server import Server


def pytest_configure(config: pytest.Config) -> None:
    """With MTA_TABLE=path in the environment the table of this run is written there."""
    path = os.environ.get("MTA_TABLE")
    if path:
        config.pluginmanager.register(MtaTable(Path(path)))


@pytest.fixture(scope="session")
def sandbox_is_possible() -> str:
    """Why there can be no machine for an MTA; empty if there can be one."""
    try:
        with Sandbox():
            return ""
    except NoSandboxError as error:
        return str(error)


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> type[Mta]:
    """An MTA that is there and that we may start; `tests.support.mtas` says which ones."""
    kind: type[Mta] = request.param
    require(kind.name)
    require_root(f"{kind.name} starts as root only")
    if issubclass(kind, SandboxedMta):
        obstacle = request.getfixturevalue("sandbox_is_possible")
        if obstacle:
            lacking(obstacle)
    return kind


@pytest.fixture(scope="module")
def dovecot_is_there() -> None:
    """Dovecot is installed and we may start it."""
    require("dovecot")
    require_root("Dovecot starts as root only")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The server under test, delivering to any mailbox that the test makes, and to the sender's."""
    with Server(tmp_path) as running:
        running.mailbox(SENDER)
        yield running


@pytest.fixture
def mta(kind: type[Mta], server: Server) -> Iterator[Mta]:
    """The MTA in front of the server."""
    with kind(server.port) as running:
        yield running


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A directory that other users can pass through, which one of pytest's is not."""
    with TemporaryDirectory(prefix="lmtpd-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
