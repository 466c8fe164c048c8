"""From a line of a real Postfix's log to the file in new/, and through all that became of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.command_line import lmtpd
from tests.support.mta import ALICE, HEADER, Mta
from tests.support.postfix import Postfix
from tests.support.server import Server


@pytest.mark.parametrize("kind", [Postfix], indirect=True)
def test_a_line_of_postfix_leads_to_the_file(server: Server, mta: Mta, tmp_path: Path) -> None:
    mailbox = server.mailbox(ALICE)
    mta.submit([ALICE], HEADER + b"another\r\n")
    mta.wait_until_empty()
    before = set(server.message_files(ALICE))
    # It is deferred once, and comes when the mailbox is mended.
    (mailbox / "new").rename(mailbox / "new.kept")
    (mailbox / "new").symlink_to("/nonexistent")
    mta.submit([ALICE], HEADER + b"wanted\r\n")
    mta.wait_until_deferred()
    (mailbox / "new").unlink()
    (mailbox / "new.kept").rename(mailbox / "new")
    mta.flush()
    mta.wait_until_empty()
    (file,) = set(server.message_files(ALICE)) - before

    logs = tmp_path / "mail.log", tmp_path / "lmtpd.log"
    for path, text in zip(logs, (mta.log, server.log), strict=True):
        path.write_text(text)
    line = [one for one in mta.log.splitlines() if "status=sent" in one][-1]
    options = [word for path in logs for word in ("--log", path)]
    result = lmtpd("trace", line, *options, "--lmtp-maildir-root", server.root)
    assert result.returncode == os.EX_OK, result.stderr
    told = result.stdout.splitlines()
    assert line in told
    assert [one.split()[-1] for one in told if one.endswith((" failed", " delivered"))] == [
        "failed",
        "delivered",
    ]
    assert sum(one.startswith("file ") for one in told) == 1
    assert any(one.startswith(f"file {file} ") for one in told)
