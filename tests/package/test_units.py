"""The units of systemd: sound by its own word, and as strict as we say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lmtpd.server.generation import START_SECONDS
from tests.support.components import require
from tests.support.debian_package import BuildError, run
from tests.support.server import PROJECT

INIT = PROJECT / "init"
UNITS = ("lmtpd.service", "lmtpd.socket")


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """Both, as they are installed: with a program that is there."""
    require("units")
    for name in UNITS:
        text = (INIT / name).read_text("utf-8")
        (tmp_path / name).write_text(text.replace("/opt/lmtpd/.venv/bin/python", "/bin/sh"))
    return [str(tmp_path / name) for name in UNITS]


def test_they_are_sound(units: list[str]) -> None:
    assert run("systemd-analyze", "verify", "--man=no", *units) == ""


def test_a_word_that_is_not_one_is_told(units: list[str]) -> None:
    """What the test above relies on."""
    with Path(units[1]).open("a", encoding="utf-8") as unit:
        unit.write("[Socket]\nListenStreams=1\n")
    assert "ListenStreams" in run("systemd-analyze", "verify", "--man=no", *units)


def exposure(unit: Path, most: int) -> str:
    """What systemd says of it; BuildError if that is more, in tenths of 0.0 (strict) to 10.0."""
    require("units")
    limit = f"--threshold={most}"
    return run("systemd-analyze", "security", "--offline=true", limit, str(unit))


def test_the_service_is_exposed_to_little() -> None:
    exposure(INIT / UNITS[0], 20)


def test_so_it_is_where_it_delivers_into_homes(tmp_path: Path) -> None:
    """Users and their homes are open to it then: that costs some points, and is all."""
    unit = tmp_path / UNITS[0]
    files = (UNITS[0], "lmtpd-homes.conf")
    unit.write_text("".join((INIT / name).read_text("utf-8") for name in files), "utf-8")
    with pytest.raises(BuildError, match="Overall exposure"):
        exposure(unit, 20)
    exposure(unit, 25)


def test_a_worker_that_starts_slowly_does_not_alarm_the_watchdog() -> None:
    """The parent waits for it, and may have said that it is alive half of that time before."""
    unit = (INIT / "lmtpd.service").read_text("utf-8")
    watchdog_s = int(re.findall(r"^WatchdogSec=(\d+)$", unit, re.MULTILINE)[0])
    assert watchdog_s / 2 + START_SECONDS < watchdog_s
