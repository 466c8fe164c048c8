"""`lmtpd.py mailbox` on real directories, while a server delivers, and against their owners."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import smtplib
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from lmtpd.cli import main
from lmtpd.tools import checkup, importing, mailboxes, removal  # noqa: F401 - read before the fork
from lmtpd.tools.removal import _HasMailError, _take_what_is_empty
from tests.support.accounts import Account, Accounts
from tests.support.command_line import begin, ended, lmtpd
from tests.support.components import require_root
from tests.support.processes import LOOPBACK
from tests.support.server import Server
from tests.support.swapper import swap

ALICE, BOB, CAROL = "alice@example.org", "bob@example.org", "carol@example.org"
_FORMERLY = time.time() - 40 * 3600


class Store:
    """A mail store, and the commands on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def run(self, command: str, *arguments: object) -> tuple[int, str]:
        """The exit code, and all that was said."""
        result = lmtpd("mailbox", command, *arguments, "--lmtp-maildir-root", self.root)
        assert "Traceback" not in result.stderr
        return result.returncode, result.stdout + result.stderr

    def add(self, *addresses: str) -> Path:
        """The place of the first."""
        code, text = self.run("add", *addresses)
        assert code == 0, text
        return self.path(addresses[0])

    def path(self, address: str) -> Path:
        local, _, domain = address.partition("@")
        return self.root / domain / local


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "maildirs")


@pytest.fixture
def mallory() -> Iterator[Account]:
    """A user of this machine who means no good."""
    with Accounts() as accounts:
        yield accounts.add("m")


def put(folder: Path, name: str, content: bytes = b"Subject: x\n\nbody\n") -> Path:
    path = folder / name
    path.write_bytes(content)
    path.chmod(0o600)
    return path


class TestAdd:
    def test_what_root_makes_is_the_servers(self, store: Store) -> None:
        require_root("another user's store is written to")
        os.chown(store.root, 4321, 4322)
        mailbox = store.add(ALICE)
        for path in (mailbox.parent, mailbox, *mailbox.iterdir()):
            status = path.stat()
            assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (4321, 4322, 0o700)

    def test_it_says_that_rcpt_would_refuse(self, store: Store, tmp_path: Path) -> None:
        table = tmp_path / "table"
        table.write_text(f"{BOB} {CAROL}\n")
        hooks = ("--lmtp-recipient-hooks", "table", "--lmtp-recipient-table", table)
        code, text = store.run("add", ALICE, BOB, *hooks)
        assert code == 0, text
        assert "RCPT would answer 550 5.1.1" in text
        assert f"no mail of {BOB} comes there: RCPT takes it for {CAROL}" in text
        assert store.path(ALICE).is_dir()

    def test_a_home_is_its_users(self, store: Store, mallory: Account) -> None:
        hooks = ("--lmtp-recipient-hooks", "passwd", "--lmtp-passwd-domains", "example.org")
        code, text = store.run("add", mallory.address, *hooks)
        assert code == 0, text
        for path in (mallory.maildir, *mallory.maildir.iterdir()):
            assert path.stat().st_uid == mallory.uid
        assert not list(store.root.iterdir())
        put(mallory.maildir / "new", "1700000000.x.host")
        code, text = store.run("list", f"~{mallory.name}", *hooks)
        assert (code, text.split()[:2]) == (0, [f"~{mallory.name}", "new=1"])
        (mallory.maildir / "new" / "1700000000.x.host").unlink()
        shutil.rmtree(mallory.home)
        assert store.run("add", mallory.address, *hooks)[0] == os.EX_CANTCREAT
        assert not list(store.root.iterdir())
        mallory.maildir.mkdir(parents=True)
        for path in (mallory.home, mallory.maildir):
            os.chown(path, mallory.uid, mallory.gid)
        code, text = store.run("remove", f"~{mallory.name}", "--with-mail", *hooks)
        assert code == os.EX_NOPERM
        assert mallory.maildir.is_dir()


