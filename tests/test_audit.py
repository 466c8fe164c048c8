"""A vulnerability that is known fails the audit and is named, and silence is never called a pass.

The real pip-audit asks a service on loopback that speaks OSV's protocol (POST /v1/query,
google.github.io/osv.dev) and knows one advisory as it was published.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.version import Version

from tests.audit import judged, reasons
from tests.support.processes import LOOPBACK
from tests.support.server import PROJECT

SOUND = {"name": "sound", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found on PyPI"}
BROKEN = {
    "name": "broken",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}],
}


@pytest.mark.parametrize(
    ("packages", "status", "lines"),
    [
        ([SOUND], 0, ["1 of 1 packages audited"]),
        ([SOUND, UNKNOWN], 0, ["1 of 2 packages audited", "not audited: unknown"]),
        ([UNKNOWN, UNKNOWN], 0, ["NOT AUDITED: the service knows none of 2 packages"]),
        (
            [BROKEN, UNKNOWN],
            1,
            [
                "broken 1.0: PYSEC-2026-1, mended in 1.1",
                "1 of 2 packages audited",
                "not audited: unknown",
            ],
        ),
    ],
)
def test_judged(packages: list[dict[str, object]], status: int, lines: list[str]) -> None:
    assert judged(packages, {}) == (status, lines)


def test_what_is_ignored_is_told_with_its_reason() -> None:
    line = "ignored: broken 1.0: PYSEC-2026-1, mended in 1.1: we never call it"
    assert judged([BROKEN], reasons("# ids\n\nPYSEC-2026-1 we never call it\n")) == (
        0,
        [line, "1 of 1 packages audited"],
    )


def test_what_is_ignored_in_vain_is_told() -> None:
    said = ["CVE-2026-9 is ignored and was not found: strike it out", "1 of 1 packages audited"]
    assert judged([SOUND], {"CVE-2026-9": "why"}) == (0, said)


def test_ours_have_reasons() -> None:
    reasons((PROJECT / "tests/audit_ignored.txt").read_text("utf-8"))


# With the real pip-audit.

ADVISORY = {
    "id": "PYSEC-2018-28",
    "aliases": ["CVE-2018-18074", "GHSA-x84v-xcm2-53pg"],
    "details": "Requests sends an HTTP Authorization header to an http URI upon receiving a"
    " same-hostname https-to-http redirect.",
    "affected": [
        {
            "package": {"name": "requests", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.20.0"}]}],
        }
    ],
    "published": "2018-10-09T17:29:00Z",
}
VULNERABLE = "requests==2.19.1\nidna==2.7\n"
NAMED = "requests 2.19.1: PYSEC-2018-28, mended in 2.20.0\n"


class Osv(BaseHTTPRequestHandler):
    """Answers as api.osv.dev does: what affects this version of this package, if anything does."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        concerns = asked["package"] == {"name": "requests", "ecosystem": "PyPI"}
        is_old = Version(asked["version"]) < Version("2.20.0")
        answer = json.dumps({"vulns": [ADVISORY]} if concerns and is_old else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None: ...


Audit = Callable[..., tuple[int, str]]


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Audit]:
    """Runs tests/audit.py for these packages and this list of what is ignored."""
    with ThreadingHTTPServer((LOOPBACK, 0), Osv) as service:
        threading.Thread(target=service.serve_forever).start()
        url = f"http://{LOOPBACK}:{service.server_port}/v1/query"

        def run(packages: str, ignored: str = "", url: str = url) -> tuple[int, str]:
            names = {"requirements": packages, "ignored": ignored}
            for name, text in names.items():
                (tmp_path / name).write_text(text)
            files = [f"--{name}={tmp_path / name}" for name in names]
            service = ["--vulnerability-service=osv", f"--osv-url={url}"]
            done = subprocess.run(
                [sys.executable, "tests/audit.py", *files, *service, f"--cache-dir={tmp_path}"],
                cwd=PROJECT,
                capture_output=True,
                check=False,
                text=True,
                timeout=60,
            )
            return done.returncode, done.stdout + done.stderr

        yield run
        service.shutdown()


def test_a_vulnerable_package_fails_and_is_named(audit: Audit) -> None:
    assert audit(VULNERABLE) == (1, f"{NAMED}2 of 2 packages audited\n")


def test_its_next_release_passes(audit: Audit) -> None:
    assert audit("requests==2.20.0\nidna==2.7\n") == (0, "2 of 2 packages audited\n")


@pytest.mark.parametrize("name", ["PYSEC-2018-28", "CVE-2018-18074"])
def test_with_a_reason_it_passes(audit: Audit, name: str) -> None:
    status, said = audit(VULNERABLE, f"{name} lmtpd sends no Authorization\n")
    assert status == 0
    assert said.splitlines()[0] == f"ignored: {NAMED.strip()}: lmtpd sends no Authorization"


def test_without_a_reason_nothing_is_ignored(audit: Audit) -> None:
    status, said = audit(VULNERABLE, "PYSEC-2018-28\n")
    assert (status, said) == (
        2,
        "the audit failed: ValueError: PYSEC-2018-28 is to be ignored: say why\n",
    )


def test_a_service_that_is_away_is_no_pass_in_silence(audit: Audit) -> None:
    status, said = audit(VULNERABLE, url=f"http://{LOOPBACK}:1/v1/query")
    assert said.startswith("NOT AUDITED, nobody can be asked from here: ")
    assert status == 0


def test_ci_makes_the_audit() -> None:
    planned = subprocess.run(
        ["make", "--dry-run", "test", "CI=true", f"VENV={sys.prefix}"],
        cwd=PROJECT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert "python tests/audit.py\n" in planned
