"""Every line a client can say: the command that it is, or the reply that it deserves."""

from __future__ import annotations

import pytest

from lmtpd.protocol import events, replies
from lmtpd.protocol.address import Address
from lmtpd.protocol.command import KNOWN_LINES, Bdat, CommandParser, UnboundedChunkError
from lmtpd.protocol.envelope import BodyType
from lmtpd.protocol.events import Expand, Hello, MailFrom, RcptTo, Refused, Verify, XForward
from lmtpd.protocol.extensions import Extensions
from lmtpd.protocol.limits import Limits
from lmtpd.protocol.reply import Reply
from tests.support.watched import octets_held

LIMITS = Limits(message_octets=100_000)
ALICE = Address("alice", "example.org")
ALL = Extensions(starttls=True, dsn=True, xforward=True)
NONE = Extensions(starttls=False, vrfy=False, dsn=False, xforward=False)

SEVEN, EIGHT, BINARY = BodyType.SEVEN_BIT, BodyType.EIGHT_BIT_MIME, BodyType.BINARY_MIME


def parse(
    line: str | bytes, *, extensions: Extensions = ALL, smtputf8: bool = False
) -> events.Command | Bdat:
    octets = line if isinstance(line, bytes) else line.encode()
    return CommandParser(LIMITS, extensions).parse(octets, smtputf8=smtputf8)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        pytest.param("LHLO client.example", Hello("client.example"), id="lhlo"),
        pytest.param("lhlo [192.0.2.1]", Hello("[192.0.2.1]"), id="lhlo literal"),
        pytest.param("LHLO  under_score ", Hello("under_score"), id="lhlo, a wrong name"),
        pytest.param(f"LHLO {'a' * 255}", Hello("a" * 255), id="lhlo, 255 octets"),
        pytest.param("DATA", events.Data(), id="data"),
        pytest.param("data  ", events.Data(), id="blanks at the end"),
        pytest.param("RSET", events.Reset(), id="rset"),
        pytest.param("QUIT", events.Quit(), id="quit"),
        pytest.param("StartTLS", events.StartTls(), id="starttls"),
        pytest.param("NOOP", events.Noop(), id="noop"),
        pytest.param("NOOP what ever", events.Noop(), id="noop and words"),
        pytest.param("HELP", events.Help(), id="help"),
        pytest.param("HELP MAIL", events.Help(), id="help and a word"),
        pytest.param("VRFY alice", Verify(Address("alice", "")), id="vrfy, bare"),
        pytest.param("VRFY alice@example.org", Verify(ALICE), id="vrfy"),
        pytest.param("VRFY <alice@example.org>", Verify(ALICE), id="vrfy, brackets"),
        pytest.param('VRFY "a b"@x', Verify(Address("a b", "x")), id="vrfy, quotes"),
        pytest.param("VRFY \u00fc SMTPUTF8", Verify(Address("\u00fc", "")), id="vrfy, utf-8"),
        pytest.param("VRFY SMTPUTF8", Verify(Address("SMTPUTF8", "")), id="vrfy of that name"),
        pytest.param("EXPN list", Expand(Address("list", "")), id="expn"),
        pytest.param("EXPN <alice@example.org>", Expand(ALICE), id="expn, brackets"),
        pytest.param("EXPN list smtputf8", Expand(Address("list", ""), True), id="expn, utf-8"),
    ],
)
def test_commands(line: str, command: events.Command) -> None:
    assert parse(line) == command


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        pytest.param("", replies.UNKNOWN_COMMAND, id="empty line"),
        pytest.param("   ", replies.UNKNOWN_COMMAND, id="blanks"),
        pytest.param(" NOOP", replies.UNKNOWN_COMMAND, id="blank first"),
        pytest.param("XYZZY", replies.UNKNOWN_COMMAND, id="unknown"),
        pytest.param("AUTH PLAIN", replies.UNKNOWN_COMMAND, id="auth"),
        pytest.param("GET / HTTP/1.1", replies.NOT_HTTP, id="http"),
        pytest.param("Subject: x", replies.UNKNOWN_COMMAND, id="a header line"),
        pytest.param("__init__", replies.UNKNOWN_COMMAND, id="a name of ours"),
        pytest.param("_plain", replies.UNKNOWN_COMMAND, id="an attribute of ours"),
        pytest.param("DATAX", replies.UNKNOWN_COMMAND, id="a letter too much"),
        pytest.param("\u00dcBER", replies.UNKNOWN_COMMAND, id="beyond ASCII"),
        # Case folds in ASCII alone (RFC 5321 2.4): these letters fold to S and I elsewhere.
        pytest.param("R\u017fET", replies.UNKNOWN_COMMAND, id="rset with a long s"),
        pytest.param("QU\u0131T", replies.UNKNOWN_COMMAND, id="quit with a dotless i"),
        pytest.param("MA\u0131L FROM:<>", replies.UNKNOWN_COMMAND, id="mail with a dotless i"),
        pytest.param("HELO client.example", replies.HELLO_IS_LHLO, id="helo"),
        pytest.param("ehlo client.example", replies.HELLO_IS_LHLO, id="ehlo"),
        pytest.param("EHLO", replies.HELLO_IS_LHLO, id="ehlo alone"),
        pytest.param("LHLO", replies.BAD_SYNTAX, id="lhlo alone"),
        pytest.param("LHLO a b", replies.BAD_SYNTAX, id="lhlo, two words"),
        pytest.param(f"LHLO {'a' * 256}", replies.BAD_SYNTAX, id="lhlo, 256 octets"),
        pytest.param("LHLO b\u00fccher.example", replies.BAD_SYNTAX, id="lhlo beyond ASCII"),
        pytest.param("DATA now", replies.BAD_SYNTAX, id="data and a word"),
        pytest.param("RSET now", replies.BAD_SYNTAX, id="rset and a word"),
        pytest.param("QUIT now", replies.BAD_SYNTAX, id="quit and a word"),
        pytest.param("STARTTLS now", replies.BAD_SYNTAX, id="starttls and a word"),
        pytest.param("VRFY", replies.BAD_SYNTAX, id="vrfy alone"),
        pytest.param("EXPN", replies.BAD_SYNTAX, id="expn alone"),
        pytest.param("VRFY Alice Smith", replies.BAD_RECIPIENT, id="vrfy, a person's name"),
        pytest.param("VRFY <>", replies.BAD_RECIPIENT, id="vrfy, nothing in brackets"),
        pytest.param("VRFY <a@x", replies.BAD_RECIPIENT, id="vrfy, half a pair of brackets"),
        pytest.param("EXPN a@", replies.BAD_RECIPIENT, id="expn, half an address"),
        pytest.param("VRFY \u00fc", replies.RECIPIENT_NEEDS_SMTPUTF8, id="vrfy beyond ASCII"),
        pytest.param("VRFY a \u017fMTPUTF8", replies.RECIPIENT_NEEDS_SMTPUTF8, id="long s"),
        pytest.param("EXPN \u00fc@x", replies.RECIPIENT_NEEDS_SMTPUTF8, id="expn beyond ASCII"),
    ],
)
def test_refusals(line: str, reply: Reply) -> None:
    assert parse(line) == Refused(reply)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"NOOP\xff", id="no UTF-8"),
        pytest.param(b"MAIL FROM:<b\xfc@x>", id="Latin-1"),
        pytest.param(b"NOOP \xc0\xaf", id="overlong"),
        pytest.param(b"NOOP \xed\xa0\x80", id="surrogate"),
        pytest.param(b"NOOP \xf4\x90\x80\x80", id="beyond Unicode"),
        pytest.param(b"NOOP \xe2\x82", id="cut short"),
        pytest.param(b"NO\0OP", id="NUL"),
        pytest.param(b"NOOP\r", id="CR"),
        pytest.param(b"NOOP\rQUIT", id="CR inside"),
        pytest.param(b"NOOP\tx", id="tab"),
        pytest.param(b"NOOP \x7f", id="DEL"),
        pytest.param(b"NOOP \x1b[2J", id="escape"),
        pytest.param("NOOP \x85".encode(), id="C1 next line"),
        pytest.param("NOOP \u2028".encode(), id="line separator"),
        pytest.param("NOOP \u2029".encode(), id="paragraph separator"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01", id="a TLS handshake"),
    ],
)
@pytest.mark.parametrize("smtputf8", [False, True])
def test_bad_octets(line: bytes, smtputf8: bool) -> None:
    assert parse(line, smtputf8=smtputf8) == Refused(replies.BAD_OCTETS)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        pytest.param("MAIL FROM:<>", MailFrom(""), id="null"),
        pytest.param("MAIL FROM:<alice@example.org>", MailFrom("alice@example.org"), id="plain"),
        pytest.param("mail from:<a@x>", MailFrom("a@x"), id="lower case"),
        pytest.param("MAIL  FROM: <a@x> ", MailFrom("a@x"), id="blanks, a common fault"),
        pytest.param("MAIL FROM:<@b,@c:a@x>", MailFrom("a@x"), id="source route"),
        pytest.param("MAIL FROM:<a@EXAMPLE.org>", MailFrom("a@example.org"), id="case"),
        pytest.param('MAIL FROM:<"a>b"@x>', MailFrom('"a>b"@x'), id="bracket in quotes"),
        pytest.param(r'MAIL FROM:<"a\">b"@x>', MailFrom(r'"a\">b"@x'), id="escape in quotes"),
        pytest.param('MAIL FROM:<"a> B=C"@x>', MailFrom('"a> B=C"@x'), id="parameter in quotes"),
        pytest.param("MAIL FROM:<bare>", MailFrom("bare"), id="no domain"),
        pytest.param("MAIL FROM:<> SIZE=0", MailFrom(""), id="size 0"),
        pytest.param("MAIL FROM:<> SIZE=100000", MailFrom("", size=100_000), id="size, the limit"),
        pytest.param(
            "MAIL FROM:<> SIZE=00000000000000000007", MailFrom("", size=7), id="20 digits"
        ),
        pytest.param("MAIL FROM:<> BODY=7BIT", MailFrom("", SEVEN), id="7bit"),
        pytest.param("MAIL FROM:<> body=8bitmime", MailFrom("", EIGHT), id="8bitmime"),
        pytest.param("MAIL FROM:<> BODY=BINARYMIME", MailFrom("", BINARY), id="binarymime"),
        pytest.param("MAIL FROM:<> SMTPUTF8", MailFrom("", smtputf8=True), id="smtputf8"),
        pytest.param(
            "MAIL FROM:<b\u00fc@b\u00fccher.example> SMTPUTF8",
            MailFrom("b\u00fc@xn--bcher-kva.example", smtputf8=True),
            id="beyond ASCII",
        ),
        pytest.param(
            "MAIL FROM:<a@x>   SIZE=9  BODY=8BITMIME SMTPUTF8",
            MailFrom("a@x", EIGHT, True, 9),
            id="all parameters",
        ),
        pytest.param("MAIL FROM:<> RET=full ENVID=QQ314159", MailFrom(""), id="dsn, full"),
        pytest.param("MAIL FROM:<> ENVID=a+2Bb RET=HDRS", MailFrom(""), id="dsn, hdrs"),
    ],
)
def test_mail(line: str, command: MailFrom) -> None:
    assert parse(line) == command


