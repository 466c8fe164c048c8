"""The running server's log: in the real journal and syslog, as JSON, and to a reader who hangs."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.log_daemons import Journald, Rsyslog
from tests.support.server import Server
from tests.support.strict_load import Connection, message
from tests.support.waiting import wait_for

ALICE = "alice@example.org"
_SOON_S = 20.0


@contextmanager
def serving(folder: Path, **settings: object) -> Iterator[Server]:
    server = Server(folder, **{"lmtp_workers": 2, **settings})  # type: ignore[arg-type]
    server.mailbox(ALICE)
    with server:
        yield server


_numbers = itertools.count()


def deliver(server: Server, *recipients: str) -> None:
    with Connection(server.port, lambda: 0) as connection:
        connection.deliver([*recipients], message(next(_numbers)))


def files(server: Server) -> list[str]:
    """What ALICE has."""
    return [path.name for path in (server.root / "example.org/alice/new").iterdir()]


def test_the_journal_finds_a_message_by_its_fields(tmp_path: Path) -> None:
    with (
        Journald(tmp_path / "journal") as journal,
        serving(tmp_path, prefix=journal.output()) as server,
    ):
        deliver(server, ALICE)
        wait_for(lambda: journal.entries("LMTPD_EVENT=delivered"), _SOON_S, "a line of the journal")
        (entry,) = journal.entries(f"LMTPD_RECIPIENT={ALICE}")
        assert entry["MESSAGE"].startswith(f"delivered id={entry['LMTPD_ID']} ")
        assert entry["PRIORITY"] == "6"
        assert entry["SYSLOG_IDENTIFIER"] == "lmtpd"
        assert entry["_TRANSPORT"] == "journal"
        assert entry["LMTPD_FILE"] in files(server)
        assert entry["LMTPD_REPLY"].startswith("250 2.0.0")
        deliver(server, "nobody@example.org")
        wait_for(
            lambda: journal.entries("LMTPD_EVENT=refused"), _SOON_S, "a refusal in the journal"
        )


def test_syslog_has_the_lines_of_the_facility_mail(tmp_path: Path) -> None:
    with (
        Rsyslog(tmp_path / "syslog") as syslog,
        serving(tmp_path, prefix=syslog.prefix(), lmtp_log_target="syslog") as server,
    ):
        deliver(server, ALICE)
        wait_for(lambda: any(" delivered " in one for one in syslog.lines()), _SOON_S, "a line")
        (line,) = [one for one in syslog.lines() if " delivered " in one]
        assert line.startswith("22 lmtpd[")
        assert f" recipient={ALICE} " in line

        syslog.end()
        deliver(server, ALICE)
        syslog.start()
        wait_for(
            lambda: sum(" delivered " in one for one in syslog.lines()) == 2,
            _SOON_S,
            "the line of a delivery while syslog was down",
        )


def test_json_is_an_object_in_each_line(tmp_path: Path) -> None:
    with serving(tmp_path, lmtp_log_format="json") as server:
        deliver(server, ALICE)
        wait_for(lambda: "delivered" in server.log, _SOON_S, "a line")
        lines = [json.loads(line) for line in server.log.splitlines()]
        (delivered,) = [line for line in lines if line["event"] == "delivered"]
        assert delivered["recipient"] == ALICE
        assert delivered["size"] > 0
        assert 0 < delivered["seconds"] < 20


def test_a_reader_of_the_log_who_hangs_stops_no_mail(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        prefix = ["sh", "-c", f'exec "$@" 2>{pipe}', "sh"]
        with serving(tmp_path, prefix=prefix) as server:
            fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
            for _ in range(60):
                deliver(server, ALICE)
            assert len(files(server)) == 60
            heard = b""

            def told() -> int:
                nonlocal heard
                with suppress(BlockingIOError):
                    heard += os.read(reader, 1 << 16)
                return heard.count(b" delivered ")

            wait_for(lambda: told() == 60, _SOON_S, "all lines, when somebody reads again")
    finally:
        os.close(reader)
