"""`lmtpd.py mailbox import`: nothing is lost, doubled or changed, whenever it is stopped."""

from __future__ import annotations

import mailbox as python_mailbox
import os
import random
import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmtpd.tools.mbox import PIECE_OCTETS, Quoting, messages
from tests.support.accounts import Account, Accounts
from tests.support.command_line import begin, ended, lmtpd
from tests.support.components import require_root
from tests.support.server import PROJECT

ALICE = "alice@example.org"
FROM = "From bob@example.net Mon Jan  2 15:04:05 2006\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with the mailbox of Alice."""
    path = tmp_path / "maildirs"
    path.mkdir()
    assert lmtpd("mailbox", "add", ALICE, "--lmtp-maildir-root", path).returncode == 0
    return path


@pytest.fixture
def inbox(root: Path) -> Path:
    return root / "example.org/alice"


def run(root: Path, *arguments: object) -> tuple[int, str]:
    """The exit code, and what was said."""
    result = lmtpd("mailbox", "import", ALICE, *arguments, "--lmtp-maildir-root", root)
    assert "Traceback" not in result.stderr
    return result.returncode, result.stdout + result.stderr


def files(folder: Path) -> list[Path]:
    """In the order in which they came."""
    found = [path for name in ("new", "cur") for path in (folder / name).iterdir()]
    return sorted(found, key=lambda path: int(re.findall(r"Q(\d+)R", path.name)[0]))


def info(path: Path) -> str:
    return f"{path.parent.name}{path.name.partition(':')[1]}{path.name.partition(':')[2]}"


class TestMbox:
    @pytest.mark.parametrize(
        ("quoting", "line"),
        [("mboxrd", b">From here"), ("mboxo", b">>From here"), ("none", b">>From here")],
    )
    def test_lines_and_quotes(self, quoting: str, line: bytes, root: Path, inbox: Path) -> None:
        file = root.parent / "mbox"
        file.write_text(
            f"{FROM}Subject: one\n\n>>From here\nFrom nobody, no date\n\n\n{FROM}Subject: two\n"
            f"\n\nFrom time to time\nno end"
        )
        assert run(root, file, "--quoting", quoting)[0] == 0
        one, two = files(inbox)
        nobody = b"\nFrom nobody, no date\n\n"
        assert one.read_bytes() == b"Subject: one\n\n" + line + nobody
        assert two.read_bytes() == b"Subject: two\n\n\nFrom time to time\nno end"
        assert one.stat().st_mtime == 1136214245
        assert stat.S_IMODE(one.stat().st_mode) == 0o600
        assert f",S={one.stat().st_size},W=" in one.name
        assert not list((inbox / "tmp").iterdir())

    def test_flags(self, root: Path, inbox: Path) -> None:
        status = {
            "": "new",
            "Status: O\n": "cur:2,",
            "Status: RO\n": "cur:2,S",
            "Status: RO\nX-Status: AF\n": "cur:2,FRS",
            "X-Status: TD\n": "cur:2,DT",
            "Status: N\n": "new",
        }
        file = root.parent / "mbox"
        file.write_text("".join(f"{FROM}{one}Subject: x\n\nStatus: D\n\n" for one in status))
        assert run(root, file)[0] == 0
        assert [info(path) for path in files(inbox)] == list(status.values())

    def test_as_python_writes_it(self, root: Path, inbox: Path) -> None:
        file, seed = root.parent / "mbox", random.Random(1)
        box = python_mailbox.mbox(file)
        texts = [
            f"Subject: {number}\n\n" + "line\n" * seed.randrange(5000) for number in range(300)
        ]
        for text in texts:
            box.add(text)
        box.close()
        assert run(root, file)[1] == f"{file}: 300 imported, 0 there already\n"
        assert [path.read_text() for path in files(inbox)] == texts

    def test_dos_and_large_lines(self, root: Path, inbox: Path) -> None:
        file, line = root.parent / "mbox", "x" * (3 * PIECE_OCTETS)
        file.write_bytes(
            f"{FROM}Subject: 1\n\n{line}\n>From\n\n{FROM}\n2\n".replace("\n", "\r\n").encode()
        )
        assert run(root, file)[0] == 0
        one, two = files(inbox)
        assert one.read_bytes() == f"Subject: 1\n\n{line}\n>From\n".encode()
        assert two.read_bytes() == b"\n2\n"

    @pytest.mark.parametrize("shift", range(-12, 3))
    def test_a_quote_at_the_edge_of_a_piece(self, shift: int, tmp_path: Path) -> None:
        file, body = tmp_path / "mbox", "y" * (PIECE_OCTETS + shift) + "\n>From a\nz>From b\n"
        file.write_text(f"{FROM}{body}")
        with file.open("rb") as opened:
            (found,) = messages(opened, Quoting.MBOXRD)
            assert b"".join(found.pieces()) == body.replace("\n>From", "\nFrom").encode()