class TestList:
    def test_counts(self, store: Store) -> None:
        mailbox = store.add(ALICE, BOB)
        put(mailbox / "new", "1700000000.M1P1.host,S=432,W=447")
        put(mailbox / "cur", "1700000001.M1P1.host,S=100:2,S")
        odd = put(mailbox / "cur", "no-time:2,S", b"12345")
        os.utime(odd, (1, 1_600_000_000))
        sent = mailbox / ".Sent"
        for name in ("tmp", "new", "cur"):
            (sent / name).mkdir(parents=True)
        put(sent / "cur", "1700000002.x.host,S=1000:2,S")
        (mailbox / "cur" / "link").symlink_to("/etc/passwd")
        code, text = store.run("list", ALICE)
        assert (code, text) == (
            0,
            f"{ALICE} new=1 cur=3 octets=1537 newest=2023-11-14T22:13:22Z\n",
        )
        code, text = store.run("list", "--json")
        alice, bob = map(json.loads, text.splitlines())
        assert alice["octets"] == 1537
        assert bob == {"mailbox": BOB, "new": 0, "cur": 0, "octets": 0, "newest": None}

    def test_one_that_cannot_be_read_is_told_and_passed(self, store: Store) -> None:
        mailbox = store.add(ALICE, BOB)
        shutil.rmtree(mailbox)
        mailbox.symlink_to("/etc")
        code, text = store.run("list")
        assert code == os.EX_NOINPUT
        assert f"{BOB} new=0" in text
        assert "LinkOutsideError" in text

    def test_of_nobody(self, store: Store) -> None:
        assert store.run("list", ALICE)[0] == os.EX_NOINPUT

    def test_a_reader_that_has_enough(self, store: Store) -> None:
        store.add(*(f"user{number}@example.org" for number in range(50)))
        process = begin("mailbox", "list", "--lmtp-maildir-root", store.root)
        assert process.stdout
        process.stdout.close()
        process.stdout = None
        assert ended(process).returncode == os.EX_IOERR
        assert process.stderr is None or process.stderr.closed


