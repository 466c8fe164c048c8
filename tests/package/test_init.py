"""The scripts for SysV init and OpenRC, each run in a machine of its own."""

from __future__ import annotations

import smtplib
import sys
from collections.abc import Iterator

import pytest

from tests.components import COMPONENTS, Download
from tests.support.components import lacking, require, require_root
from tests.support.processes import LOOPBACK, accepts, free_port
from tests.support.sandbox import NoSandboxError, Sandbox
from tests.support.server import PROJECT
from tests.support.waiting import wait_for

_SOON_S = 20.0
_VMAIL = 1201
_CONFIG = "etc/lmtpd/lmtpd.conf"
_LOG = "var/log/lmtpd.log"
_NEW = "var/lib/lmtpd/maildirs/example.org/alice/new"

# The project and its Python, where the scripts look, and open to all: a home may be closed.
_PREPARE = """\
for path in "$1" "$2" "$3"; do
    while [ "$path" != / ]; do
        chmod a+x "$path"
        path=$(dirname "$path")
    done
done
mkdir -p /opt/lmtpd /var/lib/lmtpd/maildirs
ln -s "$1" /opt/lmtpd/.venv
ln -s "$3/lmtpd.py" /opt/lmtpd/lmtpd.py
chown -R vmail:vmail /var/lib/lmtpd
rm -f /var/log/lmtpd.log
chmod 755 /etc/init.d/lmtpd
"""


class Init:
    """A machine with one of the two, and lmtpd on it, not started."""

    def __init__(self, machine: Sandbox, kind: str) -> None:
        self._machine = machine
        self._command = ("rc-service", "lmtpd") if kind == "openrc" else ("/etc/init.d/lmtpd",)
        # The other file of OpenRC names the supervisor.
        supervised = "run/openrc/options/lmtpd/child_pid"
        self._pid_file = supervised if kind == "openrc" else "run/lmtpd.pid"
        self.port = free_port()
        machine.write("etc/init.d/lmtpd", (PROJECT / f"init/lmtpd.{kind}").read_text("utf-8"))
        places = map(str, (sys.prefix, sys.base_prefix, PROJECT))
        machine.run("sh", "-ec", _PREPARE, "sh", *places)
        # Without it nobody is an account for PAM, and su(1) fails.
        machine.write("etc/shadow", "".join(f"{name}:*:1::::::\n" for name in ("root", "vmail")))
        if kind == "openrc":
            # As after a boot.
            machine.write("run/openrc/softlevel", "default\n")
            for name in ("exclusive", "starting", "started", "stopping", "inactive", "options"):
                machine.path(f"run/openrc/{name}").mkdir()
        self.configure()
        add = ("mailbox", "add", "alice@example.org", "--config", f"/{_CONFIG}")
        program = ("/opt/lmtpd/.venv/bin/python", "/opt/lmtpd/lmtpd.py")
        machine.run("runuser", "-u", "vmail", "--", *program, *add)

    def configure(self, more: str = "") -> None:
        lines = ("lmtp-maildir-root = /var/lib/lmtpd/maildirs", f"lmtp-port = {self.port}")
        self._machine.write(_CONFIG, "\n".join((*lines, more, "")))

    def __call__(self, verb: str) -> str:
        """What the script said; RuntimeError if it failed."""
        return self._machine.run(*self._command, verb)

    def refuses(self, verb: str) -> str:
        """With which code, and what it said."""
        with pytest.raises(RuntimeError) as caught:
            self(verb)
        return str(caught.value)

    def deliver(self, subject: str) -> None:
        wait_for(lambda: accepts(self.port), _SOON_S, "a server")
        with smtplib.LMTP(LOOPBACK, self.port) as client:
            client.sendmail("", ["alice@example.org"], f"Subject: {subject}\r\n\r\n")

    def offers(self, extension: str) -> bool:
        with smtplib.LMTP(LOOPBACK, self.port) as client:
            return extension in client.ehlo()[1].decode()

    def pid(self) -> int:
        return int(self._machine.read(self._pid_file))

    def owner(self) -> list[str]:
        """Who it runs as, in numbers: real, effective, saved, and for files."""
        status = self._machine.read(f"proc/{self.pid()}/status")
        return next(line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))


