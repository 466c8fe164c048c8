"""Certificates: which is shown to whom, what is said of them, and what becomes of edits."""

from __future__ import annotations

import contextlib
import shutil
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from lmtpd.config import Config, ConfigError
from lmtpd.protocol.envelope import ClientCertificate
from lmtpd.server.certificate import Certificate as Facts
from lmtpd.server.client_list import ClientList
from lmtpd.server.tls import Certificates, News, certificates_for
from tests.support.certificates import Certificate, make_certificate


def folder(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made


def config(*certificates: Certificate, **settings: Any) -> Config:
    return Config(
        lmtp_cert_path=tuple(one.cert_path for one in certificates),
        lmtp_key_path=tuple(one.key_path for one in certificates),
        **settings,
    )


def shown(certificates: Certificates, name: str | None) -> bytes:
    """What a client that asks for a name sees, in a real handshake without a socket."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname=name)
    server = certificates.context.wrap_bio(to_server, to_client, server_side=True)
    for end in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    der = client.getpeercert(binary_form=True)
    assert der is not None
    return der


class TestNames:
    @pytest.fixture
    def pairs(self, tmp_path: Path) -> tuple[Certificate, Certificate, Certificate]:
        return (
            make_certificate(folder(tmp_path, "a"), ["a.example.org"]),
            make_certificate(folder(tmp_path, "b"), ["B.example.org", "a.example.org"]),
            make_certificate(folder(tmp_path, "c"), ["*.example.org"]),
        )

    @pytest.mark.parametrize(
        ("name", "which"),
        [
            (None, 0),
            ("unknown.example", 0),
            ("a.example.org", 0),
            ("b.example.org", 1),
            ("B.EXAMPLE.ORG", 1),
            ("c.example.org", 2),
            ("deep.c.example.org", 0),
            ("example.org", 0),
            ("*.example.org", 2),
            ("127.0.0.1", 0),
        ],
    )
    def test_which_is_shown(
        self,
        name: str | None,
        which: int,
        pairs: tuple[Certificate, Certificate, Certificate],
    ) -> None:
        assert shown(Certificates(config(*pairs)), name) == pairs[which].der

    def test_the_common_name_counts_where_there_is_no_alternative(self, tmp_path: Path) -> None:
        first = make_certificate(folder(tmp_path, "a"))
        old = make_certificate(folder(tmp_path, "b"), [], common_name="old.example.org")
        assert shown(Certificates(config(first, old)), "old.example.org") == old.der


class TestWarnings:
    def said(self, paths: Certificate) -> str:
        return "\n".join(Certificates(config(paths)).warnings())

    def test_none(self, tmp_path: Path) -> None:
        assert self.said(make_certificate(tmp_path, ends=15)) == ""

    @pytest.mark.parametrize(
        ("days", "text"),
        [
            ((-9, -1), "has expired on "),
            ((-9, 13.9), "expires on "),
            ((1, 30), "is not valid before "),
        ],
    )
    def test_time(self, days: tuple[float, float], text: str, tmp_path: Path) -> None:
        paths = make_certificate(tmp_path, begins=days[0], ends=days[1])
        assert f"lmtp-cert-path {paths.cert_path}: {text}" in self.said(paths)

    def test_the_date_is_said(self, tmp_path: Path) -> None:
        ends = datetime.now(UTC) + timedelta(days=2)
        assert f"{ends:%Y-%m-%d}" in self.said(make_certificate(tmp_path))

    def test_a_name_that_clients_do_not_look_at(self, tmp_path: Path) -> None:
        assert "has no subjectAltName" in self.said(make_certificate(tmp_path, [], ends=15))

    def test_a_key_that_is_too_short(self, tmp_path: Path) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
        paths = make_certificate(tmp_path, key=key)
        assert any("1024 bits" in one for one in Facts.read(paths.cert_path).flaws)

    def test_a_chain_in_disorder(self, tmp_path: Path) -> None:
        authority = make_certificate(folder(tmp_path, "ca"), common_name="The Authority")
        paths = make_certificate(tmp_path, authority=authority, ends=15)
        assert self.said(paths) == ""
        other = make_certificate(folder(tmp_path, "other"), common_name="Another")
        first = paths.cert_path.read_text().partition("-----END CERTIFICATE-----\n")
        paths.cert_path.write_text("".join(first[:2]) + other.cert_path.read_text())
        assert "number 2 did not sign number 1" in self.said(paths)


class Edited:
    """A pair that is edited, and what was said of it."""

    def __init__(self, paths: Certificate, *others: Certificate, **settings: Any) -> None:
        self.paths = paths
        self.certificates = Certificates(config(paths, *others, **settings))
        self.news: News = []

    def look(self, times: int = 2) -> list[str]:
        before = len(self.news)
        for _ in range(times):
            self.news += self.certificates.refresh(lambda function: function())
        return [event for event, _ in self.news[before:]]

    @property
    def shown(self) -> bytes:
        return shown(self.certificates, None)


class TestEdits:
    @pytest.fixture
    def edited(self, tmp_path: Path) -> Edited:
        return Edited(make_certificate(tmp_path))

    def test_nothing_happens_while_nothing_changes(self, edited: Edited) -> None:
        context = edited.certificates.context
        assert edited.look(5) == []
        assert edited.certificates.context is context

    def test_a_new_pair_is_taken_once_it_rests(self, edited: Edited, tmp_path: Path) -> None:
        new = make_certificate(tmp_path, ["new.example.org"])
        assert edited.look(1) == []
        assert edited.shown != new.der
        assert edited.look(2) == ["certificate-loaded"]
        assert edited.shown == new.der
        assert edited.news[0][1]["names"] == "new.example.org"
        assert edited.look(5) == []

    def test_certificate_first_and_the_key_later(self, edited: Edited, tmp_path: Path) -> None:
        old, new = edited.shown, make_certificate(folder(tmp_path, "new"))
        shutil.copy(new.cert_path, edited.paths.cert_path)
        assert edited.look(9) == ["certificate-refused"]
        assert str(edited.paths.key_path) in str(edited.news[0][1]["cause"])
        assert edited.shown == old
        shutil.copy(new.key_path, edited.paths.key_path)
        assert edited.look() == ["certificate-loaded"]
        assert edited.shown == new.der

    @pytest.mark.parametrize("content", [None, b"", b"nonsense", b"\0\xff" * 99])
    def test_what_is_no_certificate_keeps_the_old_one(
        self, content: bytes | None, edited: Edited
    ) -> None:
        old, path = edited.shown, edited.paths.cert_path
        text = path.read_bytes()
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        assert edited.look(5) == ["certificate-refused"]
        assert edited.shown == old
        path.write_bytes(text)
        assert edited.look() == ["certificate-loaded"]
        path.unlink()
        assert edited.look() == ["certificate-refused"]

    def test_one_that_is_broken_does_not_keep_another_from_its_renewal(
        self, tmp_path: Path
    ) -> None:
        first, second = (make_certificate(folder(tmp_path, name)) for name in "ab")
        edited = Edited(first, make_certificate(second.cert_path.parent, ["b.example"]))
        first.key_path.write_text("gone")
        second = make_certificate(second.cert_path.parent, ["c.example"])
        assert edited.look() == ["certificate-refused", "certificate-loaded"]
        assert shown(edited.certificates, "c.example") == second.der
        assert shown(edited.certificates, "b.example") == first.der

    def test_the_authorities_are_read_again(self, tmp_path: Path) -> None:
        authority = make_certificate(folder(tmp_path, "ca"))
        settings = {"lmtp_ca_path": authority.cert_path, "lmtp_client_certificate": "required"}
        edited = Edited(make_certificate(tmp_path), **settings)
        make_certificate(authority.cert_path.parent, common_name="The Next")
        assert edited.look() == ["certificate-loaded"]
        [known] = edited.certificates.context.get_ca_certs()
        assert "The Next" in str(known["subject"])


def test_no_certificate_no_tls() -> None:
    assert certificates_for(Config()) is None


def test_one_file_for_chain_and_key(tmp_path: Path) -> None:
    paths = make_certificate(tmp_path)
    paths.key_path.write_bytes(paths.key_path.read_bytes() + paths.cert_path.read_bytes())
    both = Certificate(paths.key_path, paths.key_path)
    assert shown(Certificates(config(both)), None) == paths.der


def faults(settings: Config) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        Certificates(settings)
    return caught.value.faults


class TestFaults:
    def test_every_pair_is_named(self, tmp_path: Path) -> None:
        paths = [make_certificate(folder(tmp_path, name)) for name in "abc"]
        crossed = [replace(paths[0], key_path=paths[1].key_path), paths[1]]
        crossed += [replace(paths[2], key_path=paths[0].key_path)]
        found = faults(config(*crossed))
        assert [str(paths[0].cert_path) in one for one in found] == [True, False]
        assert [str(paths[2].cert_path) in one for one in found] == [False, True]

    def test_an_encrypted_key_is_not_asked_a_pass_phrase_for(self, tmp_path: Path) -> None:
        paths = make_certificate(tmp_path)
        secret = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
        paths.key_path.write_bytes(secret)
        assert "without a pass phrase" in faults(config(paths))[0]

    @pytest.mark.parametrize("ciphers", ["nonsense", "RC4-MD5", "", "aNULL:@SECLEVEL=0", "eNULL"])
    def test_ciphers(self, ciphers: str, tmp_path: Path) -> None:
        paths = [make_certificate(folder(tmp_path, name)) for name in "ab"]
        [fault] = faults(config(*paths, lmtp_tls_ciphers=ciphers))
        assert fault.startswith("lmtp-tls-ciphers: ")

    @pytest.mark.parametrize("content", [None, b"", b"nonsense"])
    def test_authorities(self, content: bytes | None, tmp_path: Path) -> None:
        path = tmp_path / "ca.crt"
        if content is not None:
            path.write_bytes(content)
        settings = {"lmtp_ca_path": path, "lmtp_client_certificate": "optional"}
        [fault] = faults(config(make_certificate(tmp_path), **settings))
        assert fault.startswith(f"lmtp-ca-path: {path} cannot be used: ")


class TestProfile:
    @pytest.fixture
    def paths(self, tmp_path: Path) -> Certificate:
        return make_certificate(tmp_path)

    def test_default(self, paths: Certificate) -> None:
        context = Certificates(config(paths)).context
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.options & ssl.OP_NO_COMPRESSION
        assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
        ciphers = [one for one in context.get_ciphers() if one["protocol"] == "TLSv1.2"]
        assert {one["kea"] for one in ciphers} == {"kx-ecdhe"}
        assert all(one["aead"] for one in ciphers)
        assert len(ciphers) == 6

    def test_versions(self, paths: Certificate) -> None:
        versions = {"lmtp_tls_min_version": "1.3", "lmtp_tls_max_version": "1.3"}
        context = Certificates(config(paths, **versions)).context
        assert context.minimum_version is context.maximum_version is ssl.TLSVersion.TLSv1_3


DER = b"what was shown"
SUBJECT = ((("organizationName", "o.example"),), (("commonName", "CN.example"),))
ALTERNATIVES = (("DNS", "MX.example"), ("email", "mta@example.org"), ("URI", "uri.example"))


@pytest.mark.parametrize(
    ("names", "fields", "is_listed"),
    [
        ((), {"subject": SUBJECT}, True),
        (("cn.example",), {"subject": SUBJECT}, True),
        (("o.example",), {"subject": SUBJECT}, False),
        (("cn.example",), {"subject": SUBJECT, "subjectAltName": ALTERNATIVES}, False),
        (("cn.example",), {"subject": SUBJECT, "subjectAltName": ()}, False),
        (("mx.example",), {"subjectAltName": ALTERNATIVES}, True),
        (("mta@example.org",), {"subjectAltName": ALTERNATIVES}, True),
        (("uri.example",), {"subjectAltName": ALTERNATIVES}, False),
        (("mx.example",), {"subjectAltName": (("DNS", "*.example"),)}, False),
        (("mx.example",), {}, False),
    ],
)
def test_names_of_clients(
    names: tuple[str, ...], fields: dict[str, object], is_listed: bool
) -> None:
    assert ClientList(frozenset(names), frozenset()).judge(DER, fields).is_listed is is_listed


def test_fingerprints_of_clients(certificate: Certificate) -> None:
    der, its = certificate.der, certificate.fingerprint
    known = ClientList(frozenset({"other.example"}), frozenset({its}))
    assert known.judge(der, {}) == ClientCertificate("", its, is_listed=True)
    assert str(known.judge(der, {})) == its
    assert not known.judge(DER, {}).is_listed
    assert str(known.judge(der, {"subject": SUBJECT})) == "CN.example"
