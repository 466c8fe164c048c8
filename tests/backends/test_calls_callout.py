"""The hook `callout`, and servers that say what real ones seldom do."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest

from lmtpd.config import ConfigError
from lmtpd.recipients.verdict import Kind
from tests.support.backend_contract import ALICE, Asking
from tests.support.certificates import Certificate
from tests.support.gate import Gate, Mode
from tests.support.other_servers import OtherPostfix, OtherServer, believing
from tests.support.peer import all_of, converse, hear, secured, server
from tests.support.processes import LOOPBACK
from tests.support.server import Server

GREETED = [b"220 server.example\r\n", b"250 server.example\r\n"]
SAYS = {
    b"252 2.1.5 perhaps\r\n": Kind.ACCEPT,
    b"550 no\r\n": Kind.UNKNOWN,
    b"551 5.1.6 moved\r\n": Kind.UNKNOWN,
    b"553 5.1.3 no\r\n": Kind.UNKNOWN,
    b"550 5.7.1 never\r\n": Kind.REJECT,
    b"452 4.2.2 full\r\n": Kind.FULL,
    b"552 5.2.2 full\r\n": Kind.FULL,
    b"450 4.1.1 wait\r\n": Kind.DEFER,
}
FAULTS = [
    [b"554 no\r\n"],
    [b"220 x\r\n", b"550 no\r\n"],
    [*GREETED, b"450 no\r\n"],
    [*GREETED, b"250 ok\r\n", b"554 5.7.1 relay access denied\r\n", b"250 ok\r\n"],
    [*GREETED, b"250 ok\r\n", b"451 4.3.0 down\r\n", b"250 ok\r\n"],
    [*GREETED, b"250 ok\r\n", b"421 4.3.2 bye\r\n"],
    [*GREETED, b"250 ok\r\n", b"250 ok\r\n250 ok\r\n"],
    [*GREETED, b"250 ok\r\n", b"250 ok\r\n", b"500 what\r\n"],
    [*GREETED, b"nonsense\r\n"],
    [*GREETED, b"250 " + b"x" * 70000],
    [*GREETED],
]


def start_tls(peer: socket.socket, certificate: Certificate) -> ssl.SSLSocket:
    """The server's words up to the handshake."""
    converse(peer, GREETED[0], b"250-server.example\r\n250 STARTTLS\r\n")
    peer.sendall(b"220 go on\r\n")
    return secured(peer, certificate)


def asked(tmp_path: Path, says: Sequence[bytes], address: str = ALICE, **more: str) -> Kind:
    """What the hook makes of a server that says this, and hangs up."""

    def serve(peer: socket.socket) -> None:
        for word in says[:-1]:
            peer.sendall(word)
            hear(peer, b"\r\n")
        peer.sendall(says[-1])

    with server(serve) as target:
        settings = {"lmtp_callout_server": str(target), **more}
        return Asking(tmp_path, OtherServer(tmp_path), **settings).verdict(address).kind


@pytest.mark.parametrize("reply", SAYS)
def test_what_the_reply_to_rcpt_means(reply: bytes, tmp_path: Path) -> None:
    assert asked(tmp_path, [*GREETED, b"250 ok\r\n", reply, b"250 ok\r\n"]) is SAYS[reply]


@pytest.mark.parametrize("says", FAULTS)
def test_what_says_nothing_about_the_address_is_a_fault(says: list[bytes], tmp_path: Path) -> None:
    assert asked(tmp_path, says) is Kind.DEFER


@pytest.mark.parametrize("kind", [OtherServer, OtherPostfix])
@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.HALVE, Mode.GARBLE])
def test_what_befalls_a_real_server_is_a_fault(
    mode: Mode, kind: type[OtherServer | OtherPostfix], tmp_path: Path
) -> None:
    """It is slow, dies half-way, or others answer in its place; and then it is back."""
    back_end = kind(tmp_path)
    back_end.start()
    try:
        port = int(str(back_end.settings["lmtp_callout_server"]).partition(":")[2])
        with Gate(port) as gate:
            way = {"lmtp_callout_server": f"{LOOPBACK}:{gate.port}", "lmtp_hook_timeout": 3}
            asking = Asking(tmp_path, back_end, **way)
            assert asking.verdict(ALICE).is_accepted
            gate.set(mode)
            for address in ALICE, "nobody@example.org":
                verdict = asking.verdict(address)
                assert verdict.kind is Kind.DEFER
                assert "hook callout: " in verdict.reason
            gate.set(Mode.PASS)
            gate.cut()
            assert asking.verdict(ALICE).is_accepted
            assert asking.verdict("nobody@example.org").kind is Kind.UNKNOWN
    finally:
        back_end.stop()


