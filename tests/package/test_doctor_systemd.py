"""`lmtpd doctor` where systemd runs the installed lmtpd: the unit, its user, its socket."""

from __future__ import annotations

from tests.support.doctor import Diagnosis, diagnosis
from tests.support.installed import ALICE, CONFIG, Installed


def doctor(site: Installed, *arguments: str) -> Diagnosis:
    """What it finds there, as root."""
    command = ("lmtpd", "doctor", "--json", "--config", f"/{CONFIG}", *arguments)
    return diagnosis(site.run("sh", "-c", f"{' '.join(command)} || :"))


def test_the_unit_as_it_comes_to_be(site: Installed) -> None:
    off = doctor(site)
    off.the("unit", "warn", "lmtpd.service is inactive")
    off.the("server", "fail", "no server runs here")
    site.systemctl("start", "lmtpd")
    found = doctor(site, "--send", ALICE)
    assert found.levels("server") == ["ok"]
    assert found.levels("delivery") == ["ok"] * 4
    found.the("configuration", "note", "the server runs as vmail")
    found.the("store", "ok", "looked at as vmail")
    site.systemctl("enable", "lmtpd")
    doctor(site).the("unit", "ok", "lmtpd.service is active, and started by a boot")
    site.systemctl("disable", "lmtpd")
    doctor(site).the("unit", "warn", "lmtpd.service is disabled")


def test_a_unit_that_was_changed(site: Installed) -> None:
    site.systemctl("start", "lmtpd")
    # The file itself: of a first drop-in systemd knows nothing before it reads all of them anew.
    site.run("touch", site.shown("lmtpd", "FragmentPath"))
    doctor(site).the("unit", "warn", "has changed on the disk")


def test_one_that_has_failed(site: Installed) -> None:
    config = site.read(CONFIG)
    site.configure("lmtp-prot = 11200")
    site.run("sh", "-c", "systemctl start lmtpd || :")
    site.write(CONFIG, config)
    failed = doctor(site).the("unit", "fail", "lmtpd.service has failed: exit-code")
    assert "exit status 78" in failed.text


def test_none(site: Installed) -> None:
    doctor(site, "--unit", "nonesuch").the("unit", "warn", "nonesuch.service is not there")


def test_a_socket_of_systemd_s(site: Installed) -> None:
    site.systemctl("start", "lmtpd.socket", "lmtpd.service")
    found = doctor(site)
    assert found.levels("server") == ["ok"]
    found.the("listener", "ok", "127.0.0.1:11200 greets")
    assert found.levels("unit") == ["ok"]
