"""`pip install .` and `pipx install .`: the command, with all its parts, away from the checkout."""

from __future__ import annotations

import os
import shutil
import smtplib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import lmtpd
from tests.support.checkout import copy_of_project
from tests.support.components import require
from tests.support.processes import PROGRAMS_PATH, accepts, free_port, stop
from tests.support.server import PROJECT
from tests.support.waiting import wait_for

_PATIENCE_S = 300
_START_S = 20.0


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, as somebody else has it."""
    return copy_of_project(tmp_path_factory.mktemp("source") / "lmtpd")


@pytest.fixture(scope="module")
def installed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bin/ of a clean environment into which pip has put it, with what it needs."""
    environment = tmp_path_factory.mktemp("venv")
    run(environment, sys.executable, "-m", "venv", environment)
    run(environment, environment / "bin" / "python", "-m", "pip", "install", source)
    return environment / "bin"


def run(folder: Path, *command: object, **variables: str) -> str:
    """Run a program to its end, in a folder that is not the checkout; what it printed."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=clean_environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def clean_environment(**variables: str) -> dict[str, str]:
    """Nothing by which Python would find the checkout, or another environment."""
    foreign = ("PYTHON", "VIRTUAL_ENV", "LMTP_")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    return {**kept, **variables}


def test_it_holds_every_file_of_the_package(source: Path, tmp_path: Path) -> None:
    offline = ("--no-index", "--no-deps", "--no-build-isolation")
    run(tmp_path, sys.executable, "-m", "pip", "wheel", *offline, source, "-w", tmp_path)
    (wheel,) = tmp_path.glob("lmtpd-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith("lmtpd/")}
    files = (PROJECT / "lmtpd").rglob("*")
    expected = {str(path.relative_to(PROJECT)) for path in files if path.is_file()}
    assert names == {name for name in expected if "__pycache__" not in name}


def test_the_command(installed: Path, tmp_path: Path) -> None:
    assert run(tmp_path, installed / "lmtpd", "--version") == f"lmtpd {lmtpd.__version__}\n"
    assert "usage: lmtpd.py bridge" in run(tmp_path, installed / "lmtpd", "bridge", "--help")
    assert (installed.parent / "share/man/man8/lmtpd.8").exists()


@pytest.fixture
def port(installed: Path, tmp_path: Path) -> Iterator[int]:
    """Of an installed server that runs; its store is below the folder in which it was started."""
    (tmp_path / "maildirs").mkdir()
    port = free_port()
    server = subprocess.Popen(
        [installed / "lmtpd", "serve", "--lmtp-port", str(port)],
        cwd=tmp_path,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: accepts(port), _START_S, f"a server on port {port}")
        yield port
    finally:
        assert stop(server, _START_S) == os.EX_OK


def test_it_delivers(installed: Path, port: int, tmp_path: Path) -> None:
    run(tmp_path, installed / "lmtpd", "mailbox", "add", "alice@example.org")
    with smtplib.LMTP("127.0.0.1", port) as client:
        client.sendmail("bob@example.net", ["alice@example.org"], "Subject: Installed\r\n\r\n")
    (message,) = (tmp_path / "maildirs/example.org/alice/new").iterdir()
    assert message.read_bytes().endswith(b"Subject: Installed\n\n")


def test_pipx(source: Path, tmp_path: Path) -> None:
    require("pipx")
    home, bin_folder = tmp_path / "pipx", tmp_path / "bin"
    run(
        *(tmp_path, shutil.which("pipx", path=PROGRAMS_PATH), "install", source),
        PIPX_HOME=str(home),
        PIPX_BIN_DIR=str(bin_folder),
        HOME=str(tmp_path),
    )
    assert run(tmp_path, bin_folder / "lmtpd", "--version") == f"lmtpd {lmtpd.__version__}\n"
    (tmp_path / "maildirs").mkdir()
    assert "sound" in run(tmp_path, bin_folder / "lmtpd", "check-config")
