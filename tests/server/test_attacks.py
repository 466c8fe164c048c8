"""Known attacks on mail servers, octet for octet, against the running server; docs/SECURITY.md."""

from __future__ import annotations

import email
import email.policy
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmtpd.protocol import replies
from tests.server.conftest import tls_settings
from tests.support.certificates import Certificate
from tests.support.client import Client, stuffed
from tests.support.server import Server
from tests.support.waiting import wait_for

_SOON_S = 10.0

ALICE, BOB = "alice@example.org", "bob@example.org"
OPENING = (
    b"LHLO client.example\r\nMAIL FROM:<sender@example.net>\r\nRCPT TO:<alice@example.org>\r\n"
)
SMUGGLED = b"MAIL FROM:<x@example.net>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nforged\r\n"

# What one server or another took for the end of a message in 2023 and since.
FALSE_ENDS = (
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n.\r\0\n",
    b"\0\r\n.\n\0",
    b"\r\n. \r\n",
    b"\r\n.\r\r\n",
    b"\x85.\x85",
    b"\r\n\xef\xbc\x8e\r\n",
)

_WORD = re.compile(r' ([a-z_-]+)=("(?:[^"\\]|\\.)*"|[^ "]*)')


@pytest.fixture(scope="module")
def attacked(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[Server]:
    """One server for all attacks, which is also to survive them."""
    settings = tls_settings(certificate)
    with Server(tmp_path_factory.mktemp("attacked"), lmtp_dsn=True, **settings) as running:
        yield running


@pytest.fixture
def server(attacked: Server) -> Server:
    """The same with two mailboxes in which nothing is."""
    for mailbox in ALICE, BOB:
        attacked.mailbox(mailbox)
        for file in attacked.message_files(mailbox):
            file.unlink()
    return attacked


def greeted(server: Server) -> Client:
    client = Client.tcp(server.port)
    assert client.reply().code == 220
    return client


def fields(line: str) -> dict[str, str]:
    """What a logfmt reader makes of a line; all of it must be words."""
    rest = line.partition(" ")[2].partition(" ")[2]
    assert _WORD.sub("", f" {rest}") == "", line
    return {
        key: json.loads(value) if value.startswith('"') else value
        for key, value in _WORD.findall(f" {rest}")
    }


def logged(server: Server, before: int, event: str) -> dict[str, str]:
    """What a logfmt reader makes of the one line of this event behind so many characters."""
    wait_for(lambda: f" {event} " in server.log[before:], _SOON_S, f"a line of {event}")
    [line] = [line for line in server.log[before:].splitlines() if f" {event} " in line]
    assert line.isascii()
    assert line.isprintable()
    return fields(line)


def unquoted(address: str) -> str:
    """An address as it is meant, whether its local part was a quoted string or not."""
    return re.sub(r'"((?:[^"\\]|\\.)*)"', lambda one: re.sub(r"\\(.)", r"\1", one[1]), address)


@pytest.mark.parametrize("end", FALSE_ENDS)
@pytest.mark.parametrize("is_cut", [False, True])
def test_what_is_not_the_end_of_a_message_smuggles_none(
    end: bytes, is_cut: bool, server: Server
) -> None:
    message = b"Subject: x\r\n\r\nfirst" + end + SMUGGLED
    # A dot that begins a line is undone, and nothing else is changed but the ends of lines.
    sent = message + b".\r\n"
    with greeted(server) as client:
        client.send(OPENING + b"DATA\r\n")
        assert [reply.code for reply in client.replies(4)] == [250, 250, 250, 354]
        for piece in [sent[at : at + 1] for at in range(len(sent))] if is_cut else [sent]:
            client.send(piece)
        assert client.reply().code == 250
        assert client.command("QUIT").code == 221
        assert client.is_closed_by_peer()
    [stored] = server.messages(ALICE)
    content = message.replace(b"\r\n.", b"\r\n").replace(b"\r\n", b"\n")
    assert stored.endswith(content)
    assert server.messages(BOB) == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS", "connect", "Host:"])
def test_an_http_request_is_not_served(method: str, server: Server) -> None:
    with greeted(server) as client:
        client.send(f"{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        client.send(OPENING + b"DATA\r\n" + b"forged\r\n.\r\n")
        reply = client.reply()
        assert (reply.code, reply.text[:5]) == (421, "4.7.0")
        with pytest.raises(ConnectionError):
            client.reply()
    assert server.messages(ALICE) == []


def test_a_tls_handshake_on_a_port_in_clear_is_no_command(server: Server) -> None:
    with greeted(server) as client:
        client.send(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n")
        assert client.reply().code == 500
        assert client.command("NOOP").code == 250


@pytest.mark.parametrize("behind", [b"RSET\r\n", OPENING, b"BDAT 5\r\nhello", b"NOOP"])
def test_what_stands_behind_starttls_is_dropped_and_what_stood_before_is_forgotten(
    behind: bytes, server: Server, certificate: Certificate
) -> None:
    with greeted(server) as client:
        client.send(OPENING)
        client.replies(3)
        client.send(b"STARTTLS\r\n" + behind)
        assert client.reply().code == 220
        client.start_tls(certificate.client_context())
        assert client.command("MAIL FROM:<>").code == 503
        assert client.command("LHLO client.example").code == 250
        assert client.command("RCPT TO:<alice@example.org>").code == 503
        assert client.command("STARTTLS").code == 503


@pytest.mark.parametrize(
    "name",
    [
        b"x\nX-Forged: yes",
        b"x\rX-Forged: yes",
        b"x\0y",
        b"x\xc2\x85y",
        b"x\x1b[31m",
        b"\xff\xfe",
        b"x" * 300,
        b"two words",
    ],
)
def test_a_name_behind_lhlo_that_would_break_a_header_is_refused(
    name: bytes, server: Server
) -> None:
    with greeted(server) as client:
        client.send(b"LHLO " + name + b"\r\n")
        assert client.reply().code // 100 == 5


@pytest.mark.parametrize(
    "name", ['x(y)"z', "x;y", "<x>", "x)by(evil", "x\\", 'a="b"', "=?utf-8?q?x?="]
)
def test_a_name_behind_lhlo_adds_no_field(name: str, server: Server) -> None:
    with greeted(server) as client:
        assert client.command(f"LHLO {name}").code == 250
        client.send(OPENING.partition(b"\r\n")[2] + b"DATA\r\nSubject: x\r\n\r\nhello\r\n.\r\n")
        assert client.replies(4)[-1].code == 250
        # Who leaves without a word has perhaps not heard it: the next one would be its second try.
        assert client.command("QUIT").code == 221
    [stored] = server.messages(ALICE)
    message = email.message_from_bytes(stored, policy=email.policy.compat32)
    assert message.keys() == ["Return-Path", "Delivered-To", "Received", "Subject"]
    assert message["Return-Path"] == "<sender@example.net>"
    assert message["Delivered-To"] == ALICE


WORDS = (
    "a b=c",
    '" id=forged "',
    "\\n",
    "\u202egro.live\u202c",
    "\u2066x\u2069",
    "p\u0430ypal",
    "x=y",
    "'",
)


def quoted(word: str) -> str:
    """As a local part, which is a quoted string (RFC 5321 4.1.2)."""
    return '"' + re.sub(r'(["\\])', r"\\\1", word) + '"'


def xtext(word: str) -> str:
    """As the value of a parameter (RFC 3461 4)."""
    return re.sub(rb"[^!-*,-<>-~]", lambda one: b"+%02X" % one[0][0], word.encode()).decode()


@pytest.mark.parametrize("word", WORDS)
def test_an_address_that_is_refused_forges_no_word_of_the_log(word: str, server: Server) -> None:
    before = len(server.log)
    with greeted(server) as client:
        assert client.command("LHLO client.example").code == 250
        assert client.command(f"MAIL FROM:<{quoted(word)}@example.net> SMTPUTF8").code == 250
        reply = client.command(f"RCPT TO:<{quoted(word)}@example.org>")
        assert reply.code == 550
        assert len(reply.lines) == 1
    told = logged(server, before, "refused")
    assert told.keys() == {"id", "peer", "sender", "recipient", "reply"}
    assert unquoted(told["sender"]) == f"<{word}@example.net>"
    assert unquoted(told["recipient"]) == f"{word}@example.org"


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("event", ["delivered", "failed"])
def test_what_a_client_says_of_itself_and_its_mail_forges_no_word_of_the_log(
    event: str, word: str, server: Server
) -> None:
    local = "alice" if event == "delivered" else "broken"
    (server.mailbox("broken@example.org") / "tmp").touch()
    before = len(server.log)
    with greeted(server) as client:
        helo = word if word.isascii() and " " not in word else "client.example"
        said = (
            f"LHLO {helo}",
            f"XFORWARD NAME={xtext(word)} HELO={xtext(word)} IDENT={xtext(word)}",
            f"MAIL FROM:<{quoted(word)}@example.net> SMTPUTF8",
            f"RCPT TO:<{quoted(f'{local}+{word}')}@example.org>",
        )
        assert [client.command(line).code for line in said] == [250] * 4
        assert client.command("DATA").code == 354
        client.send(b"Subject: x\r\n\r\n.\r\n")
        assert client.reply().code == (250 if event == "delivered" else 451)
        assert client.command("QUIT").code == 221
    told = logged(server, before, event)
    assert not told.keys() & {"forged", "c", "y"}
    assert told["helo"] == helo
    assert {told[f"client_{key}"] for key in ("name", "helo", "ident")} == {word}
    assert unquoted(told["sender"]) == f"<{word}@example.net>"
    assert unquoted(told["recipient"]) == f"{local}+{word}@example.org"
    assert told["mailbox"] == f"{local}@example.org"


def test_a_line_of_one_who_is_cut_off_says_nothing_of_his(server: Server) -> None:
    before = len(server.log)
    with greeted(server) as client:
        client.send(b'GET /" id=forged " HTTP/1.1\r\n')
        assert client.reply().code == 421
    told = logged(server, before, "cut-off")
    assert told == {"peer": "127.0.0.1", "reply": str(replies.NOT_HTTP)}


def test_a_line_of_one_who_is_not_trusted_says_nothing_of_his(tmp_path: Path) -> None:
    with Server(tmp_path, lmtp_trusted_ips="192.0.2.1") as server:
        with Client.tcp(server.port) as client:
            client.send(b'" id=forged "\x1b[31m\r\n')
            assert client.reply().code == 554
        told = logged(server, 0, "not-trusted")
        assert told.keys() == {"peer", "reply"}
        assert told["peer"] == "127.0.0.1"


@pytest.mark.parametrize("octets", [b"a\x1b[2Jb", b"a\nb", b"a\rb", b"a\0b", b"\xff", b"\xc2\x9b"])
@pytest.mark.parametrize("command", [b"MAIL FROM:<%s@x>", b"RCPT TO:<%s@x>", b"VRFY %s", b"%s"])
def test_no_control_octet_comes_back(command: bytes, octets: bytes, server: Server) -> None:
    with greeted(server) as client:
        client.send(command % octets + b"\r\nQUIT\r\n")
        heard = [client.reply()]
        while heard[-1].code != 221:
            heard.append(client.reply())
    assert all(reply.code // 100 == 5 for reply in heard[:-1])
    assert all(line.isascii() and line.isprintable() for reply in heard for line in reply.lines)


@pytest.mark.parametrize(
    "value",
    ["x+0D+0ASubject:+20forged", "x+00", "x+1B[31m", "x+C2+85", "x+FF", "x+0a", "x+E2+80+A8"],
)
def test_xtext_that_hides_a_line_break_is_refused(value: str, server: Server) -> None:
    with greeted(server) as client:
        assert client.command("LHLO client.example").code == 250
        assert client.command(f"XFORWARD NAME={value}").code == 501
        assert client.command(f"MAIL FROM:<> ENVID={value}").code == 501
        assert client.command("MAIL FROM:<>").code == 250
        assert client.command(f"RCPT TO:<{ALICE}> ORCPT=rfc822;{value}").code == 501


@pytest.mark.parametrize(
    "local",
    ["../bob", "..", ".", "a/../../etc", "/etc/passwd", '"a/b"', '".."', "..%2fbob", "~root"],
)
def test_a_recipient_leads_out_of_no_store(local: str, server: Server) -> None:
    with greeted(server) as client:
        before = sorted(server.root.parent.rglob("*"))
        assert client.command("LHLO client.example").code == 250
        assert client.command("MAIL FROM:<>").code == 250
        assert client.command(f"RCPT TO:<{local}@example.org>").code // 100 == 5
        assert sorted(server.root.parent.rglob("*")) == before


def test_a_list_that_is_named_again_and_again_is_not_multiplied(tmp_path: Path) -> None:
    """Each naming would go through all members, and write as many names to the log."""
    (tmp_path / "most").write_text("".join(f"m{n}@example.org\n" for n in range(400)))
    (tmp_path / "all").write_text("".join(f"m{n}@example.org\n" for n in range(600)))
    (tmp_path / "table").write_text(
        "most@example.org :include:most\nall@example.org :include:all\nalice@example.org\n"
    )
    settings = {
        "lmtp_workers": 1,
        "lmtp_recipient_hooks": "table",
        "lmtp_recipient_table": tmp_path / "table",
    }
    prefix = ("prlimit", "--nofile=2000:2000", "--")
    with Server(tmp_path, prefix=prefix, **settings) as server, greeted(server) as client:
        assert client.command("LHLO client.example").code == 250
        assert client.command("MAIL FROM:<sender@example.net>").code == 250
        assert client.command("RCPT TO:<all@example.org>").text[:5] == "4.3.2"
        assert client.command("RCPT TO:<most@example.org>").code == 250
        for number in range(300):
            reply = client.command(f"RCPT TO:<most+{number}@example.org>")
            assert (reply.code, reply.text[:5]) == (452, "4.5.3")
        assert client.command("RCPT TO:<alice@example.org>").code == 250
        client.send(b"DATA\r\nSubject: x\r\n\r\n.\r\nQUIT\r\n")
        assert [reply.code for reply in client.replies(4)] == [354, 250, 250, 221]
        members = [ALICE, *(f"m{n}@example.org" for n in range(400))]
        assert all(len(server.messages(one)) == 1 for one in members)
        assert len(server.log) < 200_000


def test_a_message_in_a_message_is_one(server: Server) -> None:
    message = b"Subject: x\r\n\r\n.\r\n" + SMUGGLED
    with greeted(server) as client:
        client.send(OPENING + b"DATA\r\n" + stuffed(message) + b"QUIT\r\n")
        assert [reply.code for reply in client.replies(6)] == [250, 250, 250, 354, 250, 221]
    assert len(server.messages(ALICE)) == 1
    assert server.messages(BOB) == []
