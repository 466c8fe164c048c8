"""What a parent says to its workers, over a real channel."""

from __future__ import annotations

import os

from lmtpd.log import open_log
from lmtpd.server.channel import RETIRE, Channel
from lmtpd.server.workforce import Place, Workforce

# More than there is room for.
_MESSAGES = 2000


def test_a_worker_that_did_not_listen_is_told_again_to_retire() -> None:
    ours, theirs = Channel.pair()
    workforce = Workforce([Place(0, os.getpid(), ours)], open_log("stderr", "logfmt", {}))
    for _ in range(_MESSAGES):
        assert ours.say("x" * 1024)
    workforce.retire()
    heard = [*iter(theirs.hear, None)]
    assert 0 < len(heard) < _MESSAGES
    assert RETIRE not in heard, "there was no room for it"
    workforce.retire()
    assert theirs.hear() == RETIRE
    ours.close()
    assert theirs.hear() == ""
    theirs.close()
