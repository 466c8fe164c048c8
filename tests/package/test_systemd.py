"""The service where systemd runs it: started, watched, started again and stopped."""

from __future__ import annotations

import pytest

from tests.support.installed import ALICE, SOON_S, STORE, Installed, delivered, greets
from tests.support.waiting import wait_for


def test_the_units_are_sound(site: Installed) -> None:
    units = ("lmtpd.service", "lmtpd.socket")
    assert site.run("systemd-analyze", "verify", "--man=no", *units) == ""


def test_a_life(site: Installed) -> None:
    """Started, it delivers; started anew, it still does; stopped, it is gone."""
    site.systemctl("start", "lmtpd")
    site.deliver()
    site.systemctl("restart", "lmtpd")
    site.deliver()
    assert site.holds_all()
    new = f"/{STORE}/example.org/alice/new"
    assert site.run("stat", "-c", "%U:%G %a", new) == "vmail:vmail 700\n"
    site.systemctl("stop", "lmtpd")
    assert site.shown("lmtpd", "ActiveState") == "inactive"
    assert site.shown("lmtpd", "Result") == "success"
    assert not site.greets()


def test_the_journal_has_its_fields(site: Installed) -> None:
    site.systemctl("start", "lmtpd")
    (entry,) = site.journal(f"LMTPD_ID={site.deliver()}")
    assert entry["_SYSTEMD_UNIT"] == "lmtpd.service"
    assert (entry["LMTPD_EVENT"], entry["LMTPD_RECIPIENT"]) == ("delivered", ALICE)
    assert entry["LMTPD_FILE"] in [file.name for file in site.messages()]


def test_what_has_begun_is_finished_when_it_is_stopped(site: Installed) -> None:
    site.systemctl("start", "lmtpd")

    def stop() -> None:
        site.systemctl("stop", "--no-block", "lmtpd")
        wait_for(lambda: not greets(), SOON_S, "a closed port")

    assert site.within(lambda: delivered(site.record, "late", ALICE, stop)) == [250]
    assert site.holds_all()
    wait_for(lambda: site.shown("lmtpd", "ActiveState") == "inactive", SOON_S, "its end")
    assert site.shown("lmtpd", "Result") == "success"


def test_one_that_was_killed_is_started_again(site: Installed) -> None:
    site.systemctl("start", "lmtpd")
    main = site.shown("lmtpd", "MainPID")
    site.systemctl("kill", "--signal=KILL", "--kill-who=main", "lmtpd")
    wait_for(lambda: site.shown("lmtpd", "NRestarts") == "1", SOON_S, "another start")
    wait_for(site.greets, SOON_S, "a greeting")
    site.deliver()
    assert site.holds_all()
    assert site.shown("lmtpd", "MainPID") not in ("0", main)


def test_it_is_started_again_for_ever(site: Installed) -> None:
    """Systemd would leave it stopped after so many starts in so many seconds."""
    names = ("RestartUSec", "StartLimitIntervalUSec", "StartLimitBurst")
    pause_s, interval_s, starts = (int(site.shown("lmtpd", name).rstrip("s")) for name in names)
    assert pause_s * (starts - 1) > interval_s


def test_a_faulty_configuration_is_told_once(site: Installed) -> None:
    site.configure("lmtp-prot = 11200")
    with pytest.raises(RuntimeError, match="failed"):
        site.systemctl("start", "lmtpd")
    assert site.shown("lmtpd", "ActiveState") == "failed"
    assert site.shown("lmtpd", "ExecMainStatus") == "78"
    assert site.shown("lmtpd", "NRestarts") == "0"
    assert "lmtp-prot" in site.run("sh", "-c", "systemctl status --no-pager --full lmtpd || :")