@pytest.mark.parametrize(
    ("line", "path"),
    [
        pytest.param("MAIL FROM:<a b@x>", "a b@x", id="blank"),
        pytest.param("MAIL FROM:<a..b@x>", "a..b@x", id="two dots"),
        pytest.param("MAIL FROM:<a.@X>", "a.@X", id="dot last"),
        pytest.param("MAIL FROM:<a@x_>", "a@x_", id="host name with an underscore"),
        pytest.param("MAIL FROM:<a@-X->", "a@-X-", id="no host name"),
        pytest.param("MAIL FROM:<@>", "@", id="@ alone"),
        pytest.param("MAIL FROM:<a<b@x>", "a<b@x", id="bracket"),
        pytest.param('MAIL FROM:<"a@x>', '"a@x', id="quote not closed"),
        pytest.param("MAIL FROM:<@b,@c:a b@x>", "a b@x", id="source route"),
        pytest.param("MAIL FROM:<a@[IPv6:nonsense]>", "a@[IPv6:nonsense]", id="literal"),
        pytest.param(f"MAIL FROM:<{'a' * 300}@x>", f"{'a' * 300}@x", id="too long"),
    ],
)
def test_a_faulty_sender_is_taken_as_it_stands(line: str, path: str) -> None:
    assert parse(line) == MailFrom(path)
    assert parse(f"{line} SIZE=1") == MailFrom(path, size=1)
    assert parse(f"{line} SIZE=x") == Refused(replies.BAD_SYNTAX)


