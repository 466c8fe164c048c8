"""Sockets that are bound: what stands in their way, whose their files are, and when they go."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from lmtpd.accounts import Account
from lmtpd.server.listener import MOST_LISTENERS, BindError, Listener, bind, endpoint
from lmtpd.settings import Config
from tests.support.processes import LOOPBACK, free_port

_NOBODY = 65534

Binds = Callable[..., list[Listener]]


@pytest.fixture
def binds() -> Iterator[Binds]:
    """Bind what a configuration says; all of it is closed in the end."""
    bound: list[Listener] = []

    def bind_all(config: Config, *handed: tuple[str, socket.socket]) -> list[Listener]:
        bound.extend(bind(config, handed))
        return bound

    yield bind_all
    for one in bound:
        one.remove()
        one.close()


def unix(path: Path, **settings: object) -> Config:
    """A configuration with a unix socket alone."""
    return replace(Config(), lmtp_bind_addr="", lmtp_socket_path=path, **settings)  # type: ignore[arg-type]


def left_behind(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(str(path))


def test_every_listener_has_its_own(binds: Binds, tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    section = Config(section="x", lmtp_port=second, lmtp_socket_path=tmp_path / "b")
    config = replace(
        Config(), lmtp_port=first, lmtp_socket_path=tmp_path / "a", sections=(section,)
    )
    assert [(one.owner, one.socket.getsockname()) for one in binds(config)] == [
        (0, (LOOPBACK, first)),
        (0, str(tmp_path / "a")),
        (1, (LOOPBACK, second)),
        (1, str(tmp_path / "b")),
    ]


def test_a_fault_leaves_nothing_bound(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "taken").touch()
    config = replace(
        Config(),
        lmtp_port=port,
        lmtp_socket_path=tmp_path / "a",
        sections=(replace(unix(tmp_path / "taken"), section="x"),),
    )
    with pytest.raises(BindError, match="taken: a file that is no socket is in the way"):
        bind(config)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    socket.create_server((LOOPBACK, port)).close()


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_mode(mode: int, binds: Binds, tmp_path: Path) -> None:
    mask = os.umask(0o077)
    try:
        binds(unix(tmp_path / "a", lmtp_socket_mode=mode))
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o7777 == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file away")
@pytest.mark.parametrize(
    ("owner", "group", "found"),
    [(None, Account(1234, "x"), (0, 1234)), (Account(1233, "x"), None, (1233, 0))],
)
def test_owner_and_group(
    owner: Account | None,
    group: Account | None,
    found: tuple[int, int],
    binds: Binds,
    tmp_path: Path,
) -> None:
    binds(unix(tmp_path / "a", lmtp_socket_owner=owner, lmtp_socket_group=group))
    info = (tmp_path / "a").stat()
    assert (info.st_uid, info.st_gid) == found


def test_a_file_that_cannot_be_given_away_is_a_fault() -> None:
    """Made below /tmp itself, for pytest's own folder is closed to others than root."""
    is_root = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    os.chown(folder, _NOBODY if is_root else -1, -1)
    os.seteuid(_NOBODY if is_root else os.geteuid())
    try:
        with pytest.raises(BindError, match="not permitted to set lmtp-socket-owner or lmtp-so"):
            bind(unix(folder / "a", lmtp_socket_owner=Account(0, "root")))
    finally:
        os.seteuid(os.getuid())
        folder.rmdir()


def test_a_stale_file_is_replaced(binds: Binds, tmp_path: Path) -> None:
    left_behind(tmp_path / "a")
    binds(unix(tmp_path / "a"))
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.connect(str(tmp_path / "a"))


@pytest.mark.parametrize("backlog", [0, 5], ids=["busy", "idle"])
def test_a_live_one_is_not(backlog: int, tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    with closing(socket.socket(socket.AF_UNIX)) as live, closing(socket.socket(1)) as first:
        live.bind(path)
        live.listen(backlog)
        first.connect(path)  # nobody accepts: with no backlog the next one would wait
        with pytest.raises(BindError, match="a: in use by another process"):
            bind(unix(tmp_path / "a"))
        assert (tmp_path / "a").is_socket()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    left_behind(tmp_path / "stale")
    (tmp_path / "a").symlink_to("stale")
    with pytest.raises(BindError, match="no socket is in the way"):
        bind(unix(tmp_path / "a"))
    assert (tmp_path / "stale").exists()


def test_the_file_goes_in_the_end(binds: Binds, tmp_path: Path) -> None:
    (one,) = binds(unix(tmp_path / "a"))
    one.remove()
    assert not (tmp_path / "a").exists()
    one.remove()


def test_the_file_of_a_successor_stays(binds: Binds, tmp_path: Path) -> None:
    (one,) = binds(unix(tmp_path / "a"))
    (tmp_path / "a").unlink()
    left_behind(tmp_path / "a")
    one.remove()
    assert (tmp_path / "a").exists()


def test_what_systemd_hands_over_is_in_the_place_of_all_else(binds: Binds, tmp_path: Path) -> None:
    section = replace(unix(tmp_path / "x"), section="x")
    config = replace(Config(), lmtp_port=free_port(), sections=(section,))
    handed = [socket.create_server((LOOPBACK, 0)) for _ in range(2)]
    bound = binds(config, ("x", handed[0]), ("lmtpd.socket", handed[1]))
    assert [(one.owner, one.socket) for one in bound] == [(1, handed[0]), (0, handed[1])]
    assert not [*tmp_path.iterdir()]


def test_the_others_bind_theirs(binds: Binds, tmp_path: Path) -> None:
    section = replace(unix(tmp_path / "x"), section="x")
    config = replace(Config(), lmtp_port=free_port(), sections=(section,))
    bound = binds(config, ("", socket.create_server((LOOPBACK, 0))))
    assert [one.owner for one in bound] == [0, 1]
    assert (tmp_path / "x").exists()


def test_a_socket_of_systemd_is_never_removed(binds: Binds, tmp_path: Path) -> None:
    handed = socket.socket(socket.AF_UNIX)
    handed.bind(str(tmp_path / "s"))
    handed.listen()
    (one,) = binds(Config(), ("", handed))
    one.remove()
    assert (tmp_path / "s").exists()


def test_nothing_to_listen_on() -> None:
    nowhere = replace(Config(), lmtp_bind_addr="")
    with pytest.raises(BindError, match="nothing to listen on"):
        bind(nowhere)
    with pytest.raises(BindError, match=r"\[x\] listens nowhere.* FileDescriptorName=x"):
        bind(replace(Config(), lmtp_port=free_port(), sections=(replace(nowhere, section="x"),)))


def test_too_many(tmp_path: Path) -> None:
    sections = tuple(unix(tmp_path / f"{number}") for number in range(MOST_LISTENERS + 1))
    with pytest.raises(BindError, match="65 sockets to listen on: the most are 64"):
        bind(replace(Config(), lmtp_bind_addr="", sections=sections))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (("127.0.0.1", 1), "127.0.0.1:1"),
        (("::1", 1, 0, 0), "[::1]:1"),
        ("/run/lmtp", "/run/lmtp"),
        (b"\0lmtp", "@lmtp"),
    ],
)
def test_endpoint(name: object, told: str) -> None:
    assert endpoint(name) == told
