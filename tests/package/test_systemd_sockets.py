"""Sockets that systemd holds: nobody is refused while lmtpd is started again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

from lmtpd.server.program import TRIAL_SECONDS
from tests.support import debian_package
from tests.support.client import Client
from tests.support.installed import PORT, SOON_S, STEADY, Installed
from tests.support.load import Load
from tests.support.steady import SteadyClients
from tests.support.waiting import wait_for


class Callers:
    """Clients who come one after the other, from several sides, until they are told to stop."""

    def __init__(self, site: Installed) -> None:
        self._site = site
        self._is_over = Event()

    def __enter__(self) -> Callers:
        self._pool = ThreadPoolExecutor(4, initializer=self._site.enter_network)
        self._callers = [self._pool.submit(self._call) for _ in range(4)]
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._pool.shutdown()

    def served(self) -> int:
        """How many were; ConnectionError if one was refused, or cut off."""
        self._is_over.set()
        return sum(caller.result() for caller in self._callers)

    def _call(self) -> int:
        count = 0
        while not self._is_over.is_set():
            with Client.tcp(PORT) as client:
                # 421 to one who came in the last moment: he comes again.
                assert client.reply().code in (220, 421)
                count += 1
        return count


def test_nobody_is_refused_meanwhile(site: Installed) -> None:
    site.systemctl("start", "lmtpd.socket")
    record = site.record

    def mail_goes_on() -> None:
        enough = len(record.answers) + 20
        load.wait(lambda: len(record.answers) > enough, SOON_S, "mail")

    with (
        Callers(site) as callers,
        Load(PORT, record, "load", connections=3, at_start=site.enter_network) as load,
    ):
        for _ in range(3):
            mail_goes_on()
            site.systemctl("restart", "lmtpd")
        mail_goes_on()
        assert callers.served() > 0
    assert site.holds_all()


def test_the_first_client_starts_it(site: Installed) -> None:
    site.systemctl("start", "lmtpd.socket")
    assert site.states() == ["active", "inactive"]
    site.deliver()
    assert site.states() == ["active", "active"]
    assert site.holds_all()


def test_another_version_goes_on_with_them(site: Installed) -> None:
    """In the same process, by execve(2): nothing changes for systemd, nor for a client."""
    site.add_mailbox(STEADY)
    site.systemctl("start", "lmtpd.socket")
    with SteadyClients(site.port, STEADY) as clients:
        clients.go_on()
        main = site.shown("lmtpd", "MainPID")
        site.systemctl("kill", "--signal=USR2", "--kill-who=main", "lmtpd")

        def is_another() -> bool:
            assert not site.journal(f"_PID={main}", "LMTPD_EVENT=upgrade-refused")
            return bool(site.journal(f"_PID={main}", "LMTPD_EVENT=upgrading"))

        wait_for(is_another, TRIAL_SECONDS + SOON_S, "another program")
        wait_for(lambda: site.shown("lmtpd", "ActiveState") == "active", SOON_S, "it serves")
        clients.go_on()
        assert site.shown("lmtpd", "MainPID") == main
        site.systemctl("reload", "lmtpd")
        clients.go_on()
    assert len(site.messages(STEADY)) == clients.delivered


def test_they_are_there_again_after_an_upgrade(site: Installed, package: Path, newer: Path) -> None:
    """And gone when the package is."""
    site.systemctl("enable", "--now", "lmtpd.socket")
    site.deliver()
    main = site.shown("lmtpd", "MainPID")
    debian_package.install(site, newer)
    assert site.states() == ["active", "active"]
    assert site.shown("lmtpd", "MainPID") not in ("0", main)
    site.deliver()
    site.run("dpkg", "--remove", "lmtpd")
    assert site.states() == ["inactive", "inactive"]
    assert not site.greets()
    assert site.holds_all()
    debian_package.install(site, package)
