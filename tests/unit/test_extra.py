"""Packages that are optional, and files of secrets."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from lmtpd.recipients.extra import extra, secret
from lmtpd.recipients.loader import HookError


def test_a_missing_package_is_named_with_the_extra() -> None:
    words = "hook acme: needs lmtpd_is_missing: pip install lmtpd[acme]"
    with pytest.raises(HookError) as caught, extra("acme"):
        importlib.import_module("lmtpd_is_missing")
    assert str(caught.value) == words


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), extra("acme"):
        raise KeyError


@pytest.mark.parametrize(
    ("octets", "text"),
    [(b"x y\n", "x y"), (b"x\r\n", "x"), (b" x", " x"), ("ü\n".encode(), "ü"), (b"x" * 4096,) * 2],
)
def test_secrets(tmp_path: Path, octets: bytes, text: str | bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(octets)
    assert secret(path) == (text if isinstance(text, str) else text.decode())


def test_no_file_is_no_secret() -> None:
    assert secret(None) == ""


@pytest.mark.parametrize("octets", [b"", b"\n", b"a\nb\n", b"\xff", b"x" * 4097])
def test_a_file_without_one(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(octets)
    with pytest.raises(HookError, match="one line of UTF-8") as caught:
        secret(path)
    assert "xx" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        secret(tmp_path / "secret")
