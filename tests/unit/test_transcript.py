"""A client's dialogue as a person reads it."""

from __future__ import annotations

from lmtpd.client.dialogue import session
from lmtpd.client.reader import ReplyReader
from lmtpd.client.steps import SendMessage
from lmtpd.client.tls import TlsMode
from lmtpd.client.transaction import Transaction
from lmtpd.protocol.address import Address
from lmtpd.tools.transcript import Transcript
from tests.support.scripted import talk

ALICE = Address("alice", "example.org")


def transcript_of(*heard: bytes, failing: type | None = None) -> list[str]:
    told: list[str] = []
    now = iter(range(1000))
    transcript = Transcript(told.append, lambda: next(now) / 1000)
    steps = session(ReplyReader(), "me", TlsMode.MAY, Transaction("", [ALICE]))
    talk(transcript.of(steps, lambda: "TLSv1.3"), heard, failing=failing)
    assert all(line.startswith("     1.0 ms ") for line in told)
    return [line.removeprefix("     1.0 ms ") for line in told]


def test_lines_in_any_cut_and_under_tls() -> None:
    told = transcript_of(
        b"220 h",
        b"i\r\n",
        b"250-hi\r\n250 STARTTLS\r\n",
        b"220 go\r\n",
        b"250 hi\r\n",
        b"250 ok\r\n",
        b"550 5.1.1 no\x1b[2J\r\n",
        b"221 bye",
    )
    assert told == [
        "<-  220 hi",
        " -> LHLO me",
        "<-  250-hi",
        "<-  250 STARTTLS",
        " -> STARTTLS",
        "<-  220 go",
        "=== TLS started: TLSv1.3",
        " ~> LHLO me",
        "<~  250 hi",
        " ~> MAIL FROM:<>",
        "<~  250 ok",
        " ~> RCPT TO:<alice@example.org>",
        r"<~* 550 5.1.1 no\x1b[2J",
        " ~> QUIT",
    ]


def test_a_step_that_fails_and_a_server_that_hangs_up() -> None:
    heard = (b"220 hi\r\n", b"250-hi\r\n250 PIPELINING\r\n", b"250 ok\r\n250 ok\r\n354 go\r\n")
    told = transcript_of(*heard, failing=SendMessage)
    assert told[-4:] == [
        "<-  250 ok",
        "<-  250 ok",
        "<-  354 go",
        "*** TimeoutError: timed out",
    ]
    told = transcript_of(*heard)
    assert told[-3:] == [
        "=== sent a message of 0 octets",
        " -> .",
        "=== the server has hung up",
    ]


def test_the_octets_of_the_message_are_counted() -> None:
    transcript = Transcript(lambda _: None)
    assert [*transcript.counted([b"ab", b"c"])] == [b"ab", b"c"]
    assert transcript._octets == 3
