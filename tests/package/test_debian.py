"""The Debian package on a Debian that has never seen it: installed, upgraded, removed, purged.

No systemd runs here: the server is started by the line of the unit, as its user, or by the script
for SysV init. Where systemd runs it is test_systemd.py's.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import lmtpd
from lmtpd import config
from tests.support import debian_package
from tests.support.components import lacking
from tests.support.sandbox import NoSandboxError, Sandbox
from tests.support.server import PROJECT
from tests.support.waiting import wait_for

UNIT = "lib/systemd/system/lmtpd.service"
CONFIG = "etc/lmtpd/lmtpd.conf"
STORE = "var/lib/lmtpd/maildirs"
LOG = "var/log/lmtpd.log"
_SOON_S = 20.0

DELIVER = """
import smtplib, sys
with smtplib.LMTP("127.0.0.1", 11200) as client:
    client.sendmail("bob@example.net", [sys.argv[1]], f"Subject: {sys.argv[2]}\\r\\n\\r\\n")
"""

STATUS = "127.0.0.1:11280"
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"


@pytest.fixture
def machine(clean_root: Path) -> Iterator[Sandbox]:
    """A machine where nothing of it is installed."""
    try:
        with Sandbox(base=clean_root) as sandbox:
            yield sandbox
    except NoSandboxError as error:
        lacking(str(error))


def unit(machine: Sandbox) -> configparser.SectionProxy:
    """What the installed unit says of the service."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(machine.read(UNIT))
    return parser["Service"]


def start(machine: Sandbox) -> None:
    """As systemd would, and wait until it listens."""
    service = unit(machine)
    program, *arguments = service["ExecStart"].split()
    # Not in the background, where nobody would reap it: no init runs in a Sandbox.
    machine.start(
        *("start-stop-daemon", "--start", "--make-pidfile", "--pidfile", "/run/pid"),
        *("--chuid", f"{service['User']}:{service['Group']}"),
        *("--startas", program, "--", *arguments),
    )
    listens(machine)


def listens(machine: Sandbox) -> None:
    """Wait until it does."""
    look = "until python3 -c 'import smtplib; smtplib.LMTP(\"127.0.0.1\", 11200)' 2>/dev/null"
    machine.run("timeout", "30", "sh", "-c", f"{look}; do sleep 0.1; done")


def stop(machine: Sandbox) -> None:
    machine.run("start-stop-daemon", "--stop", "--retry", "20", "--pidfile", "/run/pid")


def subjects(machine: Sandbox, mailbox: str) -> list[str]:
    """Of what lies in new/."""
    found = [path.read_text() for path in (machine.path(STORE) / mailbox / "new").glob("*")]
    return sorted(re.findall(r"^Subject: (.*)$", "\n".join(found), re.MULTILINE))


def deliver(machine: Sandbox, subject: str) -> None:
    machine.run("python3", "-c", DELIVER, "alice@example.org", subject)


def test_lintian_has_nothing_to_say(package: Path) -> None:
    (changes,) = package.parent.glob("*.changes")
    debian_package.run("lintian", "--allow-root", "--fail-on=error,warning", str(changes))
    for line in (PROJECT / "debian/lmtpd.lintian-overrides").read_text("utf-8").splitlines():
        assert line.startswith(("#", "lmtpd: ")), "each override has its reason before it"


def test_its_version_is_that_of_the_project(package: Path) -> None:
    assert debian_package.field(package, "Version") == lmtpd.__version__


def test_it_depends_on_no_more_than_the_clean_root_has(package: Path) -> None:
    depends = debian_package.field(package, "Depends")
    assert {one.split()[0] for one in depends.split(", ")} == set(debian_package.DEPENDS)


def test_its_configuration_is_sound_and_keeps_to_loopback(tmp_path: Path) -> None:
    text = (PROJECT / "init/lmtpd.conf").read_text("utf-8")
    file = tmp_path / "lmtpd.conf"
    # The store is the one thing that is not there on this machine.
    file.write_text(text.replace(f"/{STORE}", str(tmp_path)), "utf-8")
    settings = config.load(file, {}, {})
    assert (settings.lmtp_bind_addr, settings.lmtp_port) == ("127.0.0.1", 11200)
    assert settings.lmtp_maildir_root == tmp_path
    assert settings.warnings == ()


def test_each_suggestion_in_its_configuration_is_a_setting() -> None:
    text = (PROJECT / "init/lmtpd.conf").read_text("utf-8")
    suggested = re.findall(r"^#?(lmtp-\S+) = ", text, re.MULTILINE)
    assert len(suggested) > 5
    assert set(suggested) <= {row.key for row in config.Config.settings()}


