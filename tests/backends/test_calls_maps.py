"""The hooks `socketmap` and `tcp_table` beside Postfix's own client of these protocols."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmtpd.recipients.socketmap import netstring
from lmtpd.recipients.verdict import Kind
from tests.support.back_ends import SocketmapService, TcpTableService, in_words
from tests.support.backend_contract import ALICE, TABLE, Asking
from tests.support.components import require
from tests.support.peer import hear, server
from tests.support.processes import LOOPBACK, PROGRAMS_PATH

Service = SocketmapService | TcpTableService
KEYS = [*TABLE, "nobody@example.org", "nonsense@example.org", "a b%c@example.org"]


@pytest.fixture(params=[SocketmapService, TcpTableService])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    running: Service = request.param(tmp_path)
    running.start()
    yield running
    running.stop()


def postfix_says(folder: Path, service: Service, key: str) -> str | None:
    """The value of a key; None where there is none; a fault raises."""
    postmap = shutil.which("postmap", path=PROGRAMS_PATH)
    assert postmap
    (folder / "main.cf").write_text("compatibility_level = 3.6\n")
    os.utime(folder / "main.cf", (0, 0))  # it waits until a new file rests
    kind = "tcp:{}:{}" if service.hook == "tcp_table" else "socketmap:inet:{}:{}:virtual"
    done = subprocess.run(
        [postmap, "-c", folder, "-q", key, kind.format(LOOPBACK, service.port)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "error" in done.stderr or "warning" in done.stderr:
        raise ConnectionError(done.stderr)
    return done.stdout.removesuffix("\n") if done.returncode == 0 else None


@pytest.mark.parametrize("key", KEYS)
def test_postfix_finds_what_we_find(key: str, service: Service, tmp_path: Path) -> None:
    require("postfix")
    due = in_words(TABLE[key]) if key in TABLE else None
    if key.startswith("nonsense@"):
        with pytest.raises(ConnectionError):
            postfix_says(tmp_path, service, key)
        assert Asking(tmp_path, service).verdict(key).kind is Kind.DEFER
        return
    assert postfix_says(tmp_path, service, key) == due
    verdict = Asking(tmp_path, service).verdict(
        f"anybody{key}" if key[0] == "@" else f'"{key.partition("@")[0]}"@example.org'
    )
    assert verdict.mailboxes == (TABLE[key].mailboxes if key in TABLE else ())


def test_what_is_in_the_table_exists_whatever_its_value(service: Service, tmp_path: Path) -> None:
    settings = {f"lmtp_{service.hook}_result": "exists"}
    asking = Asking(tmp_path, service, **settings)
    assert asking.verdict("team@example.org").mailboxes == ("team@example.org",)
    assert asking.verdict("former@example.org").kind is Kind.REJECT
    assert asking.verdict("anybody@caught.example").kind is Kind.UNKNOWN
    assert service.connections == 1


def test_an_answer_that_came_too_late_is_nobodys(service: Service, tmp_path: Path) -> None:
    """Two answers to the first question: the second must not be taken for the next one's."""
    reply = service.reply
    asking = Asking(tmp_path, service)
    service.reply = lambda key: reply(key) * 2  # type: ignore[method-assign]
    asking.verdict(ALICE)
    service.reply = reply  # type: ignore[method-assign]
    assert asking.verdict("nobody@example.org").kind is Kind.UNKNOWN


SOCKETMAP_FAULTS = [
    b"9:TEMP away,",
    b"12:TIMEOUT away,",
    b"9:PERM away,",
    b"x",
    b"1x",
    b"99999999999",
    b"65537:",
    b"3:OK,,",
    b"9:NOTFOUND x",
    b"9:NOTFOUND ,x",
    b"012:NOTFOUND ,",
    b"8:OK a@b@c,",
    b"3:OK ,",
    b'5:OK ",',
]
TCP_FAULTS = [
    b"400 away\n",
    b"404 x\n",
    b"x\n",
    b"\n",
    b"200 %z\n",
    b"200 \n",
    b"200\n",
    b"200 a\nx",
]


@pytest.mark.parametrize(
    ("hook", "answer"),
    [("socketmap", one) for one in SOCKETMAP_FAULTS] + [("tcp_table", one) for one in TCP_FAULTS],
)
def test_what_is_no_answer_is_a_fault(hook: str, answer: bytes, tmp_path: Path) -> None:
    def serve(peer: socket.socket) -> None:
        hear(peer, b"," if hook == "socketmap" else b"\n")
        peer.sendall(answer)

    with server(serve) as target:
        place = f"inet:{target}:virtual" if hook == "socketmap" else str(target)
        setting: dict[str, Callable[[], object] | str] = {f"lmtp_{hook}": place}
        kind = SocketmapService if hook == "socketmap" else TcpTableService
        verdict = Asking(tmp_path, kind(tmp_path), **setting).verdict(ALICE)
    assert verdict.kind is Kind.DEFER


def test_a_netstring_may_come_in_any_pieces() -> None:
    whole = b"11:NOTFOUND no,"
    assert [netstring(whole[:end]) for end in range(len(whole))] == [None] * len(whole)
    assert netstring(whole) == b"NOTFOUND no"


def test_an_answer_in_pieces_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "maps"

    def serve(peer: socket.socket) -> None:
        hear(peer, b",")
        for octet in b"20:OK alice@example.org,":
            peer.sendall(bytes([octet]))

    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        bound.listen()
        with server(serve, bound):
            settings = {"lmtp_socketmap": f"unix:{path}:virtual"}
            asking = Asking(tmp_path, SocketmapService(tmp_path), **settings)
            assert asking.verdict(ALICE).mailboxes == (ALICE,)
