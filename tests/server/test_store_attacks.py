"""A user of the machine who may write in one mailbox of the store, against a server that is root.

Mallory owns the directory of a mailbox and all that he makes in it, as where an administrator lets
users manage their own. What becomes of his own mail is his affair; but nothing is written outside
of his mailbox, and nobody else's mail is lost, changed, doubled or read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.accounts import Account, Accounts
from tests.support.client import Client, stuffed
from tests.support.homes import DELIVERED, deliver, status_of
from tests.support.messages import as_stored
from tests.support.racer import Racer
from tests.support.server import Server
from tests.support.strict_load import message

MALLORY, BOB = "mallory@example.org", "bob@example.org"
NOT_HERE = ("451 4.3.0", "451 4.3.5")
_ROUNDS = 100
_FOLDERS = ("tmp", "new", "cur")


@dataclass
class Scene:
    """The server, Mallory and his mailbox, Bob's, and a directory that all may write to."""

    server: Server
    mallory: Account
    mailbox: Path
    victim: Path
    outside: Path

    def does(self, act: Callable[[], object]) -> None:
        self.mallory.does(act)

    def victims(self) -> list[bytes]:
        """Bob's mail; it is whole, and for no other user."""
        for file in (self.victim / "new").iterdir():
            status = file.lstat()
            assert stat.S_ISREG(status.st_mode)
            assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, 0o600)
        assert list((self.victim / "tmp").iterdir()) == []
        return [text_of(one) for one in self.server.messages(BOB)]

    def check_outside(self) -> None:
        assert list(self.outside.iterdir()) == []


def text_of(content: bytes) -> bytes:
    """Behind the trace fields."""
    return content[content.index(b"Message-ID: ") :]


@pytest.fixture(params=[True, False], ids=["own-copies", "shared-copies"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    with Accounts() as accounts:
        mallory = accounts.add("m")
        outside = accounts.folder / "outside"
        outside.mkdir()
        outside.chmod(0o777)
        settings = {"lmtp_workers": 1, "lmtp_dns": False, "lmtp_delivered_to": request.param}
        with Server(accounts.folder / "server", **settings) as server:
            mailbox, victim = server.mailbox(MALLORY), server.mailbox(BOB)
            os.chown(mailbox, mallory.uid, mallory.gid)
            made = Scene(server, mallory, mailbox, victim, outside)
            made.does(lambda: [(mailbox / name).mkdir() for name in _FOLDERS])
            yield made


# Traps that lie there.

TRAPS: dict[str, Callable[[Path, Scene], object]] = {
    "link-outside": lambda path, scene: path.symlink_to(scene.outside),
    "link-to-victim": lambda path, scene: path.symlink_to(scene.victim / path.name),
    "link-upwards": lambda path, _: path.symlink_to(f"../bob/{path.name}"),
    "link-to-itself": lambda path, _: path.symlink_to(path.name),
    "dangling-link": lambda path, scene: path.symlink_to(scene.outside / "nothing"),
    "magic-link": lambda path, scene: path.symlink_to(f"/proc/{scene.server.workers()[0]}/cwd"),
    "file": lambda path, _: path.touch(),
    "fifo": lambda path, _: os.mkfifo(path),
}


@pytest.mark.parametrize("is_open", [False, True], ids=["closed", "open"])
@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_in_the_place_of_a_folder(trap: str, is_open: bool, scene: Scene) -> None:
    """4xx for him, mail for all others, and nothing anywhere else."""
    sent = []
    for where in _FOLDERS:
        if is_open:
            sent.append(message(f"before-{where}"))
            assert deliver(scene.server, MALLORY, BOB, content=sent[-1]) == [DELIVERED] * 2
        path = scene.mailbox / where
        aside = path.with_name("aside")

        def lay(path: Path = path, aside: Path = aside) -> None:
            path.rename(aside)
            TRAPS[trap](path, scene)

        def clear(path: Path = path, aside: Path = aside) -> None:
            path.unlink()
            aside.rename(path)

        scene.does(lay)
        sent.append(message(f"in-{where}"))
        mine, other = deliver(scene.server, MALLORY, BOB, content=sent[-1])
        # What is open is used on where the path to new/ still leads there: it is his own.
        is_his_own = is_open and where != "new"
        assert mine == DELIVERED if is_his_own else mine in NOT_HERE, (where, mine)
        assert other == DELIVERED
        scene.check_outside()
        scene.does(clear)
    assert sorted(scene.victims()) == sorted(map(as_stored, sent))
    assert deliver(scene.server, MALLORY, content=message("last")) == [DELIVERED]


# And while he is at it.


@pytest.mark.parametrize("where", ["new", "tmp"])
@pytest.mark.parametrize("is_victim", [True, False], ids=["to-victim", "to-outside"])
@pytest.mark.parametrize("comes_back", [True, False], ids=["comes-back", "goes"])
def test_a_race_for_a_folder(comes_back: bool, is_victim: bool, where: str, scene: Scene) -> None:
    """What he was promised is in his mailbox, wherever there; all of Bob's is Bob's."""
    target = scene.victim / where if is_victim else scene.outside
    racer = Racer(scene.mailbox / where, target, comes_back=comes_back)
    with scene.mallory.keeps_doing(racer.turn):
        promised, sent = send(scene)
    scene.check_outside()
    assert sorted(scene.victims()) == sorted(sent)
    found = [text_of(file.read_bytes()) for file in scene.mailbox.rglob("*,S=*")]
    assert sorted(one for one in found if one in promised) == sorted(promised)


def test_a_race_for_the_files(scene: Scene) -> None:
    """He has write access to his tmp/: whatever he puts behind a name there, Bob gets his own."""
    forged, tmp = scene.mailbox / "forged", scene.mailbox / "tmp"
    scene.does(lambda: forged.write_bytes(b"Message-ID: forged\n"))

    def turn() -> None:
        for name in os.listdir(tmp):  # noqa: PTH208
            path = tmp / name
            with suppress(OSError):
                path.rename(scene.mailbox / f"kept-{name}")
            for replace in (path.hardlink_to, path.symlink_to):
                with suppress(OSError):
                    replace(forged if replace is path.hardlink_to else scene.victim / "new")

    with scene.mallory.keeps_doing(turn):
        _, sent = send(scene)
    assert sorted(scene.victims()) == sorted(sent)
    scene.check_outside()
    for path in scene.mailbox.glob("kept-*"):
        if path.lstat().st_uid == 0:
            with pytest.raises(AssertionError):
                scene.does(path.read_bytes)
            break


def send(scene: Scene) -> tuple[list[bytes], list[bytes]]:
    """Messages for both, Mallory first; what he was promised, and all of Bob's, as stored."""
    promised, sent = [], []
    with Client.tcp(scene.server.port) as client:
        client.reply()
        client.command("LHLO client.example")
        for number in range(_ROUNDS):
            content = message(f"m{number}", 400_000 if number % 20 == 0 else 100)
            client.command("MAIL FROM:<sender@example.net>")
            for address in (MALLORY, BOB):
                assert client.command(f"RCPT TO:<{address}>").code == 250
            client.command("DATA")
            client.send(stuffed(content))
            mine, other = (status_of(one) for one in client.replies(2))
            assert mine in (DELIVERED, *NOT_HERE), mine
            assert other == DELIVERED
            sent.append(as_stored(content))
            promised += sent[-1:] if mine == DELIVERED else []
    return promised, sent
