"""The hook `passwd` against a user of the machine, who may do in his home what he likes.

Mallory wants mail to be written where he cannot write, or where it does not belong; a file of
root's, or of somebody else's, in his own hands; or nobody to get mail any more. `outside` is a
directory that all may write to: there the kernel would let it happen, and only we do not.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.accounts import Account
from tests.support.client import Client, stuffed
from tests.support.homes import (
    DELIVERED,
    MISCONFIGURED,
    UNVERIFIED,
    Site,
    capable_server,
    deliver,
    root_server,
    status_of,
)
from tests.support.messages import as_stored
from tests.support.racer import Racer
from tests.support.server import Server
from tests.support.strict_load import message

_ROUNDS = 150
_FOLDERS = ("tmp", "new", "cur")


@dataclass
class Scene:
    """Mallory, whom he is after, and the server."""

    server: Server
    mallory: Account
    victim: Account
    outside: Path

    def make_maildir(self) -> None:
        self.mallory.does(self._make_maildir)

    def _make_maildir(self) -> None:
        for name in _FOLDERS:
            (self.mallory.maildir / name).mkdir(parents=True, exist_ok=True)

    def check(self, victims: int = 0) -> None:
        """Nothing is where it does not belong, and nobody owns what is not his."""
        assert list(self.outside.iterdir()) == []
        check_owners(self.mallory)
        check_owners(self.victim)
        assert len(self.victim.messages()) == victims
        there = {path.name for path in Path("/etc").iterdir()}
        assert not there & {*_FOLDERS, "Maildir"}


def check_owners(account: Account) -> None:
    """But for the home itself, which root has made."""
    for path in account.home.rglob("*"):
        status = path.lstat()
        assert (status.st_uid, status.st_gid) == (account.uid, account.gid), path


@contextmanager
def staged(server: Server, site: Site) -> Iterator[Scene]:
    outside = site.folder / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    try:
        with server:
            yield Scene(server, site.alice, site.bob, outside)
    finally:
        shutil.rmtree(outside)


@pytest.fixture
def scene(site: Site) -> Iterator[Scene]:
    """A server that is root, which could do whatever it is led to."""
    with staged(root_server(site), site) as made:
        yield made


# Traps that lie there.

Trap = Callable[[Path, Scene], object]

TRAPS: dict[str, Trap] = {
    "link-outside": lambda path, scene: path.symlink_to(scene.outside),
    "link-to-victim": lambda path, scene: path.symlink_to(scene.victim.maildir),
    "link-to-victim-s-new": lambda path, scene: path.symlink_to(scene.victim.maildir / "new"),
    "link-to-etc": lambda path, _: path.symlink_to("/etc"),
    "link-upwards": lambda path, scene: path.symlink_to(Path("../..") / scene.outside.name),
    "link-within": lambda path, _: path.symlink_to("."),
    "link-to-itself": lambda path, _: path.symlink_to(path.name),
    "dangling-link": lambda path, scene: path.symlink_to(scene.outside / "new"),
    "link-to-server": lambda path, scene: path.symlink_to(f"/proc/{scene.server.workers()[0]}/cwd"),
    "magic-link": lambda path, _: path.symlink_to("/proc/self/fd/3"),
    "file": lambda path, _: path.touch(),
    "fifo": lambda path, _: os.mkfifo(path),
    "link-to-fifo": lambda path, scene: (os.mkfifo(scene.mallory.home / "f"), path.symlink_to("f")),
    "unreadable": lambda path, _: path.mkdir(mode=0),
    "read-only": lambda path, _: path.mkdir(mode=0o500),
}


PLACES = ("Maildir", "Maildir/tmp", "Maildir/new", "Maildir/cur")


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap(trap: str, scene: Scene, site: Site) -> None:
    """4xx for him, mail for all others, and nothing anywhere else."""
    _try_trap(trap, PLACES, scene, site)


@pytest.mark.parametrize("trap", ["link-outside", "link-to-victim", "file", "read-only"])
def test_a_trap_for_a_server_that_is_not_root(trap: str, site: Site) -> None:
    with staged(capable_server(site), site) as scene:
        _try_trap(trap, PLACES[:-1], scene, site)


def _try_trap(trap: str, places: Sequence[str], scene: Scene, site: Site) -> None:
    assert deliver(scene.server, scene.victim.address) == [DELIVERED]
    for number, where in enumerate(places, 1):
        path = scene.mallory.home / where
        site.accounts.furnish(scene.mallory)
        if where != "Maildir":
            scene.make_maildir()
            path.rmdir()
        scene.mallory.does(lambda path=path: TRAPS[trap](path, scene))
        found = deliver(scene.server, scene.mallory.address, scene.victim.address)
        # Nothing is put into cur/: that it can be opened is enough.
        is_harmless = (where, trap) == ("Maildir/cur", "read-only")
        assert found[0] in ((DELIVERED,) if is_harmless else (MISCONFIGURED, UNVERIFIED)), where
        assert found[1] == DELIVERED
        scene.check(victims=1 + number)
        # And when it is gone, all is well.
        scene.mallory.does(path.rmdir if path.is_dir() and not path.is_symlink() else path.unlink)
        assert deliver(scene.server, scene.mallory.address) == [DELIVERED]
        scene.check(victims=1 + number)


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("is_victim", [True, False])
def test_a_trap_in_the_place_of_what_is_open(is_victim: bool, where: str, scene: Scene) -> None:
    """The server has delivered there a moment ago, and keeps the directories open."""
    everybody = (scene.mallory.address, scene.victim.address)
    assert deliver(scene.server, *everybody) == [DELIVERED, DELIVERED]
    path = scene.mallory.home / where
    target = scene.victim.home / where if is_victim else scene.outside

    def swap() -> None:
        path.rename(path.with_name("old"))
        path.symlink_to(target)

    scene.mallory.does(swap)
    (found,) = deliver(scene.server, scene.mallory.address)
    # Where RCPT does not look, what is open is used on: it is his, wherever he has put it.
    assert found == (DELIVERED if where == "Maildir/cur" else UNVERIFIED)
    scene.check(victims=1)


def test_a_home_of_others_in_the_maildir(scene: Scene) -> None:
    """A directory of the victim's that Mallory may move, as in a place that both may write to."""
    shared = scene.mallory.home / "Maildir"
    shared.mkdir(mode=0o777)
    os.chown(shared, scene.victim.uid, scene.victim.gid)
    shared.chmod(0o777)
    (found,) = deliver(scene.server, scene.mallory.address)
    assert found == UNVERIFIED, "nor is it accepted at RCPT"
    assert list(shared.iterdir()) == []