class TestCheck:
    def test_a_sound_store(self, store: Store) -> None:
        mailbox = store.add(ALICE)
        put(mailbox / "cur", "without-info")
        code, text = store.run("check")
        assert (code, text) == (0, "mailboxes: 1, faults: 0, mended: 0\n")

    def test_it_tells_and_then_mends(self, store: Store) -> None:
        mailbox = store.add(ALICE)
        (mailbox / "cur").rmdir()
        flagged = put(mailbox / "new", "1.x.host:2,S")
        put(mailbox / "new", "2.x.host").chmod(0o066)
        old, young = put(mailbox / "tmp", "old"), put(mailbox / "tmp", "young")
        os.utime(old, (_FORMERLY, _FORMERLY))
        (mailbox / ".Sent/new").mkdir(parents=True)
        (mailbox / ".dovecot").mkdir()
        mailbox.chmod(0o777)
        before = sorted(store.root.rglob("*"))
        code, text = store.run("check")
        assert code == os.EX_DATAERR
        assert sorted(store.root.rglob("*")) == before
        for part in (
            "cur: is missing",
            "tmp/old: was left there",
            "new/2.x.host: has the mode 0066",
            ".: has the mode 0777",
            ".Sent/tmp: is missing",
            ".Sent/maildirfolder: is missing",
        ):
            assert f"{ALICE} {part}" in text
        code, text = store.run("check", "--fix")
        assert code == 0, text
        assert store.run("check") == (0, "mailboxes: 1, faults: 0, mended: 0\n")
        assert (mailbox / "cur" / flagged.name).read_bytes() == b"Subject: x\n\nbody\n"
        assert not flagged.exists()
        assert not old.exists()
        assert young.exists()
        assert mailbox.stat().st_mode & 0o777 == 0o775
        assert (mailbox / "new/2.x.host").stat().st_mode & 0o777 == 0o464
        assert (mailbox / ".Sent/maildirfolder").is_file()
        assert not list((mailbox / ".dovecot").iterdir())

    def test_what_may_hide_a_message_stays(self, store: Store) -> None:
        mailbox = store.add(ALICE)
        put(mailbox / "new", "1.x.host:2,S", b"one")
        put(mailbox / "cur", "1.x.host:2,S", b"another")
        (mailbox / "new" / "link").symlink_to("/etc/passwd")
        os.mkfifo(mailbox / "new" / "pipe")
        (mailbox / "cur" / "folder").mkdir()
        put(mailbox / "new", "empty", b"")
        code, text = store.run("check", "--fix")
        assert code == os.EX_DATAERR
        assert "new/1.x.host:2,S: has flags, which belong to cur/; not mended" in text
        for name in ("new/link: is no file", "new/pipe: is no file", "cur/folder: is no file"):
            assert f"{name}; left as it is" in text
        assert "new/empty: is empty" in text
        assert (mailbox / "new/1.x.host:2,S").read_bytes() == b"one"
        assert (mailbox / "cur/1.x.host:2,S").read_bytes() == b"another"

    def test_one_that_a_reader_has_given_two_names(self, store: Store) -> None:
        mailbox = store.add(ALICE)
        first = put(mailbox / "new", "1.x.host:2,S")
        second = mailbox / "cur" / first.name
        second.hardlink_to(first)
        assert store.run("check", "--fix")[0] == 0
        assert second.exists()
        assert not first.exists()

    def test_what_root_has_made_in_anothers_store(self, store: Store) -> None:
        require_root("files of several owners")
        mailbox = store.add(ALICE)
        for path in (store.root, mailbox.parent):
            os.chown(path, 4321, 4321)
        message = put(mailbox / "new", "1.x.host")
        shared = put(mailbox / "new", "2.x.host")
        (mailbox / "cur" / "3.x.host").hardlink_to(shared)
        third = put(mailbox / "new", "4.x.host")
        os.chown(third, 777, 777)
        while True:  # a directory is looked into before its own owner is known to be mended
            before = {path: path.stat().st_uid for path in store.root.rglob("*")}
            code, text = store.run("check", "--fix")
            if before == {path: path.stat().st_uid for path in store.root.rglob("*")}:
                break
        assert code == os.EX_DATAERR
        assert message.stat().st_uid == mailbox.stat().st_uid == 4321
        assert shared.stat().st_uid == 0
        assert third.stat().st_uid == 777
        assert text.count("belongs to the user") == 3

    def test_while_the_server_delivers_and_a_reader_reads(self, server: Server) -> None:
        mailbox = server.mailbox(ALICE)
        options = ("--lmtp-maildir-root", server.root)
        assert lmtpd("mailbox", "add", ALICE, *options).returncode == 0
        processes = [begin("mailbox", "check", "--fix", *options) for _ in range(3)]
        delivered = read = 0
        with smtplib.LMTP(LOOPBACK, server.port) as client:
            while delivered < 600:
                client.sendmail("me@example.net", ALICE, "Subject: x\n\nbody\n")
                delivered += 1
                if delivered % 3 == 0:
                    for path in (mailbox / "new").iterdir():
                        with contextlib.suppress(FileNotFoundError):  # it has flags: it was moved
                            path.rename(mailbox / "new" / f"{path.name}:2,S")
                            read += 1
                        break
                if delivered % 50 == 0:
                    processes.append(begin("mailbox", "check", "--fix", *options))
        assert all(ended(one).returncode in (0, os.EX_DATAERR) for one in processes)
        assert lmtpd("mailbox", "check", "--fix", *options).returncode == 0
        messages = [*(mailbox / "new").iterdir(), *(mailbox / "cur").iterdir()]
        assert len(messages) == len({path.name for path in messages}) == delivered
        assert read

    def test_a_home_with_its_users_rights(self, store: Store, mallory: Account) -> None:
        hooks = ("--lmtp-recipient-hooks", "passwd", "--lmtp-passwd-domains", "example.org")
        assert store.run("add", mallory.address, *hooks)[0] == 0
        (mallory.maildir / "cur").rmdir()
        flagged = put(mallory.maildir / "new", "1.x.host:2,S")
        secret = put(mallory.maildir / "new", "2.x.host")
        secret.chmod(0o000)
        code, text = store.run("check", "--fix", f"~{mallory.name}", *hooks)
        # Both files are root's, and with a user's rights they cannot be given away, or opened.
        assert code == os.EX_DATAERR
        assert text.count("belongs to the user 0") == 2
        assert text.count("; not mended: PermissionError") == 3
        assert (mallory.maildir / "cur").stat().st_uid == mallory.uid
        assert (mallory.maildir / "cur" / flagged.name).exists()

    def test_names_do_not_act_on_the_terminal(self, store: Store) -> None:
        mailbox = store.add(ALICE)
        (mailbox / "new" / "\x1b[2J\udcff").mkdir()
        code, text = store.run("check")
        assert code == os.EX_DATAERR
        assert r"new/\x1b[2J\udcff: is no file" in text


