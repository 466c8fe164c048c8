"""Every command that the documentation shows is run: here, by another test, or by hand, as told.

A command that is in none of the tables below fails, and so does one of theirs that no page shows.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.components import lacking, require
from tests.support.processes import PROGRAMS_PATH, accepts, free_port, stop
from tests.support.server import PROJECT
from tests.support.waiting import wait_for

PAGES = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")]

# The first words by which a block is one of commands and not of a file or a dialogue.
PROGRAMS = {
    *("make", "swaks", "openssl", "lmtpd", "lmtpd.py", "pip", "pipx", "dpkg-buildpackage", "$"),
    *("apt", "apt-get", "sudo", "systemctl", ".venv/bin/python"),
}

# In this order, in a copy of nothing but an empty store.
RUN_HERE = (
    ".venv/bin/python lmtpd.py mailbox add bob@example.org",
    ".venv/bin/python lmtpd.py mailbox list",
    ".venv/bin/python lmtpd.py check-recipient bob@example.org",
    (
        "openssl req -x509 -nodes -days 1825 -newkey rsa:4096 -subj '/CN=localhost'"
        " -keyout lmtp.key -out lmtp.crt"
    ),
    ".venv/bin/python -m pytest tests/unit/test_address.py",
)
MAKE_RUN = "make run"
SWAKS = "swaks --protocol LMTP --server 127.0.0.1 --port 11200 --to alice@example.org"

# Which file runs it, and words of it that stand there.
RUN_BY = {
    "make test": (".ci/run", "make test"),
    "make lint": ("Makefile", "test: lint"),
    "make docs": ("tests/test_docs.py", "_tables().pages()"),
    "make docs-site": ("tests/package/test_site.py", '"docs/mkdocs.yml"'),
    "pipx install .": ("tests/package/test_wheel.py", '"install", source'),
    "dpkg-buildpackage --build=binary --no-sign": (
        "tests/support/debian_package.py",
        '"dpkg-buildpackage", "--build=binary", "--no-sign"',
    ),
    "lmtpd.py check-recipient --flush --config /etc/lmtpd/lmtpd.conf": (
        "tests/server/test_control.py",
        '"--flush"',
    ),
    "lmtpd doctor --config /etc/lmtpd/lmtpd.conf": (
        "tests/support/doctor.py",
        '"lmtpd.py", "doctor"',
    ),
    "lmtpd doctor --send alice@example.org --config /etc/lmtpd/lmtpd.conf": (
        "tests/server/test_doctor_send.py",
        '"--send", ALICE',
    ),
    "lmtpd.py reload --config /etc/lmtpd/lmtpd.conf": (
        "tests/server/test_reload.py",
        'lmtpd("reload", "--config", self.file',
    ),
    "lmtpd.py upgrade --config /etc/lmtpd/lmtpd.conf": (
        "tests/server/test_upgrade.py",
        'lmtpd("upgrade", ',
    ),
    "lmtpd.py bridge pipe -f SENDER -- RECIPIENT ...": ("tests/server/test_bridge.py", '"pipe"'),
    "$ PYTHONPATH=hooks .venv/bin/python lmtpd.py check-recipient alice@example.org"
    " --lmtp-recipient-hooks acme_staff:Staff": ("tests/test_hooks_page.py", "acme_staff:Staff"),
    ".venv/bin/python bench/cpu_check.py": ("Makefile", "bench/cpu_check.py"),
}

# Nothing but a person's time runs these.
BY_HAND = {
    ".venv/bin/python bench/profile.py kept-20": "it draws a picture, to be looked at",
}


def shown() -> set[str]:
    """The commands in the blocks of all pages, without comments; lines that go on are one."""
    found: set[str] = set()
    for page in PAGES:
        text = page.read_text("utf-8").replace("\\\n", " ")
        blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        blocks += re.findall(r"(?:^ {4,}\S.*\n)+", text, re.MULTILINE)
        for block in blocks:
            for line in block.splitlines():
                command = " ".join(line.split("  #")[0].split())
                if command.split(" ")[0] in PROGRAMS:
                    found.add(command)
    return found


def test_every_command_has_its_place() -> None:
    known = {*RUN_HERE, MAKE_RUN, SWAKS, *RUN_BY, *BY_HAND}
    assert shown() - known == set(), "in no table of this file"
    assert known - shown() == set(), "on no page"


@pytest.mark.parametrize(("file", "words"), RUN_BY.values(), ids=RUN_BY)
def test_who_is_said_to_run_it_does(file: str, words: str) -> None:
    assert words in (PROJECT / file).read_text("utf-8")


def test_commands(tmp_path: Path) -> None:
    require("openssl")
    for command in RUN_HERE:
        # The interpreter that runs the tests is the one of .venv, wherever that may be.
        words = [
            sys.executable if one == ".venv/bin/python" else one for one in shlex.split(command)
        ]
        is_in_checkout = words[1] in ("-m", "lmtpd.py")
        done = subprocess.run(
            words,
            cwd=PROJECT if is_in_checkout else tmp_path,
            env={**os.environ, "PATH": PROGRAMS_PATH, "LMTP_MAILDIR_ROOT": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert (tmp_path / "example.org/bob").is_dir()
    assert (tmp_path / "lmtp.crt").exists()


def test_make_run_and_the_swaks_line(tmp_path: Path) -> None:
    require("swaks")
    if not (PROJECT / ".venv/run.stamp").exists():
        lacking("no .venv: make .venv/run.stamp")
    port = free_port()
    server = subprocess.Popen(
        [*MAKE_RUN.split(), f"ARGS=--lmtp-port {port} --lmtp-maildir-root {tmp_path}"],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: accepts(port), 60, f"a server on port {port}")
        subprocess.run(
            SWAKS.replace("11200", str(port)).split(),
            env={"PATH": PROGRAMS_PATH, "HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=True,
        )
        assert len(list((tmp_path / "example.org/alice/new").iterdir())) == 1
    finally:
        stop(server, 30)
