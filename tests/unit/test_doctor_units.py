"""What doctor makes of `systemctl show`: the words of a real systemd (252), state by state."""

from __future__ import annotations

import pytest

from lmtpd.doctor.finding import Level
from lmtpd.doctor.systemd import judged

WELL = {
    "TriggeredBy": "",
    "Result": "success",
    "ExecMainStatus": "0",
    "LoadState": "loaded",
    "ActiveState": "active",
    "FragmentPath": "/etc/systemd/system/lmtpd.service",
    "DropInPaths": "",
    "UnitFileState": "enabled",
    "NeedDaemonReload": "no",
}


def test_one_that_is_well() -> None:
    (only,) = judged("lmtpd.service", WELL)
    assert only.level is Level.OK


@pytest.mark.parametrize(
    ("change", "level", "words", "remedy"),
    [
        ({"LoadState": "not-found"}, Level.WARN, "is not there", "systemctl daemon-reload && "),
        ({"LoadState": "masked"}, Level.FAIL, "is masked", "systemctl unmask lmtpd.service"),
        ({"LoadState": "bad-setting"}, Level.FAIL, "is bad-setting", "systemd-analyze verify"),
        ({"NeedDaemonReload": "yes"}, Level.WARN, "has changed", "systemctl daemon-reload && "),
        ({"ActiveState": "inactive"}, Level.WARN, "is inactive", "systemctl start lmtpd.service"),
        (
            {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "78"},
            Level.FAIL,
            "has failed: exit-code, exit status 78",
            "journalctl -u lmtpd.service",
        ),
        ({"UnitFileState": "disabled"}, Level.WARN, "is disabled", "systemctl enable"),
    ],
)
def test_what_is_wrong(change: dict[str, str], level: Level, words: str, remedy: str) -> None:
    found = [one for one in judged("lmtpd.service", {**WELL, **change}) if one.remedy]
    assert [one.level for one in found] == [level]
    assert words in found[0].text
    assert remedy in found[0].remedy


def test_one_that_a_socket_starts_need_not_be_enabled() -> None:
    started = {**WELL, "UnitFileState": "disabled", "TriggeredBy": "lmtpd.socket"}
    (only,) = judged("lmtpd.service", started)
    assert only.level is Level.OK