def test_a_life(machine: Sandbox, package: Path, newer: Path) -> None:
    """Installed, it delivers; upgraded, with mail and configuration kept; removed, and purged."""
    debian_package.install(machine, package)
    service = unit(machine)
    owner = service["User"]
    assert machine.run("lmtpd", "--version") == f"lmtpd {lmtpd.__version__}\n"
    assert machine.run("stat", "-c", "%U:%G %a", f"/{STORE}") == f"{owner}:{owner} 700\n"
    assert f"/{STORE}".startswith(f"{service['ReadWritePaths']}/")
    named = ("--config", f"/{CONFIG}")
    assert "sound" in machine.run("lmtpd", "check-config", *named)
    add = ("lmtpd", "mailbox", "add", "alice@example.org", *named)
    assert f"runuser -u {owner} -- {' '.join(add)}" in machine.read(CONFIG)
    machine.run("runuser", "-u", owner, "--", *add)

    start(machine)
    deliver(machine, "before")
    assert subjects(machine, "example.org/alice") == ["before"]

    ours = machine.read(CONFIG) + "lmtp-max-message-size = 1M\n" + f"lmtp-status-addr = {STATUS}\n"
    machine.write(CONFIG, ours)
    stop(machine)
    debian_package.install(machine, newer)
    start(machine)
    deliver(machine, "after")
    seen = f"until lmtpd top --once {' '.join(named)}; do sleep 0.1; done"
    assert "Workers" in machine.run("timeout", "30", "sh", "-c", seen)
    assert "lmtpd_build_info" in machine.run("python3", "-c", FETCH, f"http://{STATUS}/metrics")
    assert machine.read(CONFIG) == ours
    assert machine.read(f"{CONFIG}.dpkg-dist").endswith("# New.\n")
    assert subjects(machine, "example.org/alice") == ["after", "before"]
    stop(machine)

    said = machine.run("dpkg", "--remove", "lmtpd")
    assert "not empty" not in said
    assert [path.name for path in machine.path("usr/lib").glob("lmtpd*")] == []
    assert machine.read(CONFIG) == ours

    said = machine.run("dpkg", "--purge", "lmtpd")
    assert "not empty" not in said
    assert not machine.path("etc/lmtpd").exists()
    assert subjects(machine, "example.org/alice") == ["after", "before"]
    assert f"\n{owner}:" in machine.read("etc/passwd")


def test_a_life_under_sysv(machine: Sandbox, package: Path, newer: Path) -> None:
    """Installed, it runs; `service` has it in hand; upgraded, it runs anew; removed, it is gone."""
    # Without an init system packages start nothing, unless they are told that they may.
    machine.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n")
    machine.path("usr/sbin/policy-rc.d").chmod(0o755)
    debian_package.install(machine, package)
    listens(machine)
    assert machine.run("service", "lmtpd", "status") == "lmtpd runs\n"
    owner = unit(machine)["User"]
    add = ("lmtpd", "mailbox", "add", "alice@example.org", "--config", f"/{CONFIG}")
    machine.run("runuser", "-u", owner, "--", *add)
    deliver(machine, "installed")
    first = machine.read("run/lmtpd.pid")
    assert machine.path(f"proc/{first.strip()}").owner() != "root"

    machine.run("service", "lmtpd", "reload")
    assert machine.read("run/lmtpd.pid") == first
    deliver(machine, "reloaded")

    machine.run("service", "lmtpd", "restart")
    listens(machine)
    second = machine.read("run/lmtpd.pid")
    assert second not in ("", first)
    deliver(machine, "restarted")

    machine.run("service", "lmtpd", "stop")
    with pytest.raises(RuntimeError, match=r": 3\nlmtpd does not run"):
        machine.run("service", "lmtpd", "status")
    machine.run("service", "lmtpd", "start")
    debian_package.install(machine, newer)
    listens(machine)
    deliver(machine, "upgraded")
    assert subjects(machine, "example.org/alice") == [
        "installed",
        "reloaded",
        "restarted",
        "upgraded",
    ]
    wait_for(lambda: machine.read(LOG).count(" delivered ") == 4, _SOON_S, "the last line")

    machine.run("dpkg", "--remove", "lmtpd")
    assert not machine.path("run/lmtpd.pid").exists()
    machine.run("dpkg", "--purge", "lmtpd")
    for gone in LOG, "etc/init.d/lmtpd", "etc/logrotate.d/lmtpd":
        assert not machine.path(gone).exists()


def test_an_empty_store_goes_with_it(machine: Sandbox, package: Path) -> None:
    debian_package.install(machine, package)
    machine.run("dpkg", "--purge", "lmtpd")
    assert not machine.path("var/lib/lmtpd").exists()
