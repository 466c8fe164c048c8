"""The Debian package on a Debian that has never seen it: installed, upgraded, removed, purged.

There is no systemd in such a root: the server is started by the line of the unit, as its user.
"""

from __future__ import annotations

import configparser
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import lmtpd
from lmtpd import config
from tests.support import debian_package
from tests.support.components import lacking, require, require_root
from tests.support.debian_package import CleanRoot
from tests.support.sandbox import NoSandboxError, Sandbox
from tests.support.server import PROJECT

UNIT = "lib/systemd/system/lmtpd.service"
CONFIG = "etc/lmtpd/lmtpd.conf"
STORE = "var/lib/lmtpd/maildirs"

# What the package needs of others: what `Depends` says, for nothing else is put into the root.
NEEDED = ["adduser", "python3", "python3.11", "libc6", "libgcc-s1", "libstdc++6"]

DELIVER = """
import smtplib, sys
with smtplib.LMTP("127.0.0.1", 11200) as client:
    client.sendmail("bob@example.net", [sys.argv[1]], f"Subject: {sys.argv[2]}\\r\\n\\r\\n")
"""

STATUS = "127.0.0.1:11280"
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, CleanRoot]]:
    """The package, and the root to install it in; both come into being at the same time."""
    require_root("a root file system is made by root only")
    require("clean-root")
    require("debian")
    root = CleanRoot(tmp_path_factory.mktemp("root"))
    try:
        root.begin(NEEDED)
        yield debian_package.build(tmp_path_factory.mktemp("debian")), root
    finally:
        root.end()


@pytest.fixture
def package(made: tuple[Path, CleanRoot]) -> Path:
    """The .deb file."""
    return made[0]


@pytest.fixture
def machine(made: tuple[Path, CleanRoot]) -> Iterator[Sandbox]:
    """A machine where nothing of it is installed."""
    try:
        with Sandbox(base=made[1].path()) as sandbox:
            yield sandbox
    except NoSandboxError as error:
        lacking(str(error))


def install(machine: Sandbox, package: Path) -> str:
    """As unattended-upgrades has it done, with no one to answer; all that dpkg said."""
    shutil.copy(package, machine.path("root/lmtpd.deb"))
    unasked = ("--force-confdef", "--force-confold")
    return machine.run("dpkg", *unasked, "--install", "/root/lmtpd.deb")


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
    assert {one.split()[0] for one in depends.split(", ")} == set(NEEDED)


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


def test_a_life(machine: Sandbox, package: Path) -> None:
    """Installed, it delivers; upgraded, with mail and configuration kept; removed, and purged."""
    install(machine, package)
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
    newer = debian_package.changed(package, f"{lmtpd.__version__}+1", CONFIG, "# New.\n")
    stop(machine)
    install(machine, newer)
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


def test_an_empty_store_goes_with_it(machine: Sandbox, package: Path) -> None:
    install(machine, package)
    machine.run("dpkg", "--purge", "lmtpd")
    assert not machine.path("var/lib/lmtpd").exists()
