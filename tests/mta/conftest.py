"""Real mail programs, each started for one test and stopped after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.components import require, require_root
from tests.support.postfix import Postfix
from tests.support.server import Server


@pytest.fixture(scope="session")
def postfix_is_there() -> None:
    """Postfix is installed and we may start it."""
    require("postfix")
    require_root("Postfix starts as root only")


@pytest.fixture(scope="module")
def dovecot_is_there() -> None:
    """Dovecot is installed and we may start it."""
    require("dovecot")
    require_root("Dovecot starts as root only")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The server under test, delivering to any mailbox that the test makes."""
    with Server(tmp_path) as running:
        yield running


@pytest.fixture
def postfix(postfix_is_there: None, server: Server) -> Iterator[Postfix]:  # noqa: ARG001
    """Postfix in front of the server."""
    with Postfix(server.port) as running:
        yield running


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A directory that other users can pass through, which one of pytest's is not."""
    with TemporaryDirectory(prefix="lmtpd-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
