"""Entries for daemons of the machine: as their protocols say, and never waiting for them."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmtpd.log import open_log
from lmtpd.log.forms import FORMS
from lmtpd.log.journal import Journal, is_behind
from lmtpd.log.syslog import LONGEST, Syslog

LOGFMT = FORMS["logfmt"]


class Daemon:
    """What listens at a path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listen()

    def listen(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)

    def heard(self) -> list[bytes]:
        entries: list[bytes] = []
        while True:
            try:
                entries.append(self._socket.recv(1 << 20))
            except BlockingIOError:
                return entries

    def end(self) -> None:
        self._socket.close()
        self.path.unlink()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path / "daemon")
    yield daemon
    daemon.end()


@pytest.fixture(params=[Syslog, Journal], ids=["syslog", "journal"])
def target(request: pytest.FixtureRequest, daemon: Daemon) -> Iterator[Syslog | Journal]:
    target: Syslog | Journal = request.param(LOGFMT, str(daemon.path))
    yield target
    target.close()


def test_an_entry_for_syslog() -> None:
    syslog = Syslog(LOGFMT, clock=lambda: 1_700_000_000.0)
    entry = syslog.entry("failed", syslog.words({"id": "x"}), {"cause": "a\nb"}).decode()
    head = r"<20>Nov 1[45] \d\d:\d\d:20 lmtpd\[" + str(os.getpid()) + r"\]: "
    assert re.fullmatch(head + r'failed id=x cause="a\\nb"', entry)


def test_the_day_of_an_entry_has_two_columns() -> None:
    syslog = Syslog(LOGFMT, clock=lambda: 1_699_000_000.0)
    assert syslog.entry("delivered", "", {}).startswith(b"<22>Nov  3 ")


def test_an_entry_for_the_journal() -> None:
    journal = Journal(LOGFMT)
    common = journal.words({"id": "x", "sender": "<a b@x.org>", "tls": None, "empty": ""})
    entry = journal.entry("delivered", common, {"reply": "250 Ok", "cause": "a\nMESSAGE=forged"})
    assert entry.decode().splitlines() == [
        r'MESSAGE=delivered id=x sender="<a b@x.org>" reply="250 Ok" cause="a\nMESSAGE=forged"',
        "PRIORITY=6",
        "SYSLOG_IDENTIFIER=lmtpd",
        "SYSLOG_FACILITY=2",
        "LMTPD_EVENT=delivered",
        "LMTPD_ID=x",
        "LMTPD_SENDER=<a b@x.org>",
        "LMTPD_REPLY=250 Ok",
        r'LMTPD_CAUSE="a\nMESSAGE=forged"',
    ]
    assert entry.endswith(b"\n")


def test_the_message_for_the_journal_may_be_json() -> None:
    journal = Journal(FORMS["json"])
    entry = journal.entry("delivered", journal.words({"id": "x"}), {"size": 1})
    assert entry.startswith(b'MESSAGE={"event":"delivered","id":"x","size":1}\n')


def test_entries_arrive_in_their_order(target: Syslog | Journal, daemon: Daemon) -> None:
    entries = [target.entry(event, "", {}) for event in ("a", "b")]
    assert target.write(entries) == 2
    assert daemon.heard() == entries


def test_a_daemon_who_does_not_read_is_not_waited_for(
    target: Syslog | Journal, daemon: Daemon
) -> None:
    entries = [target.entry(f"event-{number}", "", {}) for number in range(2000)]
    taken = target.write(entries)
    assert 0 < taken < len(entries)
    heard = daemon.heard()
    assert heard == entries[:taken]
    assert target.write(entries[taken : taken + 1]) == 1


def test_a_daemon_who_was_restarted_hears_the_next(
    target: Syslog | Journal, daemon: Daemon
) -> None:
    assert target.write([target.entry("a", "", {})]) == 1
    daemon.end()
    assert target.write([target.entry("b", "", {})]) == 0, "it is tried again later"
    daemon.listen()
    assert target.write([target.entry("c", "", {})]) == 1
    assert b"c" in daemon.heard()[0]


def test_a_line_that_is_too_long_for_the_journal_is_cut(daemon: Daemon) -> None:
    journal = Journal(LOGFMT, str(daemon.path))
    long = journal.entry("delivered", "", {"mailbox": "x" * 10_000_000})
    assert journal.write([long, journal.entry("after", "", {})]) == 2
    cut, after = daemon.heard()
    assert cut.startswith(b"MESSAGE=delivered mailbox=xxx")
    assert len(cut) < 50_000
    assert after.startswith(b"MESSAGE=after")
    journal.close()


def test_a_line_that_is_too_long_for_syslog_is_cut() -> None:
    assert len(Syslog(LOGFMT).entry("delivered", "", {"mailbox": "x" * 100_000})) == LONGEST


def test_the_journal_is_known_by_the_name_that_systemd_gives_our_output(tmp_path: Path) -> None:
    with (tmp_path / "output").open("wb") as output:
        found = os.fstat(output.fileno())
        name = f"{found.st_dev}:{found.st_ino}"
        assert is_behind(output.fileno(), {"JOURNAL_STREAM": name})
        assert not is_behind(output.fileno(), {"JOURNAL_STREAM": f"{name}0"})
        assert not is_behind(output.fileno(), {})
    assert not is_behind(1 << 20, {"JOURNAL_STREAM": name})


def test_a_log_of_the_settings_words() -> None:
    for target in ("auto", "stderr", "journal", "syslog"):
        open_log(target, "json", {}).close()
    found = os.fstat(2)
    open_log("auto", "logfmt", {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}).close()
