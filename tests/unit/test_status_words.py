"""Figures as a person reads them."""

from __future__ import annotations

import pytest

from lmtpd.status.words import duration, many, octets


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 ms"),
        (0, "0 ms"),
        (0.00012, "0.12 ms"),
        (0.0124, "12 ms"),
        (0.999, "999 ms"),
        (0.9996, "1 s"),
        (9.96, "10 s"),
        (99, "99 s"),
        (99.6, "2 min"),
        (5400, "2 h"),
        (172800, "2 days"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 octets"),
        (999, "999 octets"),
        (999.7, "1 kB"),
        (1234, "1.2 kB"),
        (123456, "123 kB"),
        (5e12, "5 TB"),
        (2.0**63, "9.2 EB"),
        (1e22, "10,000 EB"),
    ],
)
def test_octets(number: float, words: str) -> None:
    assert octets(number) == words


def test_many() -> None:
    assert many(1, "worker") == "1 worker"
    assert many(0, "worker") == "0 workers"
    assert many(1234, "delivery", "deliveries") == "1,234 deliveries"