@pytest.fixture(params=["sysv", "openrc"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def machine(kind: str) -> Iterator[Sandbox]:
    require_root("a machine of its own is made by root only")
    require("sysv")
    require(kind)
    component = COMPONENTS[kind]
    packages = [*component.folder.glob("*.deb")] if isinstance(component, Download) else []
    vmail = f"vmail:x:{_VMAIL}:"
    try:
        with Sandbox(packages, f"{vmail}{_VMAIL}::/var/lib/lmtpd:/bin/false\n", f"{vmail}\n") as it:
            yield it
    except NoSandboxError as error:
        lacking(str(error))


@pytest.fixture
def init(machine: Sandbox, kind: str) -> Init:
    return Init(machine, kind)


def test_a_life(init: Init, machine: Sandbox) -> None:
    """Started, asked for, started anew, stopped; as its user, with its log in a file."""
    assert ": 3\n" in init.refuses("status")
    init("start")
    init("status")
    init.deliver("one")
    assert init.owner() == [str(_VMAIL)] * 4
    first = init.pid()
    init("start")
    assert init.pid() == first, "it runs already"
    init("restart")
    assert init.pid() != first
    init.deliver("two")
    init("stop")
    assert not accepts(init.port)
    assert not machine.path("run/lmtpd.pid").exists()
    assert ": 3\n" in init.refuses("status")
    init("stop")
    assert len(list(machine.path(_NEW).iterdir())) == 2
    log = machine.read(_LOG)
    assert log.count("delivered") == 2
    assert log.count("listening on") == 2
    assert machine.path(_LOG).stat().st_mode & 0o7777 == 0o600


def test_a_fault_in_the_configuration_is_told_and_ends_nothing(init: Init) -> None:
    init("start")
    init.deliver("before")
    init.configure("lmtp-frobnicate = yes")
    assert "lmtp-frobnicate" in init.refuses("restart")
    init.deliver("after")
    init("stop")
    assert "lmtp-frobnicate" in init.refuses("start")
    assert not accepts(init.port)


def test_a_reload_takes_what_the_file_says_now(init: Init) -> None:
    """By the process that runs; a faulty file is told and changes nothing."""
    init("start")
    init.deliver("before")
    first = init.pid()
    init.configure("lmtp-max-message-size = 1M")
    init("reload")
    wait_for(lambda: init.offers("SIZE 1048576"), _SOON_S, "what the file says now")
    init.configure("lmtp-frobnicate = yes")
    assert "lmtp-frobnicate" in init.refuses("reload")
    init.deliver("after")
    assert init.pid() == first
    # Those of before may take a connection until all of the new ones are there.
    wait_for(lambda: all(init.offers("SIZE 1048576") for _ in range(5)), _SOON_S, "no other worker")
    init("stop")
    init.refuses("reload")


def test_one_that_was_killed_is_started_again(init: Init, machine: Sandbox, kind: str) -> None:
    """OpenRC's supervisor does it, SysV's nobody."""
    init("start")
    init.deliver("before")
    first = init.pid()
    machine.run("kill", "-KILL", str(first))
    wait_for(lambda: not accepts(init.port), _SOON_S, "its end, and its workers'")
    if kind == "sysv":
        assert ": 1\n" in init.refuses("status")
        init("start")
    init.deliver("after")
    assert init.pid() != first
    init("stop")


def test_its_log_is_rotated_while_it_runs(init: Init, machine: Sandbox) -> None:
    init("start")
    init.deliver("before")
    wait_for(lambda: "delivered" in machine.read(_LOG), _SOON_S, "a line in the log")
    text = (PROJECT / "init/lmtpd.logrotate").read_text("utf-8")
    machine.write("etc/logrotate.d/lmtpd", text)
    machine.run("logrotate", "--force", "/etc/logrotate.d/lmtpd")
    init.deliver("after")
    wait_for(lambda: "delivered" in machine.read(_LOG), _SOON_S, "a line in the new log")
    assert machine.read(f"{_LOG}.1").count("delivered") == 1
    assert machine.read(_LOG).count("delivered") == 1
    assert not machine.read(_LOG).startswith("\0"), "written at the end, wherever that is"
    init("stop")