def test_a_faulty_sender_beyond_ascii_is_taken_as_it_stands() -> None:
    assert parse("MAIL FROM:<\u00fc \u00fc@x> SMTPUTF8") == MailFrom(
        "\u00fc \u00fc@x", smtputf8=True
    )


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        pytest.param("MAIL", replies.BAD_SYNTAX, id="alone"),
        pytest.param("MAIL <a@x>", replies.BAD_SYNTAX, id="no from"),
        pytest.param("MAIL FROM <a@x>", replies.BAD_SYNTAX, id="no colon"),
        pytest.param("MAIL TO:<a@x>", replies.BAD_SYNTAX, id="to"),
        pytest.param("MAIL FROM\uff1a<a@x>", replies.BAD_SYNTAX, id="full-width colon"),
        pytest.param("MAIL FROM:", replies.BAD_SENDER, id="no path"),
        pytest.param("MAIL FROM:a@x", replies.BAD_SENDER, id="no brackets"),
        pytest.param("MAIL FROM:<a@x", replies.BAD_SENDER, id="not closed"),
        pytest.param("MAIL FROM:a@x>", replies.BAD_SENDER, id="not opened"),
        pytest.param("MAIL FROM:<a@x>SIZE=1", replies.BAD_SENDER, id="no blank behind"),
        pytest.param("MAIL FROM:<a@x>>", replies.BAD_SENDER, id="two brackets"),
        pytest.param("MAIL FROM:A <a@x>", replies.BAD_SENDER, id="a name before"),
        pytest.param("MAIL FROM:<\u00fc@x>", replies.SENDER_NEEDS_SMTPUTF8, id="beyond ASCII"),
        pytest.param("MAIL FROM:<a@\u00fc.x>", replies.SENDER_NEEDS_SMTPUTF8, id="U-label"),
        pytest.param("MAIL FROM:<> SIZE=100001", replies.TOO_LARGE, id="size past the limit"),
        pytest.param("MAIL FROM:<> SIZE=" + "9" * 20, replies.TOO_LARGE, id="size, 20 digits"),
        pytest.param("MAIL FROM:<> SIZE=" + "0" * 21, replies.BAD_SYNTAX, id="size, 21 digits"),
        pytest.param("MAIL FROM:<> SIZE=" + "9" * 4000, replies.BAD_SYNTAX, id="size, a flood"),
        pytest.param("MAIL FROM:<> SIZE=1_000", replies.BAD_SYNTAX, id="size, underscore"),
        pytest.param("MAIL FROM:<> SIZE=+1", replies.BAD_SYNTAX, id="size, plus"),
        pytest.param("MAIL FROM:<> SIZE=-1", replies.BAD_SYNTAX, id="size, minus"),
        pytest.param("MAIL FROM:<> SIZE=0x1", replies.BAD_SYNTAX, id="size, hexadecimal"),
        pytest.param("MAIL FROM:<> SIZE=1.0", replies.BAD_SYNTAX, id="size, point"),
        pytest.param("MAIL FROM:<> SIZE=\u0661", replies.BAD_SYNTAX, id="size, Arabic digit"),
        pytest.param("MAIL FROM:<> SIZE=\u00b2", replies.BAD_SYNTAX, id="size, superscript"),
        pytest.param("MAIL FROM:<> SIZE=\uff11", replies.BAD_SYNTAX, id="size, full-width digit"),
        pytest.param("MAIL FROM:<> SIZE=", replies.BAD_SYNTAX, id="size, empty"),
        pytest.param("MAIL FROM:<> SIZE", replies.BAD_SYNTAX, id="size, no value"),
        pytest.param("MAIL FROM:<> SIZE=1=2", replies.BAD_SYNTAX, id="size, two equal signs"),
        pytest.param("MAIL FROM:<> SIZE=1 size=1", replies.BAD_SYNTAX, id="size twice"),
        pytest.param("MAIL FROM:<> SMTPUTF8 SMTPUTF8", replies.BAD_SYNTAX, id="smtputf8 twice"),
        pytest.param("MAIL FROM:<> BODY=9BIT", replies.BAD_SYNTAX, id="body unknown"),
        pytest.param("MAIL FROM:<> BODY=SEVEN_BIT", replies.BAD_SYNTAX, id="body, our name"),
        pytest.param("MAIL FROM:<> BODY", replies.BAD_SYNTAX, id="body, no value"),
        pytest.param("MAIL FROM:<> BODY=8B\u0131TMIME", replies.BAD_SYNTAX, id="body, dotless i"),
        pytest.param("MAIL FROM:<> SMTPUTF8=1", replies.BAD_SYNTAX, id="smtputf8 with a value"),
        pytest.param("MAIL FROM:<> =1", replies.BAD_SYNTAX, id="no name"),
        pytest.param("MAIL FROM:<> -A=1", replies.BAD_SYNTAX, id="name begins with a hyphen"),
        pytest.param("MAIL FROM:<> S\u0130ZE=1", replies.BAD_SYNTAX, id="name beyond ASCII"),
        # Only a blank parts parameters (RFC 5321 4.1.2): this is one value, with a wrong sign.
        pytest.param(
            "MAIL FROM:<> SIZE=1\u3000BODY=7BIT", replies.BAD_SYNTAX, id="ideographic blank"
        ),
        pytest.param("MAIL FROM:<> SIZE=1\u00a0SMTPUTF8", replies.BAD_SYNTAX, id="no-break blank"),
        pytest.param("MAIL FROM:<> AUTH=<>", replies.UNKNOWN_PARAMETER, id="auth"),
        pytest.param("MAIL FROM:<> REQUIRETLS", replies.UNKNOWN_PARAMETER, id="requiretls"),
        pytest.param("MAIL FROM:<> NOTIFY=NEVER", replies.UNKNOWN_PARAMETER, id="notify"),
        pytest.param("MAIL FROM:<> X=\u00fc", replies.UNKNOWN_PARAMETER, id="any value"),
        pytest.param("MAIL FROM:<> RET=ALL", replies.BAD_SYNTAX, id="ret unknown"),
        pytest.param("MAIL FROM:<> RET=HDR\u017f", replies.BAD_SYNTAX, id="ret, long s"),
        pytest.param("MAIL FROM:<> RET", replies.BAD_SYNTAX, id="ret, no value"),
        pytest.param("MAIL FROM:<> ENVID", replies.BAD_SYNTAX, id="envid, no value"),
        pytest.param("MAIL FROM:<> ENVID=+", replies.BAD_SYNTAX, id="envid, no xtext"),
        pytest.param("MAIL FROM:<> ENVID=+0D+0A", replies.BAD_SYNTAX, id="envid, line break"),
    ],
)
def test_mail_refused(line: str, reply: Reply) -> None:
    assert parse(line) == Refused(reply)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        pytest.param("RCPT TO:<alice@example.org>", RcptTo(ALICE), id="plain"),
        pytest.param("rcpt to: <alice@EXAMPLE.org> ", RcptTo(ALICE), id="case and blanks"),
        pytest.param("RCPT TO:<@a,@b:alice@example.org>", RcptTo(ALICE), id="source route"),
        pytest.param("RCPT TO:<postmaster>", RcptTo(Address("postmaster", "")), id="postmaster"),
        pytest.param('RCPT TO:<"a> b"@x>', RcptTo(Address("a> b", "x")), id="quotes"),
        pytest.param("RCPT TO:<a@x> NOTIFY=NEVER", RcptTo(Address("a", "x")), id="notify never"),
        pytest.param(
            "RCPT TO:<a@x> NOTIFY=success,FAILURE,DELAY", RcptTo(Address("a", "x")), id="notify"
        ),
        pytest.param(
            "RCPT TO:<a@x> ORCPT=rfc822;alice+40+2Bb@x",
            RcptTo(Address("a", "x"), "rfc822;alice@+b@x"),
            id="orcpt",
        ),
        pytest.param(
            "RCPT TO:<a@x> ORCPT=rfc822;a NOTIFY=DELAY",
            RcptTo(Address("a", "x"), "rfc822;a"),
            id="orcpt and notify",
        ),
    ],
)
def test_rcpt(line: str, command: RcptTo) -> None:
    assert parse(line) == command
    assert parse(line, smtputf8=True) == command


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        pytest.param("RCPT", replies.BAD_SYNTAX, id="alone"),
        pytest.param("RCPT <a@x>", replies.BAD_SYNTAX, id="no to"),
        pytest.param("RCPT FROM:<a@x>", replies.BAD_SYNTAX, id="from"),
        pytest.param("RCPT TO:", replies.BAD_RECIPIENT, id="no path"),
        pytest.param("RCPT TO:<>", replies.BAD_RECIPIENT, id="null"),
        pytest.param("RCPT TO:a@x", replies.BAD_RECIPIENT, id="no brackets"),
        pytest.param("RCPT TO:<a@x", replies.BAD_RECIPIENT, id="not closed"),
        pytest.param("RCPT TO:<a@x>B=C", replies.BAD_RECIPIENT, id="no blank behind"),
        pytest.param("RCPT TO:<a b@x>", replies.BAD_RECIPIENT, id="blank"),
        pytest.param("RCPT TO:<a<b@x>", replies.BAD_RECIPIENT, id="bracket"),
        pytest.param('RCPT TO:<"a@x>', replies.BAD_RECIPIENT, id="quote not closed"),
        pytest.param("RCPT TO:<a@x> <b@x>", replies.BAD_SYNTAX, id="two paths"),
        pytest.param(f"RCPT TO:<{'a' * 300}@x>", replies.BAD_RECIPIENT, id="too long"),
        pytest.param("RCPT TO:<a@x> SIZE=1", replies.UNKNOWN_PARAMETER, id="size"),
        pytest.param("RCPT TO:<a@x> RET=FULL", replies.UNKNOWN_PARAMETER, id="ret"),
        pytest.param("RCPT TO:<a@x> NOTIFY=ALWAYS", replies.BAD_SYNTAX, id="notify unknown"),
        pytest.param("RCPT TO:<a@x> NOTIFY", replies.BAD_SYNTAX, id="notify, no value"),
        pytest.param("RCPT TO:<a@x> NOTIFY=NEVER,DELAY", replies.BAD_SYNTAX, id="never, and yet"),
        pytest.param("RCPT TO:<a@x> NOTIFY=DELAY,", replies.BAD_SYNTAX, id="notify, comma last"),
        pytest.param("RCPT TO:<a@x> NOTIFY=\u017fUCCESS", replies.BAD_SYNTAX, id="long s"),
        pytest.param("RCPT TO:<a@x> ORCPT", replies.BAD_SYNTAX, id="orcpt, no value"),
        pytest.param("RCPT TO:<a@x> ORCPT=a ORCPT=a", replies.BAD_SYNTAX, id="orcpt twice"),
        pytest.param("RCPT TO:<a@x> ORCPT=a+4", replies.BAD_SYNTAX, id="xtext cut short"),
        pytest.param("RCPT TO:<a@x> ORCPT=a+2b", replies.BAD_SYNTAX, id="xtext in lower case"),
        pytest.param("RCPT TO:<a@x> ORCPT=a+GG", replies.BAD_SYNTAX, id="xtext, no digits"),
        # Decoded, it would begin a header field or a line of the log.
        pytest.param("RCPT TO:<a@x> ORCPT=a+0D+0ABcc:+20b", replies.BAD_SYNTAX, id="injection"),
        pytest.param("RCPT TO:<a@x> ORCPT=a+0Ab", replies.BAD_SYNTAX, id="xtext LF"),
        pytest.param("RCPT TO:<a@x> ORCPT=a+0Db", replies.BAD_SYNTAX, id="xtext CR"),
        pytest.param("RCPT TO:<a@x> ORCPT=a+00", replies.BAD_SYNTAX, id="xtext NUL"),
        pytest.param("RCPT TO:<a@x> ORCPT=a+7F", replies.BAD_SYNTAX, id="xtext DEL"),
        pytest.param("RCPT TO:<a@x> ORCPT=a+85", replies.BAD_SYNTAX, id="xtext C1"),
    ],
)
def test_rcpt_refused(line: str, reply: Reply) -> None:
    assert parse(line) == Refused(reply)


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("b\u00fc@x", Address("b\u00fc", "x")),
        ("a@b\u00fccher.example", Address("a", "xn--bcher-kva.example")),
        ('"b\u00fc r"@x', Address("b\u00fc r", "x")),
    ],
)
def test_a_recipient_beyond_ascii_needs_smtputf8(path: str, address: Address) -> None:
    assert parse(f"RCPT TO:<{path}>") == Refused(replies.RECIPIENT_NEEDS_SMTPUTF8)
    assert parse(f"RCPT TO:<{path}>", smtputf8=True) == RcptTo(address)


