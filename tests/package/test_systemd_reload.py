"""What systemd and lmtpd say to each other: ready, another configuration, signs of life."""

from __future__ import annotations

import pytest

from tests.support.installed import SOON_S, STEADY, Installed
from tests.support.steady import SteadyClients
from tests.support.waiting import wait_for


def test_it_is_started_when_it_serves(site: Installed) -> None:
    """What comes after it in the order of units can deliver at once."""
    site.systemctl("start", "lmtpd")
    assert site.greets()
    assert site.shown("lmtpd", "StatusText").startswith("Taking mail with 2 workers since ")


def test_a_reload_is_done_when_it_says_so(site: Installed) -> None:
    """Nobody is refused or cut off meanwhile."""
    site.add_mailbox(STEADY)
    site.systemctl("start", "lmtpd")
    main = site.shown("lmtpd", "MainPID")
    with SteadyClients(site.port, STEADY) as clients:
        for size in (100_000, 200_000, 300_000):
            clients.go_on()
            site.configure(f"lmtp-max-message-size = {size}")
            site.systemctl("reload", "lmtpd")
            assert f"SIZE {size}" in site.keywords()
        clients.go_on()
    assert len(site.messages(STEADY)) == clients.delivered
    assert site.shown("lmtpd", "ActiveState") == "active"
    assert site.shown("lmtpd", "MainPID") == main


def test_a_faulty_configuration_changes_nothing(site: Installed) -> None:
    site.systemctl("start", "lmtpd")
    site.configure("lmtp-prot = 11200")
    with pytest.raises(RuntimeError, match="Job for lmtpd"):
        site.systemctl("reload", "lmtpd")
    assert "lmtp-prot" in site.systemctl("status", "--full", "lmtpd")
    assert site.shown("lmtpd", "ActiveState") == "active"
    assert site.shown("lmtpd", "StatusText").startswith("Taking mail")
    site.deliver()
    assert site.holds_all()


def test_a_parent_that_hangs_is_replaced(site: Installed) -> None:
    site.drop_in("[Service]\nWatchdogSec=2\n")
    site.systemctl("start", "lmtpd")
    main = site.shown("lmtpd", "MainPID")
    site.systemctl("kill", "--signal=STOP", "--kill-who=main", "lmtpd")
    wait_for(lambda: site.shown("lmtpd", "NRestarts") == "1", SOON_S, "another start")
    wait_for(site.greets, SOON_S, "a greeting")
    assert site.journal("-u", "lmtpd", "-g", "watchdog")
    site.deliver()
    assert site.holds_all()
    assert site.shown("lmtpd", "MainPID") not in ("0", main)
