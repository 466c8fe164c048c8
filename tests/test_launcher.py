"""lmtpd.py, python -m lmtpd and the installed command are one program."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lmtpd

PROJECT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    "command",
    [
        ["lmtpd.py"],
        ["-P", "lmtpd.py"],
        ["-I", "lmtpd.py"],
        ["-m", "lmtpd"],
    ],
    ids=" ".join,
)
def test_version(command: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, *command, "--version"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == f"lmtpd {lmtpd.__version__}\n"


def test_the_package_is_of_the_same_version_and_needs_the_same() -> None:
    """setuptools cannot ask lmtpd/ for it: it would find lmtpd.py."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == lmtpd.__version__
    needed = (PROJECT / "requirements.txt").read_text("utf-8").split()
    assert {*project["dependencies"], "pytest>=9.0"} == set(needed)


def test_from_another_folder_through_a_link(tmp_path: Path) -> None:
    link = tmp_path / "lmtpd"
    link.symlink_to(PROJECT / "lmtpd.py")
    command = [sys.executable, link, "--version"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert result.stdout.startswith(b"lmtpd ")


def test_the_command_line_imports_nothing_heavy() -> None:
    """gevent has to patch before ssl is imported, and a short command has no use for either."""
    code = "import sys, lmtpd.cli; print(*({'gevent', 'ssl', 'dns', 'rich'} & sys.modules.keys()))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert result.stdout == "\n"
