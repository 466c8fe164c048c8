"""A power cut after every single call of `mailbox import` and `mailbox check --fix`.

What the one has said to be imported is kept, as what a client has read a 250 for; the other may not
lose what is there, at any moment.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from tests.support.command_line import Result, begin, ended, lmtpd
from tests.support.lossy_mount import LossyMount
from tests.support.messages import as_stored
from tests.support.promises import Promise, breaches
from tests.support.strict_load import message
from tests.support.strict_model import StrictModel

ALICE = "alice@example.org"
_SEPARATOR = "From x Mon Jan  2 15:04:05 2006\n"


class InCur(Promise):
    """Of a message that a reader has seen where it came from."""

    @property
    def new(self) -> str:
        return "/example.org/alice/cur"


def run(mount: LossyMount, *words: object) -> Result:
    return lmtpd("mailbox", *words, *options(mount))


def options(mount: LossyMount) -> tuple[object, ...]:
    # The kernel does not pass syncfs(2) on to FUSE.
    return "--lmtp-maildir-root", mount.path, "--lmtp-commit", "fsync"


def write_mbox(path: Path, count: int) -> list[tuple[type[Promise], bytes]]:
    """What is to be kept of it, and where."""
    wanted: list[tuple[type[Promise], bytes]] = []
    with path.open("wb") as file:
        for number in range(count):
            is_seen = number % 3 == 0
            text = as_stored(message(f"token-{number}", 100))
            file.write(_SEPARATOR.encode() + b"Status: RO\n" * is_seen + text + b"\n")
            wanted.append((InCur if is_seen else Promise, text))
    return wanted


def test_what_was_imported_is_kept(tmp_path: Path, mount: LossyMount) -> None:
    assert run(mount, "add", ALICE).returncode == 0
    mbox = tmp_path / "mbox"
    wanted = write_mbox(mbox, 250)
    result = run(mount, "import", ALICE, mbox)
    assert "250 imported" in result.stdout, result.stderr
    promises = [kind(mount.count, ALICE, text) for kind, text in wanted]
    assert breaches(mount.calls(), promises) == []


def test_what_was_there_already_is_kept(tmp_path: Path, mount: LossyMount) -> None:
    """The one that was killed may have published it, and not made it durable."""
    assert run(mount, "add", ALICE).returncode == 0
    mbox, dice = tmp_path / "mbox", random.Random(3)
    wanted = write_mbox(mbox, 250)
    folder = mount.path / "example.org/alice/new"
    for _ in range(3):
        there = len(list(folder.iterdir()))
        process = begin("mailbox", "import", ALICE, mbox, *options(mount))
        more = there + dice.randrange(1, 40)
        while len(list(folder.iterdir())) < more and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        ended(process)
    assert list(folder.iterdir()), "it was never killed in the middle"
    result = run(mount, "import", ALICE, mbox)
    assert result.returncode == 0, result.stderr
    promises = [kind(mount.count, ALICE, text) for kind, text in wanted]
    assert breaches(mount.calls(), promises) == []


def test_check_loses_nothing_at_any_moment(mount: LossyMount) -> None:
    assert run(mount, "add", ALICE).returncode == 0
    mailbox = mount.path / "example.org/alice"
    texts = [message(f"token-{number}") for number in range(20)]
    for number, text in enumerate(texts):
        path = mailbox / "tmp" / f"{number}.x.host:2,S"
        with path.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        path.rename(mailbox / "new" / path.name)
    new = os.open(mailbox / "new", os.O_RDONLY)
    os.fsync(new)
    os.close(new)
    (mailbox / "cur").rmdir()
    before = mount.count
    assert run(mount, "check", "--fix").returncode == 0
    assert len(list((mailbox / "cur").iterdir())) == len(texts)
    model, looked = StrictModel(), 0
    for call in mount.calls():
        if not call.error:
            getattr(model, call.name)(*call.arguments)
        if call.index > before and call.name in ("fsync", "fsyncdir", "unlink"):
            looked += 1
            for durable in (True, False):
                names = model.survivors("/example.org/alice/new", durable=durable)
                files = [*names.values()]
                files += model.survivors("/example.org/alice/cur", durable=durable).values()
                for text in texts:
                    assert any(one.ends_with(text, durable=durable) for one in files)
    assert looked > 2 * len(texts)