class TestMaildir:
    def test_folders_and_flags(self, root: Path, inbox: Path) -> None:
        source = root.parent / "old"
        names = {
            "new/1.a.host": "new",
            "cur/2.a.host:2,": "cur:2,",
            "cur/3.a.host:2,SFSa": "cur:2,FSa",
            "cur/4.a.host": "cur:2,",
            "new/5.a.host:2,S": "cur:2,S",
            ".Sent/cur/6.a.host:2,S": "cur:2,S",
        }
        for number, name in enumerate(names, 1):
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"Subject: %d\r\n\r\nas it is\r\n" % number)
            os.utime(path, (number, number))
        (source / "cur" / "link").symlink_to("/etc/passwd")
        os.mkfifo(source / "cur" / "fifo")
        (source / ".Link").symlink_to("/etc")
        assert run(root, source)[1] == f"{source}: 6 imported, 0 there already\n"
        found = [*files(inbox), *files(inbox / ".Sent")]
        by_number = {int(path.stat().st_mtime): path for path in found}
        assert [info(by_number[number]) for number in range(1, 7)] == list(names.values())
        assert by_number[6].parent.parent.name == ".Sent"
        assert (inbox / ".Sent/maildirfolder").is_file()
        assert by_number[1].read_bytes() == b"Subject: 1\r\n\r\nas it is\r\n"
        # Its reader has looked at them meanwhile, and given flags.
        by_number[1].rename(inbox / "cur" / f"{by_number[1].name}:2,S")
        assert run(root, source)[1] == f"{source}: 0 imported, 6 there already\n"

    def test_while_its_reader_reads(self, root: Path, inbox: Path) -> None:
        """What goes on to cur/, or gets a flag, is imported now, or when it is run again."""
        source = root.parent / "old"
        for name in ("new", "cur"):
            (source / name).mkdir(parents=True)
        for number in range(1500):
            (source / "new" / f"{number}.a.host").write_bytes(b"Subject: %d\n\n" % number)
        process = begin("mailbox", "import", ALICE, source, "--lmtp-maildir-root", root)
        for path in sorted((source / "new").iterdir(), reverse=True):
            moved = path.rename(source / "cur" / f"{path.name}:2,S")
            if process.poll() is None:
                moved.rename(moved.with_name(f"{moved.name}T"))
        code = ended(process).returncode
        while code == os.EX_IOERR:
            code, _ = run(root, source)
        assert code == 0
        found = sorted(int(path.read_text().split()[1]) for path in files(inbox))
        assert found == list(range(1500))

    def test_single_files(self, root: Path, inbox: Path) -> None:
        one, two = root.parent / "1.eml", root.parent / "2.eml"
        one.write_bytes(b"Date: Mon, 2 Jan 2006 15:04:05 +0000\r\n\r\nx\r\n")
        two.write_bytes(b"Date: never\n\n\n")
        before = time.time() - 1
        assert run(root, one, two)[0] == 0
        first, second = files(inbox)
        assert (first.read_bytes()[-3:], first.stat().st_mtime) == (b"\nx\n", 1136214245)
        assert second.stat().st_mtime >= before

    def test_equal_ones_stay_as_many(self, root: Path, inbox: Path) -> None:
        file = root.parent / "mbox"
        file.write_text(f"{FROM}\nsame\n\n" * 3)
        for known in (0, 3):
            assert f"{3 - known} imported, {known} there" in run(root, file)[1]
        assert len(files(inbox)) == 3