@pytest.mark.parametrize(
    "words",
    [
        ("list", ALICE),
        ("check", "--fix"),
        ("import", ALICE, "MBOX"),
        ("remove", ALICE),
        ("remove", ALICE, "--with-mail"),
    ],
    ids=" ".join,
)
def test_an_owner_who_swaps_what_root_works_on(words: tuple[str, ...], mallory: Account) -> None:
    """He wants a secret given to him, or a file of others removed, or one of root's made."""
    around = mallory.home.parent
    store, secret, mbox = Store(around / "maildirs"), around / "secret", around / "mbox"
    mbox.write_text("From x Mon Jan  2 15:04:05 2006\n\nx\n")
    secret.mkdir(mode=0o700)
    old = put(secret, "1.x.host:2,S")
    os.utime(old, (_FORMERLY, _FORMERLY))
    before = [(path, path.stat()) for path in (secret, *secret.iterdir())]
    mailbox = store.path(ALICE)

    with mallory.keeps_doing(partial(swap, mailbox, secret)):
        for _ in range(6):
            if not mailbox.exists():
                store.add(ALICE)
                for path in (*mailbox.iterdir(), mailbox):
                    os.chown(path, mallory.uid, mallory.gid, follow_symlinks=False)
                for path in (store.root, mailbox.parent):
                    path.chmod(0o711)
            command, *rest = (str(mbox) if word == "MBOX" else word for word in words)
            code, text = store.run(command, *rest)
            assert command != "list" or code or "new=0 cur=0" in text, "the secret was counted"
    assert [(path, path.stat()) for path, _ in before] == before
    assert list(secret.iterdir()) == [old]


