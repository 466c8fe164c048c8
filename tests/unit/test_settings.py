"""The table of settings."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lmtpd.settings import Config, Setting
from lmtpd.settings.mailboxes import default_root
from lmtpd.trust import TrustPolicy

DOCUMENTED = {
    "lmtp-bind-addr": "127.0.0.1",
    "lmtp-port": "11200",
    "lmtp-cert-path": "none",
    "lmtp-key-path": "none",
    "lmtp-tls-only": "false",
    "lmtp-trusted-ips": "none",
}


def test_documented_settings_keep_their_names_and_defaults() -> None:
    rows = {row.key: row.default for row in Config.settings()}
    assert {key: rows[key] for key in DOCUMENTED} == DOCUMENTED


def test_defaults() -> None:
    config = Config()
    assert config.lmtp_bind_addr == "127.0.0.1"
    assert config.lmtp_port == 11200
    assert config.lmtp_cert_path == ()
    assert config.lmtp_tls_only is False
    assert config.lmtp_trusted_ips == TrustPolicy()
    assert config.lmtp_socket_mode == 0o660
    assert config.lmtp_max_message_size == 50 * 1024 * 1024
    assert config.lmtp_idle_timeout == 300.0
    assert config.lmtp_recipient_hooks == ("maildirs",)
    assert config.warnings == ()


@pytest.mark.parametrize("row", Config.settings(), ids=lambda row: row.key)
def test_row(row: Setting) -> None:
    assert row.key.startswith("lmtp-")
    assert row.option == f"--{row.key}"
    assert row.variable == row.key.upper().replace("-", "_")
    assert hasattr(Config(), row.attribute)
    assert re.fullmatch("[a-z-]+", row.kind)
    assert row.group
    assert row.help[0].isupper() or row.help[0] == "`"
    assert row.help.endswith(".")


def test_every_field_but_the_last_is_a_row() -> None:
    fields = [field.name for field in dataclasses.fields(Config)]
    assert [row.attribute for row in Config.settings()] == fields[:-3]
    assert fields[-3:] == ["section", "sections", "warnings"]


def test_what_each_listener_may_have() -> None:
    groups = {row.group: row.is_per_listener for row in Config.settings()}
    assert [group for group, is_per_listener in groups.items() if is_per_listener] == [
        "Listening",
        "TLS",
        "Trust",
    ]


def test_rows_of_a_group_stand_together() -> None:
    groups = [row.group for row in Config.settings()]
    runs = [
        group for group, before in zip(groups, [None, *groups], strict=False) if group != before
    ]
    assert len(runs) == len(set(groups))


def test_default_domain_is_the_host_name() -> None:
    assert Config(lmtp_hostname="MX.example.org").lmtp_default_domain == "mx.example.org"
    assert Config(lmtp_default_domain="example.org").lmtp_default_domain == "example.org"


def test_default_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, elsewhere = tmp_path / "tree" / "lmtpd", tmp_path / "elsewhere"
    package.mkdir(parents=True)
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert default_root(package) == elsewhere / "maildirs"
    (tmp_path / "tree" / "lmtpd.py").touch()
    assert default_root(package) == tmp_path / "tree" / "maildirs"


def test_nothing_is_imported_that_gevent_must_patch_first() -> None:
    program = "import sys, lmtpd.config; sys.exit({'ssl', 'gevent', 'dns'} & {*sys.modules} or 0)"
    tree = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program], cwd=tree, check=True)
