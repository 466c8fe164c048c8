"""The hook `dns`, and a real name server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from lmtpd.recipients.verdict import Kind
from tests.support.backend_contract import Asking
from tests.support.client import Client
from tests.support.name_server import Answer, NameServer, serving
from tests.support.processes import LOOPBACK, free_port
from tests.support.server import Server
from tests.support.waiting import wait_for

RECORDS = {
    ("example.org.", "MX"): ["10 Backup.example.net.", "5 MAIL.example.net."],
    ("example.com.", "TXT"): ['"v=spf1 -all"', '"lmtpd=" "ours"'],
    ("alias.example.", "CNAME"): ["example.org."],
    ("stranger.example.", "MX"): ["5 mail.stranger.example."],
    ("stranger.example.", "TXT"): ['"lmtpd=theirs"'],
}
OURS = {"lmtp_dns_mx": "mail.example.net;own.example", "lmtp_dns_txt": "lmtpd=ours"}
VERDICTS = {
    "elsewhere@example.org": Kind.ACCEPT,
    "elsewhere@alias.example": Kind.ACCEPT,
    "nobody@example.org": Kind.UNKNOWN,
    "elsewhere@stranger.example": Kind.UNKNOWN,
    "elsewhere@no.such.example": Kind.UNKNOWN,
    "elsewhere@[192.0.2.1]": Kind.UNKNOWN,
    f"x@{'a.' * 125}b": Kind.UNKNOWN,  # the longest that a path can hold
}


class Zone:
    """The hook as the contract's helpers want it."""

    hook = "dns"

    def __init__(self, server: NameServer | None = None, **settings: str) -> None:
        self.settings = settings
        if server:
            host, port = server.address
            self.settings = {"lmtp_dns_server": f"{host}:{port}", **settings}


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    with serving(NameServer(dict(RECORDS))) as running:
        yield running


def fails(query: dns.message.Message) -> bytes:
    response = dns.message.make_response(query)
    response.set_rcode(dns.rcode.SERVFAIL)
    return response.to_wire()


def with_mailbox(tmp_path: Path, domain: str) -> None:
    """A maildir that the hook behind knows."""
    (tmp_path / "asked" / domain / "elsewhere").mkdir(parents=True)


@pytest.mark.parametrize("address", VERDICTS)
def test_what_is_not_ours_is_unknown_and_the_rest_is_for_others(
    address: str, name_server: NameServer, tmp_path: Path
) -> None:
    with_mailbox(tmp_path, "stranger.example")
    with_mailbox(tmp_path, "alias.example")
    verdict = Asking(tmp_path, Zone(name_server, **OURS)).verdict(address)
    assert verdict.kind is VERDICTS[address]
    is_strange = address.endswith(("stranger.example", "such.example", "b"))
    assert verdict.text == ("Mail for this domain is not taken here" if is_strange else "")


@pytest.mark.parametrize(
    ("domain", "settings"),
    [
        ("example.com", {"lmtp_dns_txt": "lmtpd=ours"}),
        ("own.example", {"lmtp_dns_mx": "own.example"}),
        ("example.org", {"lmtp_dns_mx": "backup.example.net"}),
    ],
)
def test_one_mark_is_enough(
    domain: str, settings: dict[str, str], name_server: NameServer, tmp_path: Path
) -> None:
    with_mailbox(tmp_path, domain) if domain != "example.org" else None
    asking = Asking(tmp_path, Zone(name_server, **settings))
    assert asking.verdict(f"elsewhere@{domain}").is_accepted
    assert asking.verdict("elsewhere@stranger.example").kind is Kind.UNKNOWN


def test_what_nobody_can_tell_is_a_fault(name_server: NameServer, tmp_path: Path) -> None:
    asking = Asking(tmp_path, Zone(name_server, **OURS), lmtp_hook_timeout=0.5)
    for answer in (
        fails,
        lambda _: None,
        lambda _: b"nonsense",
        lambda query: query.to_wire(),
        lambda query: name_server.truth(query)[:-10],
    ):
        name_server.answer = answer
        verdict = asking.verdict("elsewhere@example.org")
        assert verdict.kind is Kind.DEFER
        assert "hook dns: " in verdict.reason
    name_server.answer = name_server.truth
    assert asking.verdict("elsewhere@example.org").is_accepted


def test_one_that_is_not_there_yet_is_found_when_it_comes(tmp_path: Path) -> None:
    port = free_port()
    settings = {**OURS, "lmtp_dns_server": f"{LOOPBACK}:{port}", "lmtp_hook_timeout": "2"}
    asking = Asking(tmp_path, Zone(**settings))
    assert asking.verdict("elsewhere@example.org").kind is Kind.DEFER
    with serving(NameServer(dict(RECORDS), port=port)):
        assert asking.verdict("elsewhere@example.org").is_accepted
    assert asking.verdict("elsewhere@example.org").kind is Kind.DEFER


def mute_about_one(query: dns.message.Message) -> bytes | None:
    if query.question[0].name.to_text() == "wrong.example.":
        return None
    return dns.message.make_response(query).to_wire()


@pytest.mark.parametrize(
    ("answer", "is_down"),
    [
        (fails, False),
        (mute_about_one, False),
        (lambda _: None, True),
        (lambda _: b"nonsense", True),
    ],
)
def test_a_domain_whose_own_servers_fail_concerns_no_other(
    answer: Answer, is_down: bool, name_server: NameServer, tmp_path: Path
) -> None:
    given = {"lmtp_hook_faults": 1, "lmtp_hook_timeout": 1}
    asking = Asking(tmp_path, Zone(name_server, **OURS), **given)
    name_server.answer = answer
    assert asking.verdict("x@wrong.example").kind is Kind.DEFER
    name_server.answer = name_server.truth
    assert asking.verdict("elsewhere@example.org").is_accepted is not is_down


def test_through_the_server(name_server: NameServer, tmp_path: Path) -> None:
    settings = {
        "lmtp_workers": 1,
        "lmtp_recipient_hooks": "dns;maildirs",
        "lmtp_verify_negative_ttl": 0,
        **Zone(name_server, **OURS).settings,
    }
    with Server(tmp_path, **settings) as server, Client.tcp(server.port) as client:
        server.mailbox("alice@example.org")
        server.mailbox("alice@stranger.example")

        def rcpt(address: str) -> int:
            return client.command(f"RCPT TO:<{address}>").code

        client.send(b"LHLO client.example\r\nMAIL FROM:<>\r\n")
        assert [reply.code for reply in client.replies(3)] == [220, 250, 250]
        assert [rcpt("alice@example.org"), rcpt("alice@stranger.example")] == [250, 550]
        name_server.answer = fails
        assert rcpt("alice@example.org") == 451
        name_server.answer = name_server.truth
        wait_for(lambda: rcpt("alice@example.org") == 250, 20, "an acceptance")
        client.send(b"DATA\r\nSubject: x\r\n\r\n.\r\n")
        wait_for(lambda: "hook dns: " in server.log, 20, "a line in the log")
