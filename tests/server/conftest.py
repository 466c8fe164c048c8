"""What the tests of the running server share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificate
from tests.support.processes import free_port
from tests.support.server import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The server under test in clear text, delivering to any mailbox that the test makes."""
    with Server(tmp_path) as running:
        yield running


@pytest.fixture
def starttls_server(tmp_path: Path, certificate: Certificate) -> Iterator[Server]:
    """The same with a certificate: STARTTLS is offered."""
    with Server(tmp_path, **tls_settings(certificate)) as running:
        yield running


@pytest.fixture
def tls_server(tmp_path: Path, certificate: Certificate) -> Iterator[Server]:
    """The same with TLS from the first octet, and nothing in clear."""
    with Server(tmp_path, **tls_settings(certificate), lmtp_tls_only=True) as running:
        yield running


@pytest.fixture
def idle(tmp_path: Path) -> tuple[object, ...]:
    """The settings of a store where nobody serves."""
    root = tmp_path / "maildirs"
    root.mkdir()
    return "--lmtp-port", free_port(), "--lmtp-maildir-root", root


def tls_settings(certificate: Certificate) -> dict[str, object]:
    """The settings that name a certificate."""
    return {"lmtp_cert_path": certificate.cert_path, "lmtp_key_path": certificate.key_path}
