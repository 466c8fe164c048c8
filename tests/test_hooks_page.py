"""docs/HOOKS.md, followed to the letter: its files are taken from the page, tried and installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PAGE = (PROJECT / "docs" / "HOOKS.md").read_text("utf-8")

Result = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the page; the first line of each is its name."""
    path = tmp_path_factory.mktemp("hooks")
    for name, text in re.findall(r"```\w+\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        (path / name).write_text(text, "utf-8")
    return path


@pytest.fixture(scope="module")
def installed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip has put the package, without a network."""
    target = tmp_path_factory.mktemp("site")
    # A copy, for setuptools builds beside the sources.
    source = shutil.copytree(folder, tmp_path_factory.mktemp("source"), dirs_exist_ok=True)
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    result = python("-m", "pip", "install", *offline, "--target", target, source)
    assert result.returncode == 0, result.stderr
    return target


def python(*arguments: object, path: Path = PROJECT) -> Result:
    """Run a command to its end, with one more folder to import from."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{PROJECT}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def check_recipient(address: str, hook: str, path: Path) -> Result:
    return python("lmtpd.py", "check-recipient", address, "--lmtp-recipient-hooks", hook, path=path)


def test_the_files_are_those_that_the_page_speaks_of(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["acme_staff.py", "pyproject.toml", "test_acme_staff.py"]


def test_by_its_dotted_path(folder: Path) -> None:
    result = check_recipient("alice@example.org", "acme_staff:Staff", folder)
    assert result.returncode == os.EX_OK, result.stderr
    reply, asked, delivered = result.stdout.splitlines()
    assert f"\n{reply}\n" in PAGE
    assert f"\n{asked.rsplit(',', 1)[0]}, " in PAGE
    assert f"\n{delivered.split(' in ')[0]} in maildirs/example.org/alice\n" in PAGE
    assert " check-recipient alice@example.org --lmtp-recipient-hooks acme_staff:Staff\n" in PAGE


def test_as_a_package(installed: Path) -> None:
    assert "`lmtp-recipient-hooks = staff`" in PAGE
    assert check_recipient("Bob@EXAMPLE.org", "staff", installed).returncode == os.EX_OK
    stranger = check_recipient("nobody@example.org", "staff", installed)
    assert stranger.returncode == os.EX_NOUSER
    assert "hook staff on nobody@example.org: unknown" in stranger.stdout


def test_its_tests(folder: Path) -> None:
    result = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, folder)
    assert result.returncode == 0, result.stdout
    assert "2 passed" in result.stdout


def test_its_tests_find_what_is_wrong(folder: Path, tmp_path: Path) -> None:
    source = (folder / "acme_staff.py").read_text("utf-8")
    for name in ("acme_staff.py", "test_acme_staff.py"):
        text = (folder / name).read_text("utf-8").replace("Verdict.unknown()", "False")
        (tmp_path / name).write_text(text, "utf-8")
    assert (tmp_path / "acme_staff.py").read_text("utf-8") != source
    result = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, tmp_path)
    assert "a Verdict or None was due, not bool" in result.stdout


def test_the_exit_codes() -> None:
    codes = map(int, re.findall(r"\b(\d+) if\s", PAGE))
    assert list(codes) == [os.EX_OK, os.EX_NOUSER, os.EX_NOPERM, os.EX_TEMPFAIL]
