"""`lmtpd.py doctor --send`: an address verified, and a message delivered, found and removed."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from tests.support.doctor import doctor, here
from tests.support.nobody import as_nobody, with_python_open
from tests.support.server import Server

ALICE, NOBODY_THERE = "alice@example.org", "nobody@example.org"


class TestSend:
    def test_a_message_is_delivered_found_timed_and_removed(self, server: Server) -> None:
        mailbox = server.mailbox(ALICE)
        found = doctor(*here(server), "--send", ALICE)
        assert found.code == os.EX_OK
        assert found.levels("delivery") == ["ok"] * 4
        found.the("delivery", "ok", "is verified over")
        sent = found.the("delivery", "ok", "of it behind the dot")
        (name,) = re.findall(r" id ([0-9a-f]{16})", sent.text)
        assert f"{mailbox}/new/" in found.the("delivery", "ok", "found in").text
        assert f"id={name}" in server.log
        assert server.messages(ALICE) == []

    def test_what_comes_from_others_stays(self, server: Server) -> None:
        new = server.mailbox(ALICE) / "new"
        new.mkdir()
        (new / "another").write_text("Subject: another\n\n")
        assert doctor(*here(server), "--send", ALICE).code == os.EX_OK
        assert [file.name for file in new.iterdir()] == ["another"]

    def test_each_member_of_a_list(self, server: Server, tmp_path: Path) -> None:
        table = tmp_path / "table"
        table.write_text("team@example.org alice@example.org, bob@example.org\n")
        hooks = ("--lmtp-recipient-table", table, "--lmtp-recipient-hooks", "table;maildirs")
        settings = {"lmtp_recipient_table": table, "lmtp_recipient_hooks": "table;maildirs"}
        with Server(tmp_path / "other", **settings) as server:
            found = doctor(*here(server), *hooks, "--send", "team@example.org")
            assert found.levels("delivery") == ["ok"] * 6
            for member in (ALICE, "bob@example.org"):
                assert server.messages(member) == []

    def test_whoever_does_not_exist(self, server: Server) -> None:
        found = doctor(*here(server), "--send", NOBODY_THERE)
        assert found.code == os.EX_TEMPFAIL
        refused = found.the("delivery", "fail", "is refused")
        assert "550 5.1.1" in refused.text
        assert refused.remedy == f"lmtpd check-recipient {NOBODY_THERE}"

    def test_nobody_serves(self, idle: tuple[object, ...]) -> None:
        doctor(*idle, "--send", ALICE).the("delivery", "fail", "does not answer")

    def test_a_mailbox_that_takes_nothing(self, server: Server) -> None:
        (server.mailbox(ALICE) / "new").symlink_to("/nonexistent")
        doctor(*here(server), "--send", ALICE).the("delivery", "fail", "the message is refused: 4")

    def test_who_may_not_look_there_says_so(self) -> None:
        prefix = (*with_python_open(), *as_nobody())
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            Path(folder).chmod(0o755)
            with Server(Path(folder)) as server:
                server.mailbox(ALICE).chmod(0o700)
                found = doctor(*here(server), "--send", ALICE, prefix=prefix)
                found.the("delivery", "warn", "cannot be looked into")
                assert len(server.messages(ALICE)) == 1
