"""The Debian package where systemd runs it: started, confined, started again and stopped.

Each test finds the service stopped and as it is installed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import attempts, debian_package
from tests.support.booted import Booted
from tests.support.client import Reply
from tests.support.components import lacking
from tests.support.load import Record, announce, compose, examine, finish, greeted
from tests.support.sandbox import NoSandboxError
from tests.support.waiting import wait_for

CONFIG = "etc/lmtpd/lmtpd.conf"
STORE = "var/lib/lmtpd/maildirs"
DROP_INS = "etc/systemd/system/lmtpd.service.d"
PYTHON = "/usr/lib/lmtpd/bin/python"
PACKAGES = "usr/lib/lmtpd/lib/python3.11/site-packages"
HOMES = "/usr/share/doc/lmtpd/examples/lmtpd-homes.conf"
PORT = 11200
SOON_S = 20.0

ALICE = "alice@example.org"
# As many as a message of a Load may have recipients.
MAILBOXES = (ALICE, *(f"user{number}@example.org" for number in range(9)))


@pytest.fixture(scope="module")
def machine(package: Path, clean_root: Path) -> Iterator[Booted]:
    """Installed, with mailboxes."""
    try:
        with Booted(clean_root) as booted:
            debian_package.install(booted, package)
            add = ("lmtpd", "mailbox", "add", *MAILBOXES, "--config", f"/{CONFIG}")
            booted.run("runuser", "-u", "vmail", "--", *add)
            yield booted
    except NoSandboxError as error:
        lacking(str(error))


@pytest.fixture
def site(machine: Booted) -> Iterator[Booted]:
    """The service is stopped, and afterwards all is as it was."""
    machine.systemctl("stop", "lmtpd.socket", "lmtpd.service")
    config = machine.read(CONFIG)
    yield machine
    machine.systemctl("stop", "lmtpd.socket", "lmtpd.service")
    machine.systemctl("reset-failed")
    machine.write(CONFIG, config)
    if machine.path(DROP_INS).exists():
        shutil.rmtree(machine.path(DROP_INS))
        machine.systemctl("daemon-reload")


@pytest.fixture(scope="module")
def record() -> Record:
    """What was promised on that machine."""
    return Record({mailbox: (mailbox,) for mailbox in MAILBOXES})


def configure(site: Booted, *lines: str) -> None:
    """Settings in addition."""
    site.write(CONFIG, "\n".join((site.read(CONFIG), *lines, "")))


def start(site: Booted, unit: str = "lmtpd") -> None:
    """And wait until it listens."""
    site.systemctl("start", unit)
    wait_for(lambda: site.within(greets), SOON_S, "a greeting")


def greets() -> bool:
    try:
        greeted(PORT).close()
    except ConnectionError:
        return False
    return True


def deliver(site: Booted, record: Record, recipient: str = ALICE) -> str:
    """One message, acknowledged; the id in the 250."""
    letter = f"letter/{len(record.letters)}"

    def dialogue() -> list[int]:
        with greeted(PORT) as client:
            accepted = announce(client, record, letter, [recipient])
            answers = finish(client, record, letter, accepted, compose(letter, 4096))
            client.command("QUIT")
        return [answer.code for answer in answers]

    assert site.within(dialogue) == [250]
    return next(name for name, about in record.delivery_ids.items() if about == letter)


def asked(site: Booted, *recipients: str) -> list[Reply]:
    """What is said to RCPT."""

    def dialogue() -> list[Reply]:
        with greeted(PORT) as client:
            client.command("MAIL FROM:<>")
            return [client.command(f"RCPT TO:<{one}>") for one in recipients]

    return site.within(dialogue)


def whole(site: Booted, record: Record) -> bool:
    """All that was promised is in the store, once."""
    findings = examine(site.path(STORE), record)
    return not findings and not record.faults


def attempted_outside(site: Booted, name: str) -> str:
    """How it goes for the server's user where no unit confines him."""
    run = f"cd /usr/lib/lmtpd && exec {PYTHON} -m attempts {name}"
    return site.run("runuser", "-u", "vmail", "--", "sh", "-c", run)


def messages(site: Booted) -> list[Path]:
    """What lies in alice's new/."""
    return list((site.path(STORE) / "example.org/alice/new").glob("*"))


def test_its_units_are_sound(site: Booted) -> None:
    units = ("lmtpd.service", "lmtpd.socket")
    assert site.run("systemd-analyze", "verify", "--man=no", *units) == ""


def test_a_life(site: Booted, record: Record) -> None:
    """Started, it delivers; started anew, it still does; stopped, it is gone."""
    start(site)
    deliver(site, record)
    site.systemctl("restart", "lmtpd")
    wait_for(lambda: site.within(greets), SOON_S, "a greeting")
    deliver(site, record)
    assert whole(site, record)
    assert {site.run("stat", "-c", "%U %a", f"/{STORE}/example.org/alice/new")} == {"vmail 700\n"}

    site.systemctl("stop", "lmtpd")
    assert (site.shown("lmtpd", "ActiveState"), site.shown("lmtpd", "Result")) == (
        "inactive",
        "success",
    )
    assert not site.within(greets)