@pytest.mark.parametrize(
    ("reply", "is_down"),
    [(b"554 5.7.1 relay access denied\r\n", False), (b"451 4.3.0 down\r\n", True)],
)
def test_a_refusal_without_a_sense_concerns_one_address(
    reply: bytes, is_down: bool, tmp_path: Path
) -> None:
    def serve(peer: socket.socket) -> None:
        converse(peer, *GREETED, b"250 ok\r\n", reply, b"250 ok\r\n")
        if not is_down:
            converse(peer, *[b"250 ok\r\n"] * 2)
            peer.sendall(b"250 ok\r\n")

    with server(serve) as target:
        settings = {"lmtp_callout_server": str(target), "lmtp_hook_faults": 1}
        asking = Asking(tmp_path, OtherServer(tmp_path), **settings)
        assert asking.verdict("nobody@example.org").kind is Kind.DEFER
        assert asking.verdict(ALICE).is_accepted is not is_down
    assert ("hook-down" in "".join(asking.lines)) is is_down


def test_a_server_that_is_older_than_ehlo(tmp_path: Path) -> None:
    says = [b"220 x\r\n", b"502 what\r\n", *[b"250 ok\r\n"] * 4]
    assert asked(tmp_path, says, lmtp_callout_protocol="smtp") is Kind.ACCEPT


def test_one_that_cannot_read_the_address_is_not_asked(tmp_path: Path) -> None:
    assert asked(tmp_path, GREETED, "jürgen@example.org") is Kind.UNKNOWN


def test_a_reply_out_of_turn_is_nobodys(tmp_path: Path) -> None:
    """Every reply would come one question too early, and an unknown address be accepted."""

    def serve(peer: socket.socket) -> None:
        for word in [*GREETED, *[b"250 ok\r\n"] * 2]:
            peer.sendall(word)
            hear(peer, b"\r\n")
        peer.sendall(b"250 ok\r\n250 ok\r\n")
        assert all_of(peer) == b""

    with server(serve) as target:
        settings = {"lmtp_callout_server": str(target), "lmtp_hook_timeout": 2}
        asking = Asking(tmp_path, OtherServer(tmp_path), **settings)
        asking.verdict(ALICE)
        assert asking.verdict("nobody@example.org").kind is Kind.DEFER


@pytest.mark.parametrize(
    ("host", "settings", "reason"),
    [
        ("127.0.0.1", {"lmtp_callout_ca_file": "none"}, "certificate verify failed"),
        ("127.0.0.2", {}, "certificate is not valid for '127.0.0.2'"),
        ("localhost", {}, ""),
    ],
)
def test_a_server_must_show_who_it_is(
    host: str, settings: dict[str, object], reason: str, tmp_path: Path, certificate: Certificate
) -> None:
    def serve(peer: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError), start_tls(peer, certificate) as secure:
            hear(secure, b"\r\n")
            converse(secure, b"250 server.example\r\n", *[b"250 ok\r\n"] * 2)
            secure.sendall(b"250 ok\r\n")

    bound = socket.create_server(("127.0.0.2" if host == "127.0.0.2" else LOOPBACK, 0))
    with server(serve, bound) as target:
        given = {**believing(certificate), **settings}
        given["lmtp_callout_server"] = f"{host}:{target.port}"
        verdict = Asking(tmp_path, OtherServer(tmp_path), **given).verdict(ALICE)
    assert verdict.is_accepted is not bool(reason)
    assert reason in verdict.reason


def test_a_server_without_starttls_is_not_asked(tmp_path: Path, certificate: Certificate) -> None:
    settings = {key: str(value) for key, value in believing(certificate).items()}
    with pytest.raises(ConnectionError):
        asked(tmp_path, [*GREETED, b"250 ok\r\n"], **settings)


def test_certificates_that_cannot_be_read_stop_the_start(tmp_path: Path) -> None:
    settings = {"lmtp_callout_starttls": "true", "lmtp_callout_ca_file": __file__}
    with pytest.raises(ConfigError, match="hook callout: SSLError"):
        Asking(tmp_path, OtherServer(tmp_path), **settings)


def test_a_connection_ends_before_the_server_loses_its_patience(tmp_path: Path) -> None:
    with Server(tmp_path / "behind", lmtp_workers=1) as behind:
        behind.mailbox(ALICE)
        settings = {"lmtp_callout_server": f"127.0.0.1:{behind.port}"}
        asking = Asking(tmp_path, OtherServer(tmp_path), **settings)
        kinds = [asking.verdict(f"x{number}@example.org").kind for number in range(30)]
        assert kinds == [Kind.UNKNOWN] * 30
        assert {asking.verdict(ALICE).kind for _ in range(120)} == {Kind.ACCEPT}
