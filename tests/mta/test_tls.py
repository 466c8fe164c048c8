"""TLS, where the MTA's configuration demands it: STARTTLS, or from the first octet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.certificates import Certificate, make_certificate
from tests.support.messages import as_stored, put_in_front
from tests.support.mta import ALICE, HEADER, SENDER, Mta, offer
from tests.support.mtas import mtas
from tests.support.server import Server

MESSAGE = HEADER + b"under cover\r\n"


@contextmanager
def secured(folder: Path, certificate: Certificate, **settings: object) -> Iterator[Server]:
    """A server with a certificate."""
    paths = {"lmtp_cert_path": certificate.cert_path, "lmtp_key_path": certificate.key_path}
    with Server(folder, **paths, **settings) as server:
        for address in ALICE, SENDER:
            server.mailbox(address)
        yield server


def delivered(server: Server, mta: Mta) -> bytes:
    """Deliver; what stands in front of the message."""
    mta.submit([ALICE], MESSAGE)
    mta.wait_until_empty()
    [stored] = server.messages(ALICE)
    return put_in_front(stored, as_stored(MESSAGE))


@mtas("starttls")
def test_mail_comes_over_starttls(
    kind: type[Mta], tmp_path: Path, certificate: Certificate
) -> None:
    with secured(tmp_path, certificate) as server, kind(server.port, "starttls") as mta:
        assert b" with LMTPS " in delivered(server, mta)


@mtas("implicit")
def test_mail_comes_over_tls_from_the_first_octet(
    kind: type[Mta], tmp_path: Path, certificate: Certificate
) -> None:
    with (
        secured(tmp_path, certificate, lmtp_tls_only=True) as server,
        kind(server.port, "implicit") as mta,
    ):
        assert b" with LMTPS " in delivered(server, mta)


@mtas("client")
def test_mail_comes_from_who_shows_the_certificate_that_is_required(
    kind: type[Mta], tmp_path: Path, certificate: Certificate
) -> None:
    """And waits while it is not the right one; then nobody learns who exists either."""
    known, stranger = (made_in(tmp_path / name) for name in ("known", "stranger"))
    asked = {"lmtp_client_certificate": "required", "lmtp_ca_path": known.cert_path}
    with secured(tmp_path, certificate, **asked) as server:
        with kind(server.port, "client", shown=known) as mta:
            assert b" with LMTPS " in delivered(server, mta)
        assert "client_cert=localhost" in server.log
        with kind(server.port, "client", shown=stranger) as mta, mta.client() as client:
            replies = offer(client, [ALICE])
            if replies[0].code == 250:
                mta.finish(client, MESSAGE)
                mta.wait_until_deferred()
            else:
                assert 400 <= replies[0].code < 500
        assert len(server.messages(ALICE)) == 1
        assert server.messages(SENDER) == []


def made_in(folder: Path) -> Certificate:
    folder.mkdir()
    return make_certificate(folder)


@mtas("starttls")
def test_without_starttls_on_offer_mail_waits(
    kind: type[Mta], tmp_path: Path, certificate: Certificate
) -> None:
    with (
        secured(tmp_path, certificate) as server,
        kind(server.port, "starttls") as mta,
        mta.client() as client,
    ):
        mta.open(client, [ALICE])
        server.stop()
        in_clear = Server(tmp_path, lmtp_port=server.port)
        in_clear.port = server.port
        with in_clear:
            mta.finish(client, MESSAGE)
            mta.wait_until_deferred()
            assert in_clear.messages(ALICE) == []
        server.start()
        mta.drain()
        [stored] = server.messages(ALICE)
        assert b" with LMTPS " in stored
        assert server.messages(SENDER) == []