def test_a_faulty_recipient_beyond_ascii() -> None:
    refused = parse("RCPT TO:<\u00fc \u00fc@x>", smtputf8=True)
    assert refused == Refused(replies.BAD_RECIPIENT)


def test_orcpt_beyond_ascii_under_smtputf8() -> None:
    rcpt = parse("RCPT TO:<a@x> ORCPT=utf-8;b\u00fc@x", smtputf8=True)
    assert rcpt == RcptTo(Address("a", "x"), "utf-8;b\u00fc@x")


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        pytest.param("MAIL FROM:<> RET=FULL", replies.UNKNOWN_PARAMETER, id="ret"),
        pytest.param("MAIL FROM:<> ENVID=a", replies.UNKNOWN_PARAMETER, id="envid"),
        pytest.param("RCPT TO:<a@x> NOTIFY=NEVER", replies.UNKNOWN_PARAMETER, id="notify"),
        pytest.param("RCPT TO:<a@x> ORCPT=rfc822;a", replies.UNKNOWN_PARAMETER, id="orcpt"),
        pytest.param("XFORWARD NAME=x", replies.UNKNOWN_COMMAND, id="xforward"),
    ],
)
def test_what_is_not_announced_does_not_exist(line: str, reply: Reply) -> None:
    assert not isinstance(parse(line), Refused)
    assert parse(line, extensions=NONE) == Refused(reply)