class TestWhoseItIs:
    def test_another_owners_mailbox(self, root: Path, inbox: Path) -> None:
        require_root("files of several owners")
        for path in (inbox, *inbox.iterdir()):
            os.chown(path, 4321, 4322)
        file = root.parent / "mbox"
        file.write_text(f"{FROM}\nx\n")
        assert run(root, file)[0] == 0
        (found,) = files(inbox)
        assert (found.stat().st_uid, found.stat().st_gid) == (4321, 4322)

    def test_a_home(self, tmp_path: Path, root: Path, mallory: Account) -> None:
        file = tmp_path / "mbox"
        file.write_text(f"{FROM}Status: R\n\nx\n")
        options = ("--lmtp-recipient-hooks", "passwd", "--lmtp-passwd-domains", "example.org")
        options += ("--lmtp-maildir-root", str(root))
        assert lmtpd("mailbox", "add", mallory.address, *options).returncode == 0
        result = lmtpd("mailbox", "import", f"~{mallory.name}", file, *options)
        assert result.returncode == 0, result.stderr
        (found,) = files(mallory.maildir)
        assert (found.stat().st_uid, found.stat().st_mtime) == (mallory.uid, 1136214245)
        assert not list((root / "example.org/alice/new").iterdir())


class TestStops:
    def test_killed_at_any_moment_and_run_again(self, root: Path, inbox: Path) -> None:
        file = root.parent / "mbox"
        texts = [f"Subject: {number // 2}\n\nbody\n" for number in range(3000)]
        file.write_text("".join(f"{FROM}{text}\n" for text in texts))
        dice, there = random.Random(2), 0
        for _ in range(6):
            process = begin("mailbox", "import", ALICE, file, "--lmtp-maildir-root", root)
            wanted = there + dice.randrange(1, 400)
            while len(list((inbox / "new").iterdir())) < wanted and process.poll() is None:
                time.sleep(0.002)
            process.kill()
            ended(process)
            there = len(list((inbox / "new").iterdir()))
        assert 0 < there < len(texts), "it was never killed in the middle"
        assert run(root, file)[0] == 0
        assert sorted(path.read_text() for path in files(inbox)) == sorted(texts)

    def test_a_full_disk_is_said_and_the_rest_comes_later(self, root: Path, inbox: Path) -> None:
        file = root.parent / "mbox"
        file.write_text(f"{FROM}\none\n\n{FROM}\n{'x' * 200_000}\n")
        words = [sys.executable, "lmtpd.py", "mailbox", "import", ALICE, str(file)]
        # The signal of this limit is not taken by Python: the call fails, as on a full disk.
        command = [
            "bash",
            "-c",
            'ulimit -f 100; exec "$@"',
            "-",
            *words,
            "--lmtp-maildir-root",
            root,
        ]
        full = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        assert full.returncode == os.EX_IOERR
        assert "message 2: OSError" in full.stderr
        assert "1 imported: run it again" in full.stderr
        assert run(root, file)[0] == 0
        assert {path.stat().st_size for path in files(inbox)} == {5, 200_002}
        assert not list((inbox / "tmp").iterdir())

    @pytest.mark.parametrize(
        ("source", "code"), [("/nonexistent", os.EX_IOERR), ("/etc", os.EX_IOERR)]
    )
    def test_no_source(self, source: str, code: int, root: Path) -> None:
        assert run(root, source)[0] == code

    def test_what_only_begins_like_an_mbox(self, root: Path) -> None:
        file = root.parent / "mbox"
        file.write_text("From bob\n\nx\n")
        code, text = run(root, file)
        assert code == os.EX_IOERR
        assert "no date in its first line; 0 imported" in text

    def test_no_mailbox(self, root: Path) -> None:
        result = lmtpd("mailbox", "import", "x@y.example", "/dev/null", "--lmtp-maildir-root", root)
        assert result.returncode == os.EX_NOUSER


@pytest.fixture
def mallory() -> Iterator[Account]:
    """A user of this machine."""
    with Accounts() as accounts:
        yield accounts.add("m")
