"""The hook `table`: a file that is read again when it changes, unless it has faults."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import Peer
from lmtpd.recipients.chain import AddressRules
from lmtpd.recipients.entries import TableError
from lmtpd.recipients.table import Table
from lmtpd.recipients.table_file import TableFile
from lmtpd.recipients.verdict import RcptContext, Verdict
from tests.support.asking import Asking

DOMAIN = "example.org"


def at_once(look: Callable[[], Table | None]) -> Table | None:
    """What a thread would do."""
    return look()


class File:
    """A table that is edited, and the hook over it."""

    def __init__(self, folder: Path, text: str = "alice\n") -> None:
        self.path = folder / "table"
        self.path.write_text(text, "utf-8")
        self.asking = Asking()
        self.hook = TableFile(self.path, DOMAIN, AddressRules(), self.asking.report)

    def refresh(self, times: int = 2) -> None:
        for _ in range(times):
            self.hook.refresh(at_once)

    def mailboxes(self, local: str) -> tuple[str, ...] | None:
        verdict = self.hook.verify(Address(local, DOMAIN), RcptContext(Peer("")))
        return verdict and tuple(name.partition("@")[0] for name in verdict.mailboxes)

    @property
    def events(self) -> list[str]:
        return self.asking.events


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)


class TestReading:
    def test_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "recipients"
        path.write_bytes("jürgen@bücher.example\r\nb jürgen@bücher.example\n".encode())
        hook = TableFile(path, DOMAIN, AddressRules(), Asking().report)
        verdict = hook.verify(Address("b", DOMAIN), RcptContext(Peer("")))
        assert verdict == Verdict.accept("jürgen@xn--bcher-kva.example")

    def test_faults_are_named_with_the_files_name(self, tmp_path: Path) -> None:
        with pytest.raises(TableError) as caught:
            File(tmp_path, "ok@x.org\n@\n")
        assert str(caught.value).startswith(f"{tmp_path}/table:2: ")

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            TableFile(tmp_path / "missing", DOMAIN, AddressRules(), Asking().report)

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match="pipe is no file"):
            TableFile(tmp_path / "pipe", DOMAIN, AddressRules(), Asking().report)

    def test_what_is_not_utf_8_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "recipients"
        path.write_bytes(b"alice@x.org\nj\xfcrgen@x.org\n")
        with pytest.raises(TableError, match=f"^{path}: is not UTF-8"):
            TableFile(path, DOMAIN, AddressRules(), Asking().report)

    def test_a_byte_order_mark_belongs_to_no_address(self, tmp_path: Path) -> None:
        assert File(tmp_path, "\ufeffalice@example.org\n").mailboxes("alice") == ("alice",)


class TestEdits:
    def test_what_rests_is_not_read_again(self, file: File) -> None:
        file.refresh(5)
        assert file.events == []

    @pytest.mark.parametrize("in_place", [True, False])
    def test_an_edit_counts_once_it_rests(self, file: File, in_place: bool) -> None:
        other = file.path if in_place else file.path.with_name("new")
        other.write_text("bob\n", "utf-8")
        if not in_place:
            other.rename(file.path)
        file.refresh(1)
        assert file.mailboxes("alice")
        file.refresh(1)
        assert file.mailboxes("alice") is None
        assert file.mailboxes("bob") == ("bob",)
        assert file.asking.lines == [("table-read", {"file": file.path, "entries": 1})]
        file.refresh(3)
        assert len(file.events) == 1

    def test_a_file_that_is_being_written_is_waited_for(self, file: File) -> None:
        for length in range(1, 6):
            file.path.write_text("alice\nbob\ncarol\n"[: length * 3], "utf-8")
            file.refresh(1)
        assert file.events == []
        file.refresh(1)
        assert file.mailboxes("carol") == ("carol",)

    def test_a_broken_edit_keeps_the_last_good_one_and_says_so_once(self, file: File) -> None:
        file.path.write_text("bob\n@\n", "utf-8")
        file.refresh(5)
        assert file.mailboxes("alice") == ("alice",)
        assert file.mailboxes("bob") is None
        ((event, fields),) = file.asking.lines
        assert event == "table-kept"
        assert fields["file"] == file.path
        assert str(fields["cause"]).startswith(f"{file.path}:2: ")
        file.path.write_text("bob\n", "utf-8")
        file.refresh()
        assert file.mailboxes("bob") == ("bob",)
        assert file.events == ["table-kept", "table-read"]

    def test_the_same_fault_after_a_good_edit_is_told_again(self, file: File) -> None:
        for text in ("@\n", "bob\n", "@\n\n"):
            file.path.write_text(text, "utf-8")
            file.refresh()
        assert file.events == ["table-kept", "table-read", "table-kept"]

    def test_a_file_that_is_gone_is_waited_for(self, file: File) -> None:
        file.path.unlink()
        file.refresh(4)
        assert file.mailboxes("alice") == ("alice",)
        assert file.events == ["table-kept"]
        file.path.write_text("bob\n", "utf-8")
        file.refresh()
        assert file.mailboxes("bob") == ("bob",)

    def test_a_disk_that_cannot_tell_is_asked_again(self, file: File) -> None:
        def fail(_: object) -> Table | None:
            raise OSError(5, "Input/output error")

        file.hook.refresh(fail)
        file.hook.refresh(fail)
        assert file.events == ["table-kept"]
        file.path.write_text("bob\n", "utf-8")
        file.refresh()
        assert file.mailboxes("bob") == ("bob",)

    def test_what_could_not_be_read_is_tried_again_though_it_did_not_change(
        self, file: File
    ) -> None:
        target = file.path.rename(file.path.with_name("elsewhere"))
        target.write_text("bob\n", "utf-8")
        file.path.mkdir()
        file.refresh(3)
        assert file.events == ["table-kept"]
        file.path.rmdir()
        target.rename(file.path)
        file.refresh()
        assert file.mailboxes("bob") == ("bob",)


class TestLists:
    @pytest.fixture
    def team(self, tmp_path: Path) -> Path:
        path = tmp_path / "team.list"
        path.write_text("alice\nbob\n", "utf-8")
        return path

    @pytest.fixture
    def listed(self, tmp_path: Path, team: Path) -> File:
        return File(tmp_path, f"team :include:{team.name}\n")

    def test_a_list_that_changes_is_read_again(self, listed: File, team: Path) -> None:
        assert listed.mailboxes("team") == ("alice", "bob")
        team.write_text("carol\n", "utf-8")
        listed.refresh()
        assert listed.mailboxes("team") == ("carol",)

    def test_a_list_that_goes_and_comes_back(self, listed: File, team: Path) -> None:
        team.unlink()
        listed.refresh(3)
        assert listed.mailboxes("team") == ("alice", "bob")
        assert listed.events == ["table-kept"]
        team.write_text("carol\n", "utf-8")
        listed.refresh()
        assert listed.mailboxes("team") == ("carol",)

    def test_a_list_that_everybody_may_write_is_refused(self, listed: File, team: Path) -> None:
        team.chmod(0o666)
        listed.refresh(3)
        ((event, fields),) = listed.asking.lines
        assert event == "table-kept"
        assert "team.list: is another's, or may be written by everybody" in str(fields["cause"])
        team.chmod(0o644)
        listed.refresh()
        assert listed.events == ["table-kept", "table-read"]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_a_list_of_somebody_else_is_refused(self, listed: File, team: Path) -> None:
        os.chown(team, 65534, -1)
        listed.refresh()
        assert "is another's" in str(listed.asking.lines[0][1]["cause"])
        os.chown(listed.path, 65534, -1)
        listed.refresh()
        assert listed.events == ["table-kept", "table-read"]
