"""The manual pages, as man and mandoc read them. tests/test_docs.py keeps them up to date."""

from __future__ import annotations

import subprocess

import pytest

from lmtpd import cli
from lmtpd.completion import levels
from lmtpd.settings import Config
from tests.support.components import require
from tests.support.server import PROJECT

PAGES = ("lmtpd.8", "lmtpd.conf.5")


def formatted(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=PROJECT / "docs" / "man",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def text(page: str) -> str:
    """What a terminal shows, without the line breaks."""
    require("man")
    shown = formatted("groff", "-man", "-Tascii", "-P-c", "-P-b", "-P-o", "-P-u", page)
    return " ".join(shown.stdout.split())


@pytest.mark.parametrize("page", PAGES)
def test_formatters_have_nothing_to_say(page: str) -> None:
    require("man")
    # Of no date mandoc warns: there is none to print, and what is printed has to stay the same.
    for command in (["groff", "-man", "-ww", "-z"], ["mandoc", "-Tlint", "-Werror"]):
        done = formatted(*command, page)
        assert (done.stdout, done.stderr) == ("", "")


def test_every_command_is_told() -> None:
    page = text("lmtpd.8")
    known = levels(cli.command_line())
    for name, level in known.items():
        if name and not level.words.keys() & {one.split(" ")[-1] for one in known if " " in one}:
            assert f" {name} " in page
    settings = {row.option for row in Config.settings()}
    for level in known.values():
        assert all(one.name in page for one in level.options if one.name not in settings)


def test_every_setting_is_told_with_its_default() -> None:
    page = text("lmtpd.conf.5").replace(" ", "")
    for row in Config.settings():
        meaning = row.help.replace("`", "").replace(" ", "")
        default = f"Default:{row.default}".replace(" ", "") if row.default else ""
        assert f"{row.key}{meaning}{default}" in page
