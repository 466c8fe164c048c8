"""Any bytes through a whole session: they are no fault of ours, and leave nothing behind."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lmtpd.client.reader import ReplyReader
from lmtpd.protocol.envelope import Peer, TlsInfo
from lmtpd.protocol.reply import Reply
from lmtpd.session import Session
from tests.properties.test_dialogue_properties import NOISE, SCRIPT, SIZES
from tests.support import store
from tests.support.conversation import cut
from tests.support.memory import TLS, services
from tests.unit.test_session import Line

MAIL = st.sampled_from(
    [
        b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\n",
        b'LHLO c\r\nMAIL FROM:<"a b"@x> SMTPUTF8\r\nRCPT TO:<team@example.org>\r\n',
        b"RCPT TO:<alice+\xc3\xbc@example.org>\r\n",
        b"EXPN team@example.org\r\n",
        b"EXPN welt@example.org SMTPUTF8\r\n",
        b"VRFY nobody@fates.example\r\n",
        b"XFORWARD NAME=+22x+22 ADDR=[UNAVAILABLE]\r\n",
    ]
)


class Secured(Line):
    """One whose handshakes succeed."""

    def start_tls(self) -> TlsInfo:
        return TLS


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store.make_store(tmp_path_factory.mktemp("session"))[0]


@settings(max_examples=100)
@given(st.lists(SCRIPT | NOISE | MAIL, max_size=5).map(b"".join), SIZES)
@example(b"EXPN team@example.org\r\n", [])
def test_any_bytes_are_no_fault_of_ours(root: Path, octets: bytes, sizes: list[int]) -> None:
    """And what was delivered, by the log, is what is new in the mailboxes."""
    log = io.StringIO()
    before = _names(root)
    table = str(root.parent / "table")
    own = {"lmtp-maildir-root": str(root), "lmtp-recipient-table": table, "lmtp-dsn": "true"}
    line = Secured(*cut(octets, sizes))
    Session(line, Peer("127.0.0.1"), services(store.SETTINGS | own, log)).run()
    assert line.is_closed
    told = log.getvalue()
    assert "session-failed" not in told
    assert "connection-lost" not in told
    assert " cause=" not in told
    assert told.isascii()
    assert _replies(line.sent)[0].code == 220
    delivered = re.findall(r' delivered .* file=(?:"([^"]+)"|(\S+))', told)
    assert {name for one in delivered for name in re.split(r",(?=\d+\.M)", max(one))} == _names(
        root
    ) - before
    store.empty(root)


def _names(root: Path) -> set[str]:
    return {file.name for file in root.glob("*/*/new/*")}


def _replies(octets: bytes) -> list[Reply]:
    reader = ReplyReader()
    reader.feed(octets)
    found = list(iter(reader.next_reply, None))
    assert not reader.has_input
    return found
