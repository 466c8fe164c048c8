"""The certificate that signs itself: what is in the files, and that none is written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmtpd import self_signed
from lmtpd.config import Config
from lmtpd.server.certificate import Certificate
from lmtpd.server.tls import Certificates


@pytest.mark.parametrize("first", ["localhost", ".".join(["label" * 5] * 3)])
def test_a_server_can_use_it(first: str, tmp_path: Path) -> None:
    certificate, key = tmp_path / "lmtp.crt", tmp_path / "lmtp.key"
    self_signed.make([first, "127.0.0.1"], 30, certificate, key)
    assert key.stat().st_mode & 0o777 == 0o600
    made = Certificate.read(certificate)
    assert made.names == (first,)
    assert made.flaws == ()
    assert 29 < (made.not_after - made.not_before).days <= 30
    served = Certificates(Config(lmtp_cert_path=(certificate,), lmtp_key_path=(key,)))
    assert list(served.warnings()) == []


@pytest.mark.parametrize("name", ["lmtp.crt", "lmtp.key"])
def test_nothing_is_written_over(name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(FileExistsError, match="is there already"):
        self_signed.make(["a.example"], 30, tmp_path / "lmtp.crt", tmp_path / "lmtp.key")
    assert [one.name for one in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a b", "*.example", ""])
def test_names_that_are_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither a host name nor an IP address"):
        self_signed.make([name], 30, tmp_path / "lmtp.crt", tmp_path / "lmtp.key")
    assert list(tmp_path.iterdir()) == []