def test_long_lines_are_not_known_by_heart() -> None:
    parser = CommandParser(Limits(), Extensions())
    before = octets_held(parser)
    for number in range(KNOWN_LINES):
        path = b"%04d" % number + b"x" * 4000
        assert isinstance(parser.parse(b"MAIL FROM:<%s>" % path, smtputf8=False), MailFrom)
    assert octets_held(parser) - before < 100_000


@pytest.mark.parametrize("line", ["VRFY a", "EXPN a", "STARTTLS"])
def test_what_the_dialogue_or_the_session_refuses_is_still_read(line: str) -> None:
    assert parse(line, extensions=NONE) == parse(line)


@pytest.mark.parametrize(
    ("line", "attributes"),
    [
        pytest.param("XFORWARD NAME=mail.example", {"NAME": "mail.example"}, id="one"),
        pytest.param(
            "xforward name=x Addr=192.0.2.1 PORT=25 PROTO=ESMTP HELO=y IDENT=1 SOURCE=REMOTE",
            {
                "NAME": "x",
                "ADDR": "192.0.2.1",
                "PORT": "25",
                "PROTO": "ESMTP",
                "HELO": "y",
                "IDENT": "1",
                "SOURCE": "REMOTE",
            },
            id="all",
        ),
        pytest.param(
            "XFORWARD ADDR=IPV6:2001:db8::1 NAME=[UNAVAILABLE]",
            {"ADDR": "IPV6:2001:db8::1", "NAME": "[UNAVAILABLE]"},
            id="as Postfix says it",
        ),
        pytest.param("XFORWARD HELO=a+20b+2B", {"HELO": "a b+"}, id="xtext"),
        # xtext names octets, and the octets of a name beyond ASCII are UTF-8 (RFC 6531 3.2).
        pytest.param("XFORWARD HELO=b+C3+BC", {"HELO": "b\u00fc"}, id="xtext of UTF-8"),
        pytest.param("XFORWARD HELO=+C3+85", {"HELO": "\u00c5"}, id="xtext of UTF-8, 80 to 9F"),
    ],
)
def test_xforward(line: str, attributes: dict[str, str]) -> None:
    assert parse(line) == XForward(attributes)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("XFORWARD", id="alone"),
        pytest.param("XFORWARD LOGIN=x", id="unknown"),
        pytest.param("XFORWARD NAME", id="no value"),
        pytest.param("XFORWARD NAME=", id="empty"),
        pytest.param("XFORWARD NAME=x NAME=y", id="twice"),
        pytest.param("XFORWARD NAME=x, ADDR=y=z", id="two equal signs"),
        pytest.param("XFORWARD HELO=a+0D+0Ab", id="line break"),
        pytest.param("XFORWARD HELO=a+1B[2J", id="escape"),
        pytest.param("XFORWARD HELO=a+FF", id="no UTF-8"),
        pytest.param(f"XFORWARD HELO={'a' * 512}", id="too long"),
    ],
)
def test_xforward_refused(line: str) -> None:
    assert parse(line) == Refused(replies.BAD_SYNTAX)