class TestRemove:
    def test_an_empty_one_goes_and_one_with_mail_stays(self, store: Store) -> None:
        empty, full = store.add(ALICE), store.add(BOB)
        message = put(full / "new", "1.x.host")
        assert store.run("remove", ALICE) == (0, f"{ALICE} is removed\n")
        code, text = store.run("remove", BOB)
        assert code == os.EX_CANTCREAT
        assert "holds 1 messages; nothing was removed" in text
        assert message.exists()
        assert [path.name for path in empty.parent.iterdir()] == ["bob"]
        assert store.run("remove", BOB, "--with-mail")[0] == 0
        assert not list(empty.parent.iterdir())
        assert store.run("remove", BOB)[0] == os.EX_NOUSER

    def test_mail_in_a_sub_folder_counts(self, store: Store) -> None:
        mailbox = store.add(ALICE)
        (mailbox / ".Sent/cur").mkdir(parents=True)
        message = put(mailbox / ".Sent/cur", "1.x.host:2,S")
        assert store.run("remove", ALICE)[0] == os.EX_CANTCREAT
        assert message.exists()

    def test_links_in_it_lead_nowhere(self, store: Store, tmp_path: Path) -> None:
        mailbox, outside = store.add(ALICE), tmp_path / "outside"
        outside.mkdir()
        kept = put(outside, "kept")
        (mailbox / ".Link").symlink_to(outside)
        (mailbox / "link").symlink_to(kept)
        assert store.run("remove", ALICE, "--with-mail")[0] == 0
        assert kept.exists()
        store.path(BOB).symlink_to(outside)
        code, text = store.run("remove", BOB, "--with-mail")
        assert code == os.EX_IOERR
        assert "symbolic link" in text
        assert kept.exists()

    def test_one_that_was_stopped_goes_on(self, store: Store) -> None:
        mailbox = store.add(ALICE, BOB)
        put(mailbox / "new", "1.x.host")
        process = begin(
            "mailbox", "remove", ALICE, "--with-mail", "--lmtp-maildir-root", store.root
        )
        while not list(mailbox.parent.glob(".removed-*")) and process.poll() is None:
            pass
        process.kill()
        ended(process)
        is_left = bool(list(mailbox.parent.glob(".removed-*")))
        code, text = store.run("check")
        assert ("is left of a removal" in text) == is_left == bool(code)
        code, text = store.run("remove", ALICE, "--with-mail")
        assert code in (0, os.EX_NOUSER), text
        assert [path.name for path in mailbox.parent.iterdir()] == ["bob"]
        assert store.run("list")[1] == f"{BOB} new=0 cur=0 octets=0\n"

    def test_a_message_at_the_last_moment_brings_it_back(self, store: Store) -> None:
        """It comes between the look at the mailbox and its move."""
        mailbox = store.add(ALICE)
        aside = mailbox.rename(mailbox.with_name(".removed-0-0%2f"))
        message = put(aside / "new", "1.x.host")
        parent = os.open(mailbox.parent, os.O_RDONLY)
        try:
            with pytest.raises(_HasMailError):
                _take_what_is_empty(parent, aside.name, mailbox.name)
            assert (mailbox / "new" / message.name).exists()
            assert {path.name for path in mailbox.iterdir()} == {"tmp", "new", "cur"}
            # And one that only rmdir sees.
            (mailbox / "new" / message.name).rename(mailbox / "new" / ".hidden")
            mailbox.rename(aside)
            with pytest.raises(_HasMailError):
                _take_what_is_empty(parent, aside.name, mailbox.name)
            assert {path.name for path in mailbox.iterdir()} == {"tmp", "new", "cur"}
        finally:
            os.close(parent)

    def test_no_mail_is_lost_while_the_server_delivers(self, server: Server) -> None:
        """What was acknowledged is there, whenever the mailbox was being removed."""
        mailbox = server.mailbox(ALICE)
        root = ("--lmtp-maildir-root", server.root)
        acknowledged = 0
        for _ in range(6):
            assert lmtpd("mailbox", "add", ALICE, *root).returncode == 0
            sending = [
                begin("send", ALICE, "--quiet", "--no-tls", "--lmtp-port", server.port)
                for _ in range(2)
            ]
            time.sleep(0.1)
            assert lmtpd("mailbox", "remove", ALICE, *root).returncode in (0, os.EX_CANTCREAT)
            acknowledged += sum(ended(one).returncode == 0 for one in sending)
        assert len(list((mailbox / "new").glob("*"))) == acknowledged


def test_a_plain_user_and_his_own_store(
    mallory: Account, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a process of his that knows all modules, for he may not be able to read Python's."""
    root = mallory.home / "maildirs"
    options = ("--lmtp-maildir-root", str(root))
    mbox = put(mallory.home, "mbox", b"From x Mon Jan  2 15:04:05 2006\nStatus: R\n\nx\n")
    mbox.chmod(0o644)
    codes: list[int] = []

    def act() -> None:
        root.mkdir()
        codes.extend(
            main(["mailbox", *words, *options])
            for words in (
                ["add", ALICE],
                ["import", ALICE, str(mbox)],
                ["check", "--fix"],
                ["list"],
                ["remove", ALICE],
                ["remove", ALICE, "--with-mail"],
            )
        )
        assert codes == [0, 0, 0, 0, os.EX_CANTCREAT, 0], codes

    mallory.does(act)
    assert list((root / "example.org").iterdir()) == []
    assert (root / "example.org").stat().st_uid == mallory.uid
    assert f"{ALICE} new=0 cur=1 octets=13 newest=2" in capfd.readouterr().out
