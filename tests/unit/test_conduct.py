"""What a client may do in a session that leads to no mail, and what no MTA may meet."""

from __future__ import annotations

import pytest

from lmtpd.protocol import replies
from lmtpd.protocol.events import Gone
from lmtpd.protocol.limits import Limits
from lmtpd.protocol.reply import Reply
from tests.support.conversation import Conversation
from tests.unit.test_dialogue import (
    BINARY,
    DATA,
    LHLO,
    MAIL,
    NOOP,
    OPEN,
    QUIT,
    RCPT,
    RSET,
    STARTTLS,
    UNKNOWN,
)

LIMITS = Limits(recipients=3, line_octets=64, errors=5, noops=5)
LONG = b"NOOP " + b"x" * 100 + b"\r\n"


def cut_off_by(octets: bytes, limits: Limits = LIMITS) -> Reply | None:
    """The reply that ends a session in which this is said; None if it goes on."""
    conversation = Conversation(limits)
    conversation.hear(LHLO)
    replied = conversation.hear(octets)
    return None if conversation.dialogue.is_open else replied[-1]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(b"FROB\r\n", id="no command"),
        pytest.param(b"RSET now\r\n", id="syntax"),
        pytest.param(b"NOOP\n", id="bare LF"),
        pytest.param(b"NOOP \x00\r\n", id="octets"),
        pytest.param(LONG, id="endless line"),
        pytest.param(b"MAIL FROM:<a@x> FOO=1\r\n", id="unknown parameter"),
        pytest.param(b"EHLO a\r\n", id="another protocol"),
        pytest.param(STARTTLS, id="what is not offered"),
        pytest.param(b"XFORWARD PORT\r\n", id="XFORWARD"),
    ],
)
def test_errors_end_a_session(error: bytes) -> None:
    assert cut_off_by(error * 5) is None
    assert cut_off_by(error * 6) is replies.TOO_MANY_ERRORS
    assert cut_off_by((error + MAIL + RSET) * 6) is replies.TOO_MANY_ERRORS


def test_errors_out_of_turn_end_a_session() -> None:
    assert cut_off_by(MAIL * 6) is None
    assert cut_off_by(MAIL * 7) is replies.TOO_MANY_ERRORS


@pytest.mark.parametrize(
    "harmless",
    [
        pytest.param(MAIL + RCPT + RSET, id="the probes of an MTA"),
        pytest.param(MAIL + UNKNOWN + RSET, id="unknown recipients"),
        pytest.param(MAIL + UNKNOWN * 20 + DATA + RSET, id="DATA behind unknown recipients"),
        pytest.param(MAIL + RCPT * 20 + RSET, id="more recipients than are taken"),
        pytest.param(b"MAIL FROM:<a..b@x>\r\n" + RCPT * 20 + DATA, id="a malformed sender"),
        pytest.param(MAIL + b"RCPT TO:<a..b@x>\r\n" * 20 + RSET, id="malformed recipients"),
        pytest.param("MAIL FROM:<\u00e4@x>\r\n".encode() + RCPT + DATA, id="beyond ASCII"),
        pytest.param(b"MAIL FROM:<a@x> SIZE=99999999999\r\n" + RCPT + DATA, id="SIZE"),
        pytest.param(MAIL + UNKNOWN + b"BDAT 2 LAST\r\nhi" + RSET, id="BDAT behind it"),
        pytest.param(BINARY + RCPT + b"BDAT 2\r\nhiBDAT 0 LAST\r\n", id="messages in chunks"),
        pytest.param(MAIL + RCPT + b"BDAT 1\r\nx" * 20 + RSET, id="many chunks, as Exim's"),
        pytest.param(MAIL + RCPT + DATA + b"hi\r\n.\r\n" + RSET + NOOP, id="a cached connection"),
    ],
)
def test_no_end_of_what_mtas_do(harmless: bytes) -> None:
    conversation = Conversation(LIMITS)
    conversation.hear(LHLO)
    for _ in range(20):
        conversation.hear(harmless)
    assert conversation.dialogue.is_open


@pytest.mark.parametrize(
    "noop", [NOOP, RSET, LHLO, b"HELP\r\n", b"VRFY a\r\n", b"EXPN a\r\n", b"XFORWARD NAME=a\r\n"]
)
def test_commands_that_lead_to_nothing_end_a_session(noop: bytes) -> None:
    assert cut_off_by(noop * 4) is None
    assert cut_off_by(noop * 5) is replies.TOO_MANY_NOOPS


def test_so_many_commands_and_no_more() -> None:
    limits = Limits(commands=10)
    assert cut_off_by((MAIL + RCPT + RSET) * 3, limits) is None
    assert cut_off_by((MAIL + RCPT + RSET) * 4, limits) is replies.TOO_MANY_COMMANDS


def test_the_end_of_a_message_and_quit_are_never_cut_off() -> None:
    conversation = Conversation(Limits(commands=4))
    conversation.hear(OPEN + DATA)
    assert conversation.hear(b"hi\r\n.\r\n" + QUIT) == (replies.DELIVERED, replies.BYE)


def test_what_was_said_behind_it_is_not_done() -> None:
    conversation = Conversation(LIMITS)
    conversation.hear(LHLO + NOOP * 6 + OPEN + DATA)
    assert conversation.said[-1] is replies.TOO_MANY_NOOPS
    assert not any(isinstance(event, Gone) for event in conversation.events)