def test_the_journal_has_its_fields(site: Booted, record: Record) -> None:
    start(site)
    (entry,) = site.journal(f"LMTPD_ID={deliver(site, record)}")
    assert entry["_SYSTEMD_UNIT"] == "lmtpd.service"
    assert (entry["LMTPD_EVENT"], entry["LMTPD_RECIPIENT"]) == ("delivered", ALICE)
    assert entry["LMTPD_FILE"] in [file.name for file in messages(site)]


def test_what_runs_is_finished_when_it_is_stopped(site: Booted, record: Record) -> None:
    start(site)

    def dialogue() -> list[int]:
        with greeted(PORT) as client:
            accepted = announce(client, record, "late", [ALICE])
            site.systemctl("stop", "--no-block", "lmtpd")
            wait_for(lambda: not greets(), SOON_S, "a closed port")
            answers = finish(client, record, "late", accepted, compose("late", 4096))
        return [answer.code for answer in answers]

    assert site.within(dialogue) == [250]
    assert whole(site, record)
    wait_for(lambda: site.shown("lmtpd", "ActiveState") == "inactive", SOON_S, "its end")
    assert site.shown("lmtpd", "Result") == "success"


@pytest.fixture
def intruded(site: Booted) -> Booted:
    """A hook that tries what it should not, and places that are open to everybody."""
    site.write(f"{PACKAGES}/attempts.py", Path(attempts.__file__).read_text("utf-8"))
    for place in (attempts.OPEN, attempts.OPEN_HOME):
        site.run("install", "-d", "-m", "777", str(place))
    # What systemd does is to be seen, and not what Landlock does besides.
    configure(site, "lmtp-recipient-hooks = attempts:Attempts", "lmtp-sandbox = off")
    return site


def test_the_unit_confines_its_workers(intruded: Booted) -> None:
    """Each of these its user may do elsewhere."""
    errors = {
        "elsewhere": "EROFS",
        "homes": "EACCES",
        "processes": "EPERM",
        "namespace": "EPERM",
        "trace": "EPERM",
        "personality": "EPERM",
        "netlink": "EAFNOSUPPORT",
        "code": "EPERM",
        "privileged": "EPERM",
    }
    start(intruded)
    tried = [*errors, "deliver", "temporary"]
    assert set(tried) == set(attempts.ATTEMPTS)
    replies = asked(intruded, *(f"{name}@example.org" for name in tried))
    told = {name: reply.text.split()[-1] for name, reply in zip(tried, replies, strict=True)}
    assert told == {**errors, "deliver": "done", "temporary": "done"}
    assert not intruded.path(str(attempts.TEMPORARY)[1:]).exists(), "its /tmp is its own"
    assert {name: attempted_outside(intruded, name) for name in tried} == dict.fromkeys(
        tried, "done"
    )


def test_a_client_starts_it_where_systemd_holds_the_sockets(site: Booted, record: Record) -> None:
    site.systemctl("start", "lmtpd.socket")
    assert site.shown("lmtpd", "ActiveState") == "inactive"
    deliver(site, record)
    assert whole(site, record)


def test_one_that_was_killed_is_started_again(site: Booted, record: Record) -> None:
    start(site)
    main = site.shown("lmtpd", "MainPID")
    site.systemctl("kill", "--signal=KILL", "--kill-who=main", "lmtpd")
    wait_for(lambda: site.shown("lmtpd", "NRestarts") == "1", SOON_S, "a restart")
    wait_for(lambda: site.within(greets), SOON_S, "a greeting")
    deliver(site, record)
    assert whole(site, record)
    assert site.shown("lmtpd", "MainPID") not in ("0", main)


def test_a_faulty_configuration_is_told_once(site: Booted) -> None:
    configure(site, "lmtp-prot = 11200")
    site.run("sh", "-c", "systemctl start lmtpd || :")
    wait_for(lambda: site.shown("lmtpd", "ActiveState") == "failed", SOON_S, "its failure")
    assert site.shown("lmtpd", "ExecMainStatus") == "78"
    assert site.shown("lmtpd", "NRestarts") == "0"
    assert "lmtp-prot" in site.run("sh", "-c", "systemctl status --no-pager --full lmtpd || :")


def test_mail_goes_to_homes(site: Booted, record: Record) -> None:
    """By the drop-in that the package has among its examples."""
    site.run("useradd", "--create-home", "bob")
    site.run("install", "-D", HOMES, f"/{DROP_INS}/homes.conf")
    site.systemctl("daemon-reload")
    configure(site, "lmtp-recipient-hooks = passwd;maildirs", "lmtp-default-domain = example.org")
    start(site)
    deliver(site, record)
    deliver(site, Record({"bob@example.org": ()}), "bob@example.org")
    owners = site.run("sh", "-c", "stat -c '%U %a' /home/bob/Maildir/new/*")
    assert owners == "bob 600\n"
    assert whole(site, record)
