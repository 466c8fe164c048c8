"""Verdicts are what hooks say; their replies are safe on the wire whatever a hook's text holds."""

from __future__ import annotations

import pytest

from lmtpd.protocol import replies
from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import Peer
from lmtpd.protocol.reply import LINE_OCTETS, Reply
from lmtpd.recipients.verdict import Kind, RcptContext, Verdict


@pytest.mark.parametrize(
    ("verdict", "reply"),
    [
        (Verdict.accept("alice@example.org"), replies.RCPT_OK),
        (Verdict.accept("alice@example.org", catch_all=True), replies.RCPT_OK),
        (Verdict.unknown(), replies.UNKNOWN_RECIPIENT),
        (Verdict.reject(), replies.REJECTED),
        (Verdict.full(), replies.MAILBOX_FULL),
        (Verdict.defer("LDAP is down"), replies.VERIFICATION_FAILED),
    ],
    ids=lambda value: value.kind.name if isinstance(value, Verdict) else "",
)
def test_replies(verdict: Verdict, reply: Reply) -> None:
    assert verdict.reply() == reply
    assert verdict.is_accepted is reply.is_success


def test_every_kind_has_its_own_reply() -> None:
    assert len({kind.value for kind in Kind}) == len(Kind)
    assert Kind.UNKNOWN.value.is_permanent
    assert Kind.DEFER.value.is_transient


def test_the_reason_is_not_for_the_client() -> None:
    verdict = Verdict.defer("cannot bind as cn=admin, password hunter2")
    assert verdict.reason
    assert "hunter2" not in str(verdict.reply())


@pytest.mark.parametrize(
    ("mailboxes", "kept"),
    [
        (("a@x",), ("a@x",)),
        (("a@x", "b@x"), ("a@x", "b@x")),
        (("b@x", "a@x", "b@x", "a@x"), ("b@x", "a@x")),
    ],
)
def test_mailboxes(mailboxes: tuple[str, ...], kept: tuple[str, ...]) -> None:
    verdict = Verdict.accept(*mailboxes)
    assert verdict.mailboxes == kept
    assert not verdict.is_catch_all
    assert Verdict.accept(*mailboxes, catch_all=True).is_catch_all


@pytest.mark.parametrize("mailboxes", [(), ("",), ("a@x", "")])
def test_accepting_needs_a_mailbox(mailboxes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="mailbox"):
        Verdict.accept(*mailboxes)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Gone to Rome", "Gone to Rome"),
        ("  padded \r\n", "padded"),
        ("a\r\n250 2.1.5 Ok", "a??250 2.1.5 Ok"),
        ("a\nb\rc\td\0e\x7ff\x1bg", "a?b?c?d?e?f?g"),
        ("a\u2028b\u2029c\x85d", "a?b?c?d"),
        ("a\ud800b", "a?b"),
        ("Grüße aus 北京 𐍈", "Gr??e aus ?? ?"),
        ("", replies.REJECTED.lines[0]),
        (" \t\r\n ", replies.REJECTED.lines[0]),
        ("5.7.1 <alice>", "5.7.1 <alice>"),
    ],
)
def test_the_words_of_a_hook_are_made_safe(text: str, line: str) -> None:
    reply = Verdict.reject(text).reply()
    assert (reply.code, reply.status) == (replies.REJECTED.code, replies.REJECTED.status)
    assert reply.lines == (line,)
    assert reply.encode().count(b"\r") == reply.encode().count(b"\n") == 1


@pytest.mark.parametrize("text", ["x" * 10_000, "ü" * 10_000, "x" + "𐍈" * 10_000])
def test_a_very_long_text_is_cut(text: str) -> None:
    """A letter beyond ASCII is one `?`: the client may not have asked for SMTPUTF8."""
    reply = Verdict.reject(text).reply()
    octets = reply.encode()
    assert len(octets) == LINE_OCTETS
    ascii_text = text.replace("ü", "?").replace("𐍈", "?")
    assert ascii_text.startswith(octets.decode("ascii").rstrip("\r\n").split(" ", 2)[2])
    assert reply.about(Address("alice", "example.org")) == reply


def test_context() -> None:
    context = RcptContext(Peer("192.0.2.1"))
    assert context.reverse_path is None
    assert RcptContext(context.peer, "").reverse_path == ""
