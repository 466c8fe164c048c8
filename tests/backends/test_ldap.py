"""What is the directory's own: TLS, binding, the place and the kind of entries."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from ldap3.core.exceptions import LDAPBusyResult, LDAPUnavailableResult

from lmtpd.config import ConfigError
from lmtpd.protocol.envelope import Peer
from lmtpd.recipients.verdict import AnswerError, RcptContext, RecipientVerifier, Verdict
from tests.backends.conftest import built, hang_up, ldap_settings
from tests.support.certificates import Certificate, make_certificate
from tests.support.peer import secured, server
from tests.support.population import ALICE, ANSWERS, address
from tests.support.processes import LOOPBACK
from tests.support.slapd import BASE, Slapd


def ask(hook: RecipientVerifier, mailbox: str) -> Verdict | None:
    return hook.verify(address(mailbox), RcptContext(Peer("")))


def answer(peer: socket.socket, operation: int, code: int) -> None:
    """Hear a question, and answer it with a result code."""
    question = peer.recv(65536)
    start = 2 if question[1] < 0x80 else 2 + question[1] % 0x80
    number = question[start : start + 2 + question[start + 1]]
    body = number + bytes([operation, 7, 10, 1, code, 4, 0, 4, 0])
    peer.sendall(bytes([0x30, len(body)]) + body)


Build = Callable[..., RecipientVerifier]


@pytest.fixture
def build(slapd: Slapd, tmp_path: Path, password_file: Path) -> Build:
    """A hook in clear text, unless the settings say otherwise."""

    def build(**settings: object) -> RecipientVerifier:
        usual = ldap_settings(f"ldap://{LOOPBACK}:{slapd.port}", password_file)
        return built(tmp_path, "ldap", **{**usual, **settings})

    return build


@pytest.mark.parametrize("kind", ["starttls", "ldaps", "ldapi"])
def test_other_ways_there(kind: str, build: Build, slapd: Slapd, certificate: Certificate) -> None:
    settings: dict[str, object] = {"lmtp_ldap_ca_file": certificate.cert_path}
    if kind == "starttls":
        settings["lmtp_ldap_starttls"] = True
    else:
        tls = f"ldaps://{LOOPBACK}:{slapd.tls_port}"
        settings["lmtp_ldap_url"] = tls if kind == "ldaps" else slapd.local_url
    hook = build(**settings)
    assert {one: ask(hook, one) for one in ANSWERS} == ANSWERS
    with pytest.raises(ValueError, match="65536 octets"):
        ask(hook, "long@example.org")
    hang_up(hook)


@pytest.mark.parametrize("kind", ["starttls", "ldaps"])
def test_a_certificate_that_is_not_trusted(
    kind: str, build: Build, slapd: Slapd, tmp_path: Path
) -> None:
    port = slapd.port if kind == "starttls" else slapd.tls_port
    hook = build(
        lmtp_ldap_url=f"{'ldap' if kind == 'starttls' else kind}://{LOOPBACK}:{port}",
        lmtp_ldap_starttls=kind == "starttls",
        lmtp_ldap_ca_file=make_certificate(tmp_path).cert_path,
    )
    with pytest.raises(Exception, match="certificate verify failed"):
        ask(hook, ALICE)


@pytest.mark.parametrize("kind", ["starttls", "ldaps"])
def test_a_certificate_of_another(kind: str, build: Build, certificate: Certificate) -> None:
    def serve(peer: socket.socket) -> None:
        if kind == "starttls":
            answer(peer, 0x78, 0)  # ExtendedResponse
        with suppress(ssl.SSLError):
            secured(peer, certificate)

    with server(serve, socket.create_server(("127.0.0.2", 0))) as target:
        hook = build(
            lmtp_ldap_url=f"{'ldap' if kind == 'starttls' else kind}://{target}",
            lmtp_ldap_starttls=kind == "starttls",
            lmtp_ldap_ca_file=certificate.cert_path,
        )
        with pytest.raises(Exception, match=r"certificate is not valid for"):
            ask(hook, ALICE)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"lmtp_ldap_bind_dn": "cn=nobody,dc=example,dc=org"}, "invalidCredentials"),
        ({"lmtp_ldap_base": "ou=nowhere,dc=example,dc=org"}, "noSuchObject"),
        ({"lmtp_ldap_base": "no dn"}, "invalidDNSyntax"),
        ({"lmtp_ldap_base": f"ou=elsewhere,{BASE}"}, "referral"),
        ({"lmtp_ldap_bind_dn": "none", "lmtp_ldap_password_file": "none"}, "noSuchObject"),
        ({"lmtp_ldap_word_attribute": "userPassword"}, "decode"),
        ({"lmtp_ldap_attributes": "userPassword"}, "decode"),
        ({"lmtp_ldap_attributes": "title"}, "not NoneType"),
    ],
)
def test_what_is_wrong_is_a_fault_and_said(
    settings: dict[str, object], fault: str, build: Build
) -> None:
    hook = build(**settings, lmtp_ldap_filter="(uid={local})")
    with pytest.raises(Exception, match=fault) as caught:
        ask(hook, "odd@example.org")
    assert "quite secret" not in str(caught.value)
    hang_up(hook)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (3, TimeoutError),  # timeLimitExceeded
        (51, LDAPBusyResult),
        (52, LDAPUnavailableResult),
        (53, AnswerError),  # unwillingToPerform
    ],
)
def test_some_results_say_that_the_server_is_down(
    code: int, kind: type[Exception], build: Build
) -> None:
    def serve(peer: socket.socket) -> None:
        answer(peer, 0x61, 0)  # BindResponse
        answer(peer, 0x65, code)  # SearchResultDone

    with server(serve) as target:
        hook = build(lmtp_ldap_url=f"ldap://{target}")
        with pytest.raises(kind):
            ask(hook, ALICE)
    hang_up(hook)


@pytest.mark.parametrize(("scope", "is_found"), [("sub", True), ("one", True), ("base", False)])
def test_scopes(scope: str, is_found: bool, build: Build) -> None:
    hook = build(lmtp_ldap_scope=scope)
    assert ask(hook, ALICE) == (Verdict.accept(ALICE) if is_found else None)
    hang_up(hook)


def test_attributes_and_parameters(build: Build) -> None:
    hook = build(
        lmtp_ldap_attributes="mail; title;uid",
        lmtp_ldap_filter="(&(uid={local})(mail={address})(mail=*@{domain}))",
        lmtp_ldap_word_attribute="none",
        lmtp_default_domain="example.net",
    )
    verdict = Verdict.accept("odd@example.org", "odd@example.net")
    assert ask(hook, "odd@example.org") == verdict
    hang_up(hook)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"lmtp_ldap_url": "http://ldap.example.org"}, "begins with http:"),
        ({"lmtp_ldap_filter": "(mail={address}"}, "filter"),
        ({"lmtp_ldap_filter": "mail={address}"}, "filter"),
        ({"lmtp_ldap_ca_file": __file__}, "SSLError"),
    ],
)
def test_settings_that_cannot_be_used(
    settings: dict[str, object], fault: str, build: Build
) -> None:
    with pytest.raises(ConfigError, match=fault):
        build(**settings)
