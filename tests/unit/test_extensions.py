"""What LHLO offers, by the operator's choices, in clear and under TLS."""

from __future__ import annotations

import pytest

from lmtpd.protocol.extensions import Extensions
from lmtpd.protocol.limits import FEWEST_RECIPIENTS, SMALLEST_MESSAGE_SIZE, Limits

LIMITS = Limits(message_octets=70_000, recipients=123)
ALWAYS = {
    "PIPELINING",
    "SIZE 70000",
    "8BITMIME",
    "BINARYMIME",
    "CHUNKING",
    "SMTPUTF8",
    "ENHANCEDSTATUSCODES",
    "LIMITS RCPTMAX=123",
    "HELP",
}
XFORWARD = "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"


@pytest.mark.parametrize(
    ("extensions", "under_tls", "more"),
    [
        pytest.param(Extensions(), False, {XFORWARD, "VRFY", "EXPN"}, id="default"),
        pytest.param(Extensions(xforward=False), False, {"VRFY", "EXPN"}, id="no xforward"),
        pytest.param(Extensions(vrfy=False), False, {XFORWARD}, id="no vrfy, no expn"),
        pytest.param(
            Extensions(vrfy=False, xforward=False, dsn=True), False, {"DSN"}, id="dsn alone"
        ),
        pytest.param(
            Extensions(vrfy=False, xforward=False, starttls=True),
            False,
            {"STARTTLS"},
            id="starttls",
        ),
        pytest.param(
            Extensions(vrfy=False, xforward=False, starttls=True), True, set(), id="tls is on"
        ),
        pytest.param(Extensions(vrfy=False, xforward=False), True, set(), id="tls only"),
    ],
)
def test_keywords(extensions: Extensions, under_tls: bool, more: set[str]) -> None:
    keywords = extensions.keywords(LIMITS, under_tls=under_tls)
    assert set(keywords) == ALWAYS | more
    assert len(keywords) == len(set(keywords))


def test_defaults_reach_the_least_that_the_rfc_asks_for() -> None:
    limits = Limits()
    assert limits.message_octets >= SMALLEST_MESSAGE_SIZE == 65536
    assert limits.recipients >= FEWEST_RECIPIENTS == 100
    assert limits.line_octets >= 512  # RFC 5321 4.5.3.1.4
    assert limits.hello_octets >= 255  # RFC 5321 4.5.3.1.2
    assert limits.chunk_digits >= 20  # RFC 1870 4
