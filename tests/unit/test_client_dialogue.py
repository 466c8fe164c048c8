"""What the client says to servers of every kind, and what it makes of their answers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtpd.client.dialogue import IN_FLIGHT, SessionEndedError, opening, session
from lmtpd.client.reader import ReplyReader
from lmtpd.client.steps import Hear, Say, Secure, SendMessage
from lmtpd.client.tls import TlsMode
from lmtpd.client.transaction import Transaction
from lmtpd.protocol import replies
from lmtpd.protocol.address import Address
from lmtpd.protocol.reply import Reply
from tests.support.scripted import HANDSHAKE, TEXT, talk

ALICE, BOB = Address("alice", "example.org"), Address("bob", "example.org")
BORIS = Address("\u0431\u043e\u0440\u0438\u0441", "example.org")

HELLO = b"220 ready\r\n"
PLAIN = b"250 here\r\n"
PIPELINING = b"250-here\r\n250 pipelining\r\n"
OK = b"250 2.0.0 Ok\r\n"
GO = b"354 Go on\r\n"
NO = b"550 5.1.1 No\r\n"
LATER = b"452 4.2.2 Full\r\n"
BYE = b"221 2.0.0 Bye\r\n"
CLOSING = b"421 4.3.2 Closing\r\n"

_OK = Reply(250, "2.0.0", ("Ok",))
_NO = Reply(550, "5.1.1", ("No",))
_LATER = Reply(452, "4.2.2", ("Full",))
_CLOSING = Reply(421, "4.3.2", ("Closing",))

MAIL = b"MAIL FROM:<from@example.net>\r\n"
TO_ALICE, TO_BOB = b"RCPT TO:<alice@example.org>\r\n", b"RCPT TO:<bob@example.org>\r\n"
DATA, DOT, QUIT = b"DATA\r\n", b".\r\n", b"QUIT\r\n"


def send(
    *heard: bytes,
    to: Sequence[Address] = (ALICE, BOB),
    sender: str = "from@example.net",
    size: int = 0,
    is_all_or_none: bool = False,
    mode: TlsMode = TlsMode.NONE,
    failing: type | None = None,
    early: bytes = b"",
) -> tuple[list[Reply], list[bytes]]:
    """The fates, and what was said behind LHLO."""
    transaction = Transaction(sender, to, size, is_all_or_none)
    steps = session(ReplyReader(), "client.example", mode, transaction)
    fates, said = talk(steps, heard, failing=failing, early=early)
    return list(fates), said[1:]


class TestDelivery:
    def test_one_step_after_the_other(self) -> None:
        fates, said = send(HELLO, PLAIN, OK, OK, OK, GO, OK, OK, BYE)
        assert fates == [_OK, _OK]
        assert said == [MAIL, TO_ALICE, TO_BOB, DATA, TEXT, DOT, QUIT]

    def test_pipelined(self) -> None:
        fates, said = send(HELLO, PIPELINING, OK + OK + OK + GO, OK + LATER)
        assert fates == [_OK, _LATER]
        assert said == [MAIL + TO_ALICE + TO_BOB + DATA, TEXT, DOT, QUIT]

    def test_no_more_in_flight_than_the_buffers_hold(self) -> None:
        count = IN_FLIGHT + 5
        heard = (HELLO, PIPELINING, OK * IN_FLIGHT, OK * 6 + GO, OK * count)
        fates, said = send(*heard, to=[ALICE] * count)
        assert fates == [_OK] * count
        assert said[0] == MAIL + TO_ALICE * (IN_FLIGHT - 1)
        assert said[1] == TO_ALICE * 6 + DATA

    @pytest.mark.parametrize("hello", [PLAIN, PIPELINING])
    def test_each_recipient_has_its_own_fate(self, hello: bytes) -> None:
        heard = [OK, NO, OK, LATER, OK, GO]
        turns = [b"".join(heard)] if hello is PIPELINING else heard
        fates, said = send(HELLO, hello, *turns, OK + NO, to=[ALICE, BOB, ALICE, BOB])
        assert fates == [_NO, _OK, _LATER, _NO]
        assert said[-3:] == [TEXT, DOT, QUIT]

    @pytest.mark.parametrize(
        ("hello", "line"),
        [
            (b"250 here", MAIL),
            (b"250-here\r\n250 SIZE", b"MAIL FROM:<from@example.net> SIZE=7\r\n"),
            (b"250-here\r\n250 8bitmime", b"MAIL FROM:<from@example.net> BODY=8BITMIME\r\n"),
            (b"250-here\r\n250 SMTPUTF8", MAIL),
        ],
    )
    def test_only_what_is_offered_is_used(self, hello: bytes, line: bytes) -> None:
        _, said = send(HELLO, hello + b"\r\n", size=7)
        assert said == [line]

    def test_a_bounce(self) -> None:
        _, said = send(HELLO, PLAIN, sender="")
        assert said == [b"MAIL FROM:<>\r\n"]


class TestRefusals:
    @pytest.mark.parametrize("hello", [PLAIN, PIPELINING])
    @pytest.mark.parametrize(("said", "fate"), [(NO, _NO), (LATER, _LATER)])
    def test_of_mail(self, hello: bytes, said: bytes, fate: Reply) -> None:
        surplus = b"503 5.5.1 MAIL first\r\n" * 3 if hello is PIPELINING else b""
        fates, ours = send(HELLO, hello, said + surplus, BYE)
        assert fates == [fate, fate]
        assert ours[1:] == [QUIT]

    def test_of_all_recipients(self) -> None:
        fates, said = send(HELLO, PLAIN, OK, NO, LATER)
        assert fates == [_NO, _LATER]
        assert said == [MAIL, TO_ALICE, TO_BOB, QUIT]

    @pytest.mark.parametrize(("answer", "more"), [(NO, []), (GO, [DOT])])
    def test_of_all_recipients_with_data_on_its_way(self, answer: bytes, more: list[bytes]) -> None:
        fates, said = send(HELLO, PIPELINING, OK + NO + LATER + answer, OK)
        assert fates == [_NO, _LATER]
        assert said == [MAIL + TO_ALICE + TO_BOB + DATA, *more, QUIT]

    @pytest.mark.parametrize("hello", [PLAIN, PIPELINING])
    def test_of_data(self, hello: bytes) -> None:
        heard = [OK, OK, NO, LATER]
        turns = [b"".join(heard)] if hello is PIPELINING else heard
        fates, said = send(HELLO, hello, *turns)
        assert fates == [_LATER, _NO]
        assert said[-1] == QUIT
        assert TEXT not in said

    @pytest.mark.parametrize(
        "heard",
        [
            [b"554 5.7.1 Go away\r\n"],
            [HELLO, b"500 5.5.1 What?\r\n"],
            [HELLO, b"451 4.3.0 Not now\r\n"],
        ],
    )
    def test_before_mail_they_are_not_about_the_message(self, heard: list[bytes]) -> None:
        fates, _ = send(*heard)
        assert [fate.code for fate in fates] == [replies.SERVER_UNWILLING.code] * 2
        assert heard[-1].decode().strip() in fates[0].lines[0]


class TestAllOrNone:
    @pytest.mark.parametrize("hello", [PLAIN, PIPELINING])
    @pytest.mark.parametrize(
        ("heard", "codes"),
        [
            ([OK, NO], [550, 550]),
            ([OK, LATER], [452, 452]),
            ([NO, OK], [550, 550]),
            ([NO, LATER], [550, 452]),
        ],
    )
    def test_one_refusal_is_everybodys(
        self, hello: bytes, heard: list[bytes], codes: list[int]
    ) -> None:
        turns = [b"".join([OK, *heard])] if hello is PIPELINING else [OK, *heard]
        fates, said = send(HELLO, hello, *turns, BYE, is_all_or_none=True)
        assert [fate.code for fate in fates] == codes
        assert DATA not in b"".join(said)
        assert said[-1] == QUIT

    def test_the_transient_one_weighs_more(self) -> None:
        to = [ALICE, BOB, BOB]
        fates, _ = send(HELLO, PIPELINING, OK + NO + LATER + OK, to=to, is_all_or_none=True)
        assert fates[:2] == [_NO, _LATER]
        assert fates[2].code == _LATER.code
        assert str(_LATER) in str(fates[2])

    def test_data_follows_when_all_are_accepted(self) -> None:
        heard = (HELLO, PIPELINING, OK * 3, GO, OK + NO)
        fates, said = send(*heard, is_all_or_none=True)
        assert fates == [_OK, _NO]
        assert said == [MAIL + TO_ALICE + TO_BOB, DATA, TEXT, DOT, QUIT]

    @pytest.mark.parametrize("answer", [NO, GO])
    def test_one_recipient_has_nobody_to_share_with(self, answer: bytes) -> None:
        heard = (HELLO, PIPELINING, OK + NO + answer)
        fates, said = send(*heard, to=[ALICE], is_all_or_none=True)
        assert fates == [_NO]
        assert said == [MAIL + TO_ALICE + DATA, *([DOT] if answer is GO else []), QUIT]

    def test_who_cannot_be_asked_counts_as_refused(self) -> None:
        fates, said = send(HELLO, PIPELINING, to=[ALICE, BORIS], is_all_or_none=True)
        assert fates[0].code == replies.RECIPIENT_NEEDS_SMTPUTF8.code
        assert fates[1] == replies.RECIPIENT_NEEDS_SMTPUTF8
        assert said == [QUIT]


class TestSmtpUtf8:
    def test_asked_for_where_an_address_needs_it(self) -> None:
        offer = b"250-here\r\n250 SMTPUTF8\r\n"
        fates, said = send(HELLO, offer, OK, OK, GO, OK, to=[BORIS])
        assert fates == [_OK]
        assert said[0] == b"MAIL FROM:<from@example.net> SMTPUTF8\r\n"
        assert said[1] == f"RCPT TO:<{BORIS}>\r\n".encode()

    def test_without_it_that_address_fails_for_good(self) -> None:
        fates, said = send(HELLO, PLAIN, OK, OK, GO, OK, to=[BORIS, ALICE])
        assert fates == [replies.RECIPIENT_NEEDS_SMTPUTF8, _OK]
        assert said[:2] == [MAIL, TO_ALICE]

    def test_without_it_such_a_sender_fails_for_all(self) -> None:
        fates, said = send(HELLO, PLAIN, BYE, sender=str(BORIS))
        assert fates == [replies.SENDER_NEEDS_SMTPUTF8] * 2
        assert said == [QUIT]


class TestStartTls:
    OFFER = b"250-here\r\n250 STARTTLS\r\n"
    READY = b"220 2.0.0 Go\r\n"

    @pytest.mark.parametrize("mode", [TlsMode.MAY, TlsMode.ENCRYPT])
    def test_what_was_offered_in_clear_is_forgotten(self, mode: TlsMode) -> None:
        steps = opening(ReplyReader(), "client.example", mode)
        keywords, said = talk(steps, [HELLO, self.OFFER, self.READY, PIPELINING])
        assert keywords == {"PIPELINING"}
        hello = b"LHLO client.example\r\n"
        assert said == [hello, b"STARTTLS\r\n", HANDSHAKE, hello]

    @pytest.mark.parametrize("mode", [TlsMode.NONE, TlsMode.IMPLICIT])
    def test_not_wanted(self, mode: TlsMode) -> None:
        _, said = send(HELLO, self.OFFER, to=[ALICE], mode=mode)
        assert said == [MAIL]

    @pytest.mark.parametrize(
        "heard", [[HELLO, PIPELINING], [HELLO, OFFER, b"454 4.7.0 Not now\r\n"]]
    )
    def test_may_goes_on_in_clear_and_encrypt_does_not(self, heard: list[bytes]) -> None:
        _, said = send(*heard, to=[ALICE], mode=TlsMode.MAY)
        assert said[-1].startswith(MAIL)
        fates, said = send(*heard, to=[ALICE], mode=TlsMode.ENCRYPT)
        assert fates == [replies.TLS_NOT_OFFERED]
        assert MAIL not in b"".join(said)

    def test_what_follows_in_clear_behind_its_reply_is_not_believed(self) -> None:
        heard = (HELLO, self.OFFER, self.READY + PLAIN, PLAIN)
        fates, said = send(*heard, to=[ALICE], mode=TlsMode.ENCRYPT)
        assert fates[0].code == replies.NOT_LMTP.code
        assert HANDSHAKE not in said

    def test_a_handshake_that_fails(self) -> None:
        heard = (HELLO, self.OFFER, self.READY, PLAIN)
        fates, said = send(*heard, to=[ALICE], mode=TlsMode.MAY, failing=Secure)
        assert fates[0].code == replies.CONNECTION_LOST.code
        assert said[-1] == HANDSHAKE


class TestHostileServers:
    @pytest.mark.parametrize(
        "heard",
        [
            [b"HTTP/1.1 400 Bad Request\r\n"],
            [b"250 " + b"x" * 5000],
            [HELLO, b"250-a\r\n" * 500],
            [HELLO, b"250-a\r\n251 b\r\n"],
            # An answer of the wrong kind is none, least of all a success.
            [HELLO, PLAIN, GO],
            [HELLO, PLAIN, OK, GO],
            [HELLO, PLAIN, OK, OK, OK, OK],
            [HELLO, PLAIN, OK, OK, OK, GO, GO],
            # A reply before its turn may be meant for something else.
            [HELLO + PLAIN],
            [HELLO, PLAIN + OK],
            [HELLO, PIPELINING, OK + OK + OK + GO + OK + OK],
            [HELLO, PIPELINING, OK + OK + OK + GO + b"2"],
        ],
    )
    def test_nonsense_is_transient(self, heard: list[bytes]) -> None:
        fates, said = send(*heard, OK, OK, OK)
        assert [fate.code for fate in fates] == [replies.NOT_LMTP.code] * 2
        assert QUIT not in said

    def test_recipients_without_a_sender_get_no_empty_message(self) -> None:
        fates, said = send(HELLO, PIPELINING, NO + OK + OK + GO)
        assert fates == [_NO, _NO]
        assert said == [MAIL + TO_ALICE + TO_BOB + DATA]

    @pytest.mark.parametrize("early", [OK + OK, NO, CLOSING, b"2"])
    def test_a_final_reply_before_the_dot_is_not_believed(self, early: bytes) -> None:
        fates, said = send(HELLO, PIPELINING, OK * 3 + GO, OK + OK, early=early)
        assert [fate.code for fate in fates] == [replies.NOT_LMTP.code] * 2
        assert said[-1] == TEXT

    @pytest.mark.parametrize("count", range(9))
    def test_gone_at_any_time(self, count: int) -> None:
        heard = [HELLO, PLAIN, OK, OK, OK, GO, OK, LATER, BYE][:count]
        fates, _ = send(*heard)
        answered = [_OK, _LATER][: max(count - 6, 0)]
        assert fates == answered + [replies.CONNECTION_LOST] * (2 - len(answered))

    @pytest.mark.parametrize("count", range(8))
    def test_421_at_any_time(self, count: int) -> None:
        heard = [HELLO, PLAIN, OK, OK, OK, GO, OK, LATER][:count]
        fates, _ = send(*heard, CLOSING)
        answered = [_OK][: max(count - 6, 0)]
        assert fates == answered + [_CLOSING] * (2 - len(answered))

    @pytest.mark.parametrize("step", [Say, Hear, SendMessage])
    def test_a_step_that_fails(self, step: type) -> None:
        fates, _ = send(HELLO, PIPELINING, OK * 3 + GO, failing=step)
        assert [fate.code for fate in fates] == [replies.CONNECTION_LOST.code] * 2
        assert "timed out" in str(fates[0])

    def test_what_happens_behind_the_last_reply_changes_nothing(self) -> None:
        for last in (b"", CLOSING, NO, b"\0"):
            assert send(HELLO, PIPELINING, OK * 3 + GO, OK + OK, last)[0] == [_OK, _OK]
        assert send(HELLO, PIPELINING, OK * 3 + GO, OK + OK + OK)[0] == [_OK, _OK]


def test_an_opening_alone_tells_why_it_ended() -> None:
    with pytest.raises(SessionEndedError, match="Closing"):
        talk(opening(ReplyReader(), "client.example", TlsMode.NONE), [CLOSING])


@pytest.mark.parametrize("path", ["a\r\nQUIT", "a\0", "a\x7f", "\udc80"])
def test_a_path_is_never_a_second_command(path: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        Transaction(path, [ALICE])
    with pytest.raises(ValueError, match="control character"):
        Transaction("", [Address(path, "example.org")])


@given(st.lists(st.lists(st.integers(1, 12), max_size=20), min_size=4, max_size=4))
def test_any_cut_gives_the_same(cuts: list[list[int]]) -> None:
    turns = [HELLO, PIPELINING, OK + OK + NO + GO, LATER]
    pieces = []
    for turn, sizes in zip(turns, cuts, strict=True):
        rest = turn
        for size in sizes:
            pieces.append(rest[:size])
            rest = rest[size:]
        pieces.append(rest)
    assert send(*filter(None, pieces)) == send(*turns)


REPLY = st.sampled_from([HELLO, PLAIN, PIPELINING, OK, GO, NO, LATER, BYE, CLOSING, b"2", b"\n"])


@given(st.lists(REPLY | st.binary(max_size=10), max_size=12), st.booleans())
def test_any_server_gives_one_reply_for_each_and_no_false_success(
    heard: list[bytes], is_all_or_none: bool
) -> None:
    fates, said = send(*heard, is_all_or_none=is_all_or_none)
    assert len(fates) == 2
    for fate in fates:
        assert fate.is_success or fate.is_transient or fate.is_permanent
        assert not fate.is_success or said.index(TEXT) < said.index(DOT)