def test_links_to_files_of_others_gain_nothing(scene: Scene) -> None:
    """Names that are there already, of a file that he would like us to write to."""
    precious = scene.outside.parent / "precious"
    precious.write_text("as it was")
    precious.chmod(0o666)
    try:
        scene.make_maildir()

        def link() -> None:
            for number in range(20):
                (scene.mallory.maildir / "tmp" / f"{number}").hardlink_to(precious)
                (scene.mallory.maildir / "new" / f"{number}").symlink_to(precious)

        scene.mallory.does(link)
        content = message("large", 400_000)
        everybody = (scene.mallory.address, scene.victim.address)
        assert deliver(scene.server, *everybody, content=content) == [DELIVERED] * 2
        for account in (scene.mallory, scene.victim):
            (file,) = (one for one in account.messages() if not one.is_symlink())
            assert file.stat().st_nlink == 1
            assert file.stat().st_uid == account.uid
        assert precious.read_text() == "as it was"
    finally:
        precious.unlink()


def test_a_maildir_full_of_names_stops_nobody(scene: Scene) -> None:
    scene.make_maildir()

    def fill() -> None:
        for number in range(20_000):
            (scene.mallory.maildir / "tmp" / f"{number}").touch()

    scene.mallory.does(fill)
    everybody = (scene.mallory.address, scene.victim.address)
    assert deliver(scene.server, *everybody) == [DELIVERED] * 2


# And while he is at it.


@pytest.mark.parametrize("where", ["Maildir", "Maildir/new", "Maildir/tmp"])
@pytest.mark.parametrize("is_victim", [True, False], ids=["to-victim", "to-outside"])
@pytest.mark.parametrize("comes_back", [True, False], ids=["comes-back", "goes"])
def test_a_race(comes_back: bool, is_victim: bool, where: str, scene: Scene) -> None:
    """Deliveries by the hundred while he swaps the directories under them."""
    target = scene.victim.home / where if is_victim else scene.outside
    scene.make_maildir()
    assert deliver(scene.server, scene.victim.address) == [DELIVERED]
    racer = Racer(scene.mallory.home / where, target, comes_back=comes_back)
    with scene.mallory.keeps_doing(racer.turn):
        promised = list(_promises(scene.server, scene.mallory))
    assert deliver(scene.server, scene.victim.address) == [DELIVERED]
    scene.check(victims=2)
    found = [file.read_bytes() for file in scene.mallory.home.rglob("*,S=*")]
    for content in promised:
        assert sum(one.endswith(content) for one in found) == 1
    assert promised


def _promises(server: Server, account: Account) -> Iterator[bytes]:
    """What was acknowledged, as it has to be stored; every other reply is a 4xx."""
    with Client.tcp(server.port) as client:
        client.reply()
        client.command("LHLO client.example")
        for number in range(_ROUNDS):
            content = message(f"m{number}", 100)
            client.command("MAIL FROM:<sender@example.net>")
            reply = client.command(f"RCPT TO:<{account.address}>")
            if reply.code == 250:
                client.command("DATA")
                client.send(stuffed(content))
                reply = client.reply()
            else:
                client.command("RSET")
            assert reply.code in (250, 451), reply
            if status_of(reply) == DELIVERED:
                yield as_stored(content)
