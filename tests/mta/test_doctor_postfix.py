"""`lmtpd.py doctor` beside a real Postfix whose main.cf is right, and then wrong in each way."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.components import require, require_root
from tests.support.doctor import Diagnosis, doctor
from tests.support.mta import ALICE
from tests.support.name_server import NameServer, serving
from tests.support.postfix import Postfix
from tests.support.processes import free_port
from tests.support.server import Server


class Site:
    """lmtpd and Postfix in front."""

    def __init__(self, server: Server, postfix: Postfix) -> None:
        self.server = server
        self.postfix = postfix
        self.to = f"lmtp:[127.0.0.1]:{server.port}"

    def asked(self, *settings: object, **parameters: object) -> Diagnosis:
        """What doctor says when these parameters of main.cf are otherwise."""
        self.postfix.set(**parameters)
        here = ("--lmtp-port", self.server.port, "--lmtp-maildir-root", self.server.root)
        return doctor(*here, *settings, config=self.postfix.folder)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    require("postfix")
    require_root("Postfix starts as root only")
    with Server(tmp_path_factory.mktemp("lmtpd")) as server, Postfix(server.port) as postfix:
        server.mailbox(ALICE)
        yield Site(server, postfix)  # type: ignore[arg-type]


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    """As it was."""
    main = running.postfix.folder / "main.cf"
    before = main.read_bytes()
    yield running
    main.write_bytes(before)


def test_the_lines_of_the_page_are_right(site: Site) -> None:
    found = site.asked(message_size_limit=10_000_000)
    here = found.the("postfix", "ok", "example.org (virtual_mailbox_domains) goes to ")
    assert f"{site.to} (virtual_transport), which is here" in here.text
    assert found.levels("postfix") == ["ok", "note"]
    found.the("postfix", "note", "stays so for 3h")
    assert found.code == 0


@pytest.mark.parametrize(
    "transport",
    ["lmtp:127.0.0.1:{port}", "lmtp:inet:127.0.0.1:{port}", "lmtp:inet:[127.0.0.1]:{port}"],
)
def test_other_spellings_of_the_same(site: Site, transport: str) -> None:
    found = site.asked(virtual_transport=transport.format(port=site.server.port))
    found.the("postfix", "ok", "which is here")


@pytest.mark.parametrize(
    ("transport", "words"),
    [
        ("virtual", "virtual is nothing in master.cf"),
        ("discard", "discard is discard in master.cf, and no lmtp"),
        ("lmtp:[127.0.0.1]:1", "is not where lmtpd listens (127.0.0.1:"),
        ("lmtp:unix:/run/dovecot/lmtp", "is not where lmtpd listens"),
        ("lmtp:[192.0.2.7]", "is not where lmtpd listens"),
        ("lmtp:[", "is not where lmtpd listens"),
    ],
)
def test_mail_that_goes_elsewhere(site: Site, transport: str, words: str) -> None:
    found = site.asked(virtual_transport=transport)
    wrong = found.the("postfix", "fail", words)
    assert wrong.remedy == f"postconf -e 'virtual_transport = {site.to}' && postfix reload"
    assert found.code == 78


def test_a_domain_that_postfix_does_not_take(site: Site) -> None:
    found = site.asked(virtual_mailbox_domains="example.net")
    taken = found.the("postfix", "warn", "Postfix takes no mail for example.org")
    assert taken.remedy.startswith("postconf -e 'virtual_mailbox_domains = example.org' 'virtual_")


def test_domains_in_files_and_tables(site: Site, tmp_path: Path) -> None:
    domains = tmp_path / "domains"
    domains.write_text("example.net\nexample.org\n")
    site.asked(virtual_mailbox_domains=domains).the("postfix", "ok", "which is here")
    site.asked(virtual_mailbox_domains="inline:{example.org=x}").the("postfix", "ok", "is here")
    refused = site.asked(virtual_mailbox_domains="!example.org, example.org")
    refused.the("postfix", "warn", "takes no mail for example.org")
    aliases = site.asked(virtual_alias_domains="example.org")
    aliases.the("postfix", "note", "example.org has aliases only")


def test_a_list_that_cannot_be_read_is_told_and_all_else_looked_at(site: Site) -> None:
    found = site.asked(virtual_mailbox_domains="/nonexistent/domains")
    found.the("postfix", "fail", "could not be looked at: FileNotFoundError")
    assert found.levels("hooks") == ["ok", "note"]


def test_other_classes_of_addresses(site: Site) -> None:
    no_virtual = {"virtual_mailbox_domains": "", "smtpd_recipient_restrictions": ""}
    found = site.asked(**no_virtual, mydestination="example.org", local_transport=site.to)
    found.the("postfix", "ok", f"(mydestination) goes to {site.to} (local_transport)")
    found.the("postfix", "warn", "whoever does not exist is accepted")
    found = site.asked(local_transport="local:$myhostname", mailbox_transport=site.to)
    found.the("postfix", "ok", "(mailbox_transport), which is here")
    found = site.asked(mydestination="", relay_domains="example.org", relay_transport=site.to)
    found.the("postfix", "ok", "(relay_domains) goes to")


def test_transport_maps_go_first(site: Site) -> None:
    found = site.asked(transport_maps="inline:{example.org=discard:}")
    found.the("postfix", "fail", "(transport_maps): discard:: discard is discard in master.cf")
    found = site.asked(transport_maps="inline:{ { example.org = " + site.to + " } }")
    found.the("postfix", "ok", "(transport_maps), which is here")


def test_an_address_that_is_not_trusted(site: Site) -> None:
    found = site.asked("--lmtp-trusted-ips", "10.0.0.1")
    wrong = found.the("postfix", "fail", "Postfix comes from 127.0.0.1, which is not trusted")
    assert wrong.remedy == "add 127.0.0.1 to lmtp-trusted-ips"
    found = site.asked("--lmtp-trusted-ips", "10.0.0.1", lmtp_bind_address="10.0.0.1")
    found.the("postfix", "ok", "which is here")
    found = site.asked(lmtp_bind_address="", inet_interfaces="10.0.0.2")
    found.the("postfix", "fail", "Postfix comes from 10.0.0.2, which is not trusted (loopback")


def test_an_address_that_is_trusted_by_name(site: Site) -> None:
    with serving(NameServer({("mx1.example.org.", "A"): ["127.0.0.1"]})) as names:
        resolver = ("--lmtp-dns-server", f"127.0.0.1:{names.address[1]}")
        found = site.asked("--lmtp-trusted-ips", "mx1.example.org", *resolver)
        found.the("postfix", "ok", "which is here")
        found = site.asked("--lmtp-trusted-ips", "mx2.example.org", *resolver)
        found.the("postfix", "fail", "Postfix comes from 127.0.0.1, which is not trusted")
    found = site.asked("--lmtp-trusted-ips", "mx1.example.org", *resolver)
    found.the("postfix", "warn", "a name in lmtp-trusted-ips cannot be resolved")


def test_what_is_asked_of_recipients(site: Site) -> None:
    found = site.asked(unverified_recipient_reject_code=450)
    found.the("postfix", "warn", "unknown recipients hear 450")
    found = site.asked(smtpd_recipient_restrictions="")
    wrong = found.the("postfix", "warn", "whoever does not exist is accepted, and bounced")
    assert "reject_unverified_recipient" in wrong.remedy
    found = site.asked(virtual_mailbox_maps="static:all")
    assert "warn" not in [one.level for one in found.findings if "bounced" in one.text]


def test_what_is_needless_or_too_much(site: Site) -> None:
    found = site.asked(
        lmtp_destination_recipient_limit=1,
        lmtp_send_xforward_command="no",
        message_size_limit=100_000_000,
        address_verify_negative_refresh_time="5m",
    )
    found.the("postfix", "note", "lmtp_destination_recipient_limit = 1")
    found.the("postfix", "note", "our log does not learn")
    found.the("postfix", "warn", "message_size_limit = 100000000")
    assert len(found.levels("postfix")) == 4


def test_tls_that_does_not_fit(site: Site) -> None:
    found = site.asked(lmtp_tls_security_level="encrypt")
    found.the("postfix", "fail", "and lmtpd has no certificate: mail waits")
    found = site.asked(lmtp_tls_security_level="may", lmtp_tls_wrappermode="yes")
    found.the("postfix", "fail", "lmtp-tls-only is false")


def test_a_unix_socket(site: Site, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "lmtp"
        socket = ("--lmtp-socket-path", path)
        there = ("--lmtp-maildir-root", site.server.root)
        settings: dict[str, object] = {"lmtp_socket_path": path, "lmtp_port": free_port()}
        with Server(tmp_path, **settings) as server:
            here = (*socket, *there, "--lmtp-port", server.port)
            found = site.asked(*here, virtual_transport=f"lmtp:unix:{path}")
            closed = found.the("postfix", "fail", f"postfix may not write to {path}")
            assert closed.remedy.startswith("set lmtp-socket-group = postfix")
            path.chmod(0o666)
            found = site.asked(*here)
            found.the("postfix", "ok", f"goes to lmtp:unix:{path}")
            found = site.asked(*here, "--lmtp-trusted-users", "root")
            found.the("postfix", "fail", "lmtp-trusted-users does not hold postfix")
