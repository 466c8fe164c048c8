"""What of a text may be shown."""

from __future__ import annotations

import pytest

from lmtpd.mask import masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("alice@example.org", "alice@example.org"),
        ("ldaps://ldap.example.org:636", "ldaps://ldap.example.org:636"),
        ("ldap://[::1]:389/dc=x", "ldap://[::1]:389/dc=x"),
        ("postgresql://user@host:5432/db", "postgresql://user@host:5432/db"),
        ("(&(a=b)(mail={address}))", "(&(a=b)(mail={address}))"),
        ("inet:127.0.0.1:7777:virtual", "inet:127.0.0.1:7777:virtual"),
        ("postgresql://user:secret@host/db", "postgresql://***:***@host/db"),
        ("postgresql://user:s@e/c:r et@host/db", "postgresql://***:***@host/db"),
        ("postgresql://user:s?e=cret@host", "postgresql://***:***@host"),
        ("mysql://u@host/db?password=secret&x=a@b", "mysql://u@host/db?password=***&x=***"),
        ("user:secret@host", "user:***@host"),
        ("postgresql//user:secret@host", "postgresql//user:***@host"),
        ("https://secret@host/", "https://***@host/"),
        ("mysql://user:secret", "mysql://user:***"),
        ("mysql://user@host:secret/db", "mysql://user@host:***/db"),
        ("mysql://user:12secret/db", "mysql://user:***/db"),
        ("https://host/x?token=secret&y=z", "https://host/x?token=***&y=***"),
    ],
)
def test_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert masked(shown) == shown
