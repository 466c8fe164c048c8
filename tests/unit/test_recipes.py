"""The lines for each MTA follow the configuration; tests/mta/ shows that they work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lmtpd import recipes
from lmtpd.settings import Config

CONFIG = Config(lmtp_default_domain="example.org", lmtp_bind_addr="192.0.2.1", lmtp_port=2424)
SOCKET = Config(lmtp_default_domain="example.org", lmtp_socket_path=Path("/run/{x}/lmtp"))
SECURED = Config(lmtp_cert_path=(Path("crt"),), lmtp_key_path=(Path("key"),))
CLIENTS = replace(SECURED, lmtp_client_certificate="required")
TLS_ONLY = Config(lmtp_cert_path=(Path("crt"),), lmtp_key_path=(Path("key"),), lmtp_tls_only=True)


@pytest.mark.parametrize("mta", recipes.RECIPES)
def test_domain_and_place_are_filled_in(mta: str) -> None:
    text = recipes.lines(mta, CONFIG)
    for word in "example.org", "192.0.2.1", "2424":
        assert word in text
    for word in "[tcp]", "[unix]", "[tls]", "[implicit]", "[client]", "None":
        assert word not in text


@pytest.mark.parametrize("mta", ["postfix", "opensmtpd", "sendmail", "qmail"])
def test_a_socket_is_used_where_there_is_one(mta: str) -> None:
    text = recipes.lines(mta, SOCKET)
    assert "/run/{x}/lmtp" in text
    assert "11200" not in text


def test_exim_verifies_over_tcp_only() -> None:
    assert "port = 11200" in recipes.lines("exim", SOCKET)


def test_every_interface_is_reached_by_loopback() -> None:
    text = recipes.lines("postfix", Config(lmtp_bind_addr="0.0.0.0"))
    assert "lmtp:[127.0.0.1]:11200" in text


@pytest.mark.parametrize(
    ("mta", "line"),
    [
        ("postfix", "lmtp_tls_security_level = encrypt"),
        ("exim", "  hosts_require_tls = *"),
        ("sendmail", "LOCAL_TLS_SERVER"),
    ],
)
def test_a_certificate_makes_tls_a_demand(mta: str, line: str) -> None:
    assert line in recipes.lines(mta, SECURED).splitlines()
    assert line not in recipes.lines(mta, CONFIG).splitlines()


def test_the_bridge_does_the_tls_that_is_configured() -> None:
    assert "--tls" not in recipes.lines("qmail", CONFIG)
    assert recipes.lines("qmail", SECURED).endswith(" --to 127.0.0.1:11200 --tls encrypt\n")
    assert recipes.lines("qmail", TLS_ONLY).endswith(" --to 127.0.0.1:11200 --tls implicit\n")


def test_postfix_can_begin_with_tls() -> None:
    assert "lmtp_tls_wrappermode = yes" in recipes.lines("postfix", TLS_ONLY)
    assert "lmtp_tls_wrappermode" not in recipes.lines("postfix", SECURED)


@pytest.mark.parametrize("mta", ["exim", "opensmtpd", "sendmail"])
def test_the_others_cannot(mta: str) -> None:
    with pytest.raises(recipes.RecipeError, match="lmtp-tls-only"):
        recipes.lines(mta, TLS_ONLY)


@pytest.mark.parametrize(
    ("mta", "line"),
    [
        ("postfix", "lmtp_tls_cert_file = /etc/postfix/client.crt"),
        ("exim", "  tls_certificate = /etc/exim4/client.crt"),
        ("sendmail", "define(`confCLIENT_CERT', `/etc/mail/client.crt')"),
    ],
)
def test_a_certificate_is_shown_where_one_is_required(mta: str, line: str) -> None:
    assert line in recipes.lines(mta, CLIENTS).splitlines()
    assert line not in recipes.lines(mta, SECURED).splitlines()


@pytest.mark.parametrize("mta", ["opensmtpd", "qmail"])
def test_who_can_show_none_cannot_be_asked_for_one(mta: str) -> None:
    with pytest.raises(recipes.RecipeError, match="lmtp-client-certificate = none"):
        recipes.lines(mta, CLIENTS)


def test_nobody_is_asked_for_one_on_a_unix_socket() -> None:
    inside = replace(CLIENTS, lmtp_socket_path=Path("/run/lmtp"))
    assert "/run/lmtp" in recipes.lines("opensmtpd", inside)


def test_an_address_of_ipv6_is_not_guessed_at() -> None:
    with pytest.raises(recipes.RecipeError, match="lmtp-bind-addr"):
        recipes.lines("postfix", Config(lmtp_bind_addr="::1"))


def test_an_mta_needs_a_place_to_go_to() -> None:
    unix = Config(lmtp_bind_addr="", lmtp_socket_path=Path("/run/lmtp"))
    assert "lmtp:unix:/run/lmtp" in recipes.lines("postfix", unix)
    with pytest.raises(recipes.RecipeError, match="exim comes over TCP: set lmtp-bind-addr"):
        recipes.lines("exim", unix)
