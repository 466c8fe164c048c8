"""The hook `http`: the token, what is kept, and what is no answer."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from lmtpd.config import ConfigError
from lmtpd.recipients.verdict import Kind
from tests.support.back_ends import HttpService
from tests.support.backend_contract import ALICE, BOB, WRONG, Asking
from tests.support.certificates import Certificate
from tests.support.processes import LOOPBACK

PROJECT = Path(__file__).resolve().parents[2]
TOKEN = "2YotnFZFEjr1zCsicMWpAA=="


@pytest.fixture
def service(tmp_path: Path) -> Iterator[HttpService]:
    running = HttpService(tmp_path)
    running.start()
    yield running
    running.stop()


def token_file(folder: Path, text: str) -> Path:
    file = folder / "token"
    file.write_text(text, "utf-8")
    return file


def test_the_token_is_sent_and_the_connection_kept(service: HttpService, tmp_path: Path) -> None:
    asking = Asking(tmp_path, service, lmtp_http_token_file=token_file(tmp_path, f"{TOKEN}\n"))
    assert asking.verdict(ALICE).is_accepted
    assert asking.verdict("nobody@example.org").kind is Kind.UNKNOWN
    assert service.authorizations == [f"Bearer {TOKEN}"] * 2
    assert service.connections == 1


def test_without_a_token_none_is_sent(service: HttpService, tmp_path: Path) -> None:
    assert Asking(tmp_path, service).verdict(ALICE).is_accepted
    assert service.authorizations == [None]


@pytest.mark.parametrize("status", [201, 302, 307, 401, 404, 500])
def test_every_other_status_is_a_fault(status: int, service: HttpService, tmp_path: Path) -> None:
    service.status = status
    asking = Asking(tmp_path, service, lmtp_http_token_file=token_file(tmp_path, TOKEN))
    verdict = asking.verdict(ALICE)
    assert verdict.kind is Kind.DEFER
    assert str(status) in verdict.reason
    assert service.asked == [ALICE], "it was asked again, or somewhere else"
    assert TOKEN not in verdict.reason


@pytest.mark.parametrize(("status", "is_down"), [(404, False), (500, False), (503, True)])
def test_some_say_that_the_service_is_down(
    status: int, is_down: bool, service: HttpService, tmp_path: Path
) -> None:
    asking = Asking(tmp_path, service, lmtp_hook_faults=1)
    service.status = status
    asking.verdict(BOB)
    service.status = 200
    assert asking.verdict(ALICE).is_accepted is not is_down
    assert ("hook-down" in "".join(asking.lines)) is is_down


@pytest.mark.parametrize("is_there", [True, False])
def test_what_stands_in_the_url_or_is_the_token_is_not_repeated(
    is_there: bool, service: HttpService, tmp_path: Path
) -> None:
    """Some services want their secret in the path or the query."""
    settings = {
        "lmtp_http_url": f"{service.settings['lmtp_http_url']}/secret?token=secret",
        "lmtp_http_token_file": token_file(tmp_path, TOKEN),
        "lmtp_hook_timeout": 2,
    }
    asking = Asking(tmp_path, service, **settings)
    if not is_there:
        service.stop()
    reasons = [asking.verdict(who).reason for who in WRONG]
    assert all(reasons)
    told = " ".join([*reasons, *asking.lines])
    assert "secret" not in told
    assert TOKEN not in told


def test_a_url_that_cannot_be_used_is_not_repeated(tmp_path: Path) -> None:
    url = "http://%secret/"
    with pytest.raises(ConfigError, match="lmtp-http-url cannot be used") as caught:
        Asking(tmp_path, HttpService(tmp_path), lmtp_http_url=url)
    assert "secret" not in str(caught.value)


def test_questions_at_one_time_have_connections_of_their_own(
    service: HttpService, tmp_path: Path
) -> None:
    asking = Asking(tmp_path, service)
    with ThreadPoolExecutor(20) as threads:
        verdicts = list(threads.map(asking.verdict, [ALICE, "team@example.org"] * 20))
    assert [verdict.mailboxes for verdict in verdicts] == [(ALICE,), (ALICE, BOB)] * 20
    assert service.connections <= 8


@pytest.mark.parametrize("text", ["", "two words", "line\nline", "\xff"])
def test_a_file_without_a_token_stops_the_start(text: str, tmp_path: Path) -> None:
    service = HttpService(tmp_path)
    with pytest.raises(ConfigError, match=r"token (holds no bearer token|is no secret)") as caught:
        Asking(tmp_path, service, lmtp_http_token_file=token_file(tmp_path, text))
    assert not text or text not in str(caught.value)


def test_over_tls_the_service_has_to_show_its_certificate(
    tmp_path: Path, certificate: Certificate
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"accept": "alice@example.org"}')

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert_path, certificate.key_path)
    with HTTPServer((LOOPBACK, 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        settings = {"lmtp_http_url": f"https://{LOOPBACK}:{server.server_port}/"}
        believing = Asking(
            tmp_path, HttpService(tmp_path), **settings, lmtp_http_ca_path=certificate.cert_path
        )
        assert believing.verdict(ALICE).is_accepted
        doubting = Asking(tmp_path, HttpService(tmp_path), **settings)
        verdict = doubting.verdict(ALICE)
        server.shutdown()
    assert verdict.kind is Kind.DEFER
    assert "certificate" in verdict.reason.lower()


def test_without_its_package_the_start_stops_and_says_which(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['urllib3'] = None; from lmtpd.cli import main; sys.exit(main())"
    )
    options = ["--lmtp-recipient-hooks=http", "--lmtp-http-url=http://127.0.0.1:1/"]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            program,
            "check-config",
            f"--lmtp-maildir-root={tmp_path}",
            *options,
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == os.EX_CONFIG
    assert "hook http: needs urllib3: pip install lmtpd[http]" in done.stderr
