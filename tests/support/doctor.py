"""`lmtpd.py doctor`, run for real, and what it has found.

Promises: no Postfix of this machine is asked, unless the test names a configuration.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.server import PROJECT, Server

_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Found:
    """One finding."""

    level: str
    about: str
    text: str
    remedy: str


@dataclass(frozen=True)
class Diagnosis:
    """All of them, and the exit code."""

    code: int
    findings: tuple[Found, ...]

    def the(self, about: str, level: str, words: str) -> Found:
        """The one finding with these words; what mends it stands below each that is wrong."""
        found = [
            one
            for one in self.findings
            if (one.about, one.level) == (about, level) and words in one.text
        ]
        assert len(found) == 1, "\n".join(map(str, self.findings))
        assert found[0].remedy or level in ("ok", "note")
        return found[0]

    def levels(self, about: str) -> list[str]:
        """How it is, finding by finding."""
        return [one.level for one in self.findings if one.about == about]


def here(server: Server) -> tuple[object, ...]:
    """The settings that lead to a server."""
    return "--lmtp-port", server.port, "--lmtp-maildir-root", server.root


def given(settings: dict[str, object]) -> list[object]:
    """Settings as options."""
    return [
        word
        for key, value in settings.items()
        for word in (f"--{key.replace('_', '-')}", str(value))
    ]


def doctor(
    *arguments: object, prefix: Sequence[str] = (), config: object = "/nonexistent"
) -> Diagnosis:
    """Run it with these settings.

    Args:
        arguments: of the command.
        prefix: a command that runs it elsewhere, and becomes it by exec.
        config: the folder of Postfix's main.cf.
    """
    done = run("--json", *arguments, prefix=prefix, config=config)
    assert not done.stderr, done.stderr
    found = diagnosis(done.stdout)
    assert done.returncode == found.code
    return found


def diagnosis(text: str) -> Diagnosis:
    """What it has printed for a program."""
    told = json.loads(text)
    findings = tuple(Found(**one) for one in told["findings"])
    assert sum(told[level] for level in ("ok", "note", "warn", "fail")) == len(findings)
    return Diagnosis(told["exit"], findings)


def run(
    *arguments: object, prefix: Sequence[str] = (), config: object = "/nonexistent"
) -> subprocess.CompletedProcess[str]:
    """Run it to its end; what it printed."""
    environment = {key: value for key, value in os.environ.items() if key[:5] != "LMTP_"}
    return subprocess.run(
        [*prefix, sys.executable, "lmtpd.py", "doctor", *map(str, arguments)],
        cwd=PROJECT,
        env={**environment, "MAIL_CONFIG": str(config)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=_PATIENCE_S,
    )