@pytest.mark.parametrize(
    ("line", "chunk"),
    [
        pytest.param("BDAT 0", Bdat(0, is_last=False), id="empty"),
        pytest.param("BDAT 10", Bdat(10, is_last=False), id="one of several"),
        pytest.param("BDAT 10 LAST", Bdat(10, is_last=True), id="last"),
        pytest.param("bdat 0 last ", Bdat(0, is_last=True), id="lower case"),
        pytest.param("BDAT  007", Bdat(7, is_last=False), id="zeros first"),
        pytest.param("BDAT " + "9" * 20, Bdat(10**20 - 1, is_last=False), id="20 digits"),
        pytest.param("BDAT 10 FIRST", Bdat(10, is_last=False, is_malformed=True), id="word"),
        pytest.param("BDAT 10 LAST x", Bdat(10, is_last=False, is_malformed=True), id="words"),
        pytest.param("BDAT 10  LAST", Bdat(10, is_last=False, is_malformed=True), id="2 blanks"),
        pytest.param(
            "BDAT 5 LA\u017fT", Bdat(5, is_last=False, is_malformed=True), id="last with a long s"
        ),
    ],
)
def test_bdat(line: str, chunk: Bdat) -> None:
    assert parse(line) == chunk


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("BDAT", id="alone"),
        pytest.param("BDAT LAST", id="no number"),
        pytest.param("BDAT -1", id="minus"),
        pytest.param("BDAT +1", id="plus"),
        pytest.param("BDAT x10", id="letter first"),
        pytest.param("BDAT 0x10 LAST", id="hexadecimal for somebody"),
        pytest.param("BDAT 1e1", id="floating point for somebody"),
        pytest.param("BDAT 1_0", id="ten for Python"),
        pytest.param("BDAT 1.5", id="point"),
        pytest.param("BDAT 1,000", id="thousands"),
        pytest.param("BDAT 10;LAST", id="no blank"),
        pytest.param("BDAT 10LAST", id="no blank before a letter"),
        pytest.param("BDAT \u0661\u0660", id="Arabic digits"),
        pytest.param("BDAT \u00b2", id="superscript"),
        pytest.param("BDAT " + "0" * 21, id="21 digits"),
        pytest.param("BDAT " + "9" * 4000 + " LAST", id="a flood of digits"),
    ],
)
def test_bdat_of_unknown_length(line: str) -> None:
    with pytest.raises(UnboundedChunkError):
        parse(line)
