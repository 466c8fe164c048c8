"""What the dialogue files cannot say of a session: lost connections, faults of ours, the end."""

from __future__ import annotations

import dataclasses
import errno
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lmtpd.delivery.agent import Job, Outcome
from lmtpd.delivery.disk import Disk
from lmtpd.failures import HeldUpError
from lmtpd.protocol import replies
from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import ClientCertificate, Peer, TlsInfo
from lmtpd.protocol.reply import Reply
from lmtpd.recipients.verdict import RcptContext, Verdict
from lmtpd.services import Services
from lmtpd.session import Session
from tests.support import store
from tests.support.faulty_disk import Fault, FaultyDisk
from tests.support.memory import TLS, services

_TO_DATA = (
    b"LHLO c\r\nMAIL FROM:<s@example.net>\r\nRCPT TO:<alice@example.org>\r\n"
    b"RCPT TO:<bob@example.org>\r\nDATA\r\n"
)


_TEAM = b"RCPT TO:<team@example.org>\r\n"


class Line:
    """A transport that plays a list: octets to receive, and errors to raise."""

    def __init__(self, *received: bytes | Exception, deaf: bool = False) -> None:
        self._received: Iterator[bytes | Exception] = iter(received)
        self._is_deaf = deaf
        self.sent = b""
        self.is_closed = False

    def recv(self, seconds: float) -> bytes:  # noqa: ARG002
        one = next(self._received, b"")
        if isinstance(one, Exception):
            raise one
        return one

    def sendall(self, data: bytes) -> None:
        if self._is_deaf:
            raise ConnectionAbortedError("the peer does not read")
        self.sent += data

    def has_input(self) -> bool:
        """It says nothing before it has heard."""
        return False

    def acknowledge_at_once(self) -> None:
        """Nothing is delayed here."""

    def start_tls(self) -> TlsInfo:
        raise OSError("the handshake failed")

    def close(self, *, has_quit: bool) -> None:  # noqa: ARG002
        self.is_closed = True

    @property
    def codes(self) -> list[int]:
        return [int(line[:3]) for line in self.sent.splitlines() if line[3:4] == b" "]


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return store.make_store(tmp_path)[0]


@pytest.fixture
def settings(root: Path) -> dict[str, str]:
    table = str(root.parent / "table")
    roots = {"lmtp-maildir-root": str(root), "lmtp-recipient-table": table}
    return store.SETTINGS | roots


def run(line: Line, built: Services, refusal: Reply | None = None) -> Line:
    Session(line, Peer("127.0.0.1"), built, refusal=refusal).run()
    assert line.is_closed
    return line


def test_silence_is_421(settings: dict[str, str], log: io.StringIO) -> None:
    line = run(Line(b"NOOP\r\n", TimeoutError()), services(settings, log))
    assert line.codes == [220, 250, 421]
    assert line.sent.endswith(replies.IDLE.encode())


def test_slowness_is_another_421(settings: dict[str, str], log: io.StringIO) -> None:
    settings["lmtp-command-timeout"] = "200"
    line = run(Line(b"NO", TimeoutError()), services(settings, log))
    assert line.sent.endswith(replies.TOO_SLOW.encode())
    assert 'cut-off peer=127.0.0.1 reply="421 4.4.2 Not finished' in log.getvalue()


def test_one_that_breaks_the_protocol_is_cut_off_and_told(
    settings: dict[str, str], log: io.StringIO, root: Path
) -> None:
    settings["lmtp-max-errors"] = "2"
    line = run(Line(_TO_DATA + b"x\r\n.\r\n" + b"FROB\r\n" * 3), services(settings, log))
    assert line.codes == [220, 250, 250, 250, 250, 354, 250, 250, 500, 500, 421]
    assert 'cut-off peer=127.0.0.1 reply="421 4.7.0 Too many errors' in log.getvalue()
    assert len(store.messages(root)) == 2


def test_so_many_commands_in_a_session(settings: dict[str, str], log: io.StringIO) -> None:
    settings |= {"lmtp-max-commands": "1000", "lmtp-max-noops": "none"}
    line = run(Line(b"NOOP\r\n" * 1000, b"QUIT\r\n"), services(settings, log))
    assert line.codes == [220] + [250] * 1000 + [221]
    line = run(Line(b"NOOP\r\n" * 1000, b"NOOP\r\n"), services(settings, log))
    assert line.sent.endswith(b"\r\n" + replies.TOO_MANY_COMMANDS.encode())


def test_how_long_the_next_octet_may_take(settings: dict[str, str], log: io.StringIO) -> None:
    """It depends on what it belongs to."""
    settings |= {"lmtp-idle-timeout": "900", "lmtp-data-timeout": "500"}
    settings |= {"lmtp-transaction-timeout": "200"}

    class Waiting(Line):
        seconds: tuple[int, ...] = ()

        def recv(self, seconds: float) -> bytes:
            self.seconds += (round(seconds),)
            return super().recv(seconds)

    line = Waiting(
        b"LHLO c\r\n", _AGAIN, b"x\r\n.\r\n", _AGAIN[:-6], b"BDAT 4\r\n", b"xxxx", b"QUIT\r\n"
    )
    run(line, services(settings, log))
    assert line.seconds == (300, 300, 200, 300, 200, 200, 200)
    settings["lmtp-transaction-timeout"] = "2000"
    line = Waiting(
        b"LHLO c\r\n", _AGAIN, b"x\r\n.\r\n", _AGAIN[:-6], b"BDAT 4\r\n", b"xxxx", b"QUIT\r\n"
    )
    run(line, services(settings, log))
    assert line.seconds == (300, 300, 500, 300, 300, 500, 300)


def test_a_delivery_that_is_held_up_is_nobodys_and_the_session_goes_on(
    settings: dict[str, str], log: io.StringIO, root: Path
) -> None:
    def deliver(_: Job) -> tuple[Outcome, ...]:
        raise HeldUpError("others went first")

    built = dataclasses.replace(services(settings, log), deliver=deliver)
    line = run(Line(_TO_DATA, b"x\r\n.\r\nQUIT\r\n"), built)
    assert line.codes == [220, 250, 250, 250, 250, 354, 451, 451, 221]
    assert b"451 4.3.0 <bob@example.org> Delivery could not begin" in line.sent
    assert log.getvalue().count('cause="HeldUpError: others went first"') == 2
    assert not store.messages(root)


@pytest.mark.parametrize("error", [ConnectionResetError(), OSError(errno.EIO, "x")])
def test_a_lost_connection_is_told_to_the_log(
    error: OSError, settings: dict[str, str], log: io.StringIO
) -> None:
    line = run(Line(_TO_DATA, error), services(settings, log))
    assert line.codes == [220, 250, 250, 250, 250, 354]
    assert log.getvalue().split()[1] == "connection-lost"


def test_a_peer_that_does_not_read(settings: dict[str, str], log: io.StringIO) -> None:
    class Deaf(Line):
        def recv(self, _: float) -> bytes:
            self._is_deaf = True
            return super().recv()

    run(Deaf(b"NOOP\r\n"), services(settings, log))
    assert "connection-lost" in log.getvalue()


@pytest.mark.parametrize("line", [Line(deaf=True), Line(ConnectionResetError())])
def test_who_only_looks_whether_we_are_there_costs_no_line(
    line: Line, settings: dict[str, str], log: io.StringIO
) -> None:
    run(line, services(settings, log))
    assert line.is_closed
    assert log.getvalue() == ""


def test_who_has_shaken_hands_has_not_only_looked(
    settings: dict[str, str], log: io.StringIO
) -> None:
    Session(Line(ConnectionResetError()), Peer(""), services(settings, log), TLS).run()
    assert "connection-lost" in log.getvalue()


def test_last_words_to_a_peer_that_does_not_read(
    settings: dict[str, str], log: io.StringIO
) -> None:
    class Leaving(Line):
        def recv(self, seconds: float) -> bytes:  # noqa: ARG002
            self._is_deaf = True
            raise TimeoutError

    run(Leaving(), services(settings, log))
    assert "connection-lost" in log.getvalue()


def test_a_failed_handshake_ends_the_connection(
    settings: dict[str, str], log: io.StringIO, tmp_path: Path
) -> None:
    for name in ("lmtp-cert-path", "lmtp-key-path"):
        (tmp_path / name).touch()
        settings[name] = str(tmp_path / name)
    line = run(Line(b"STARTTLS\r\n"), services(settings, log))
    assert line.codes == [220, 220]
    assert "the handshake failed" in log.getvalue()


def test_a_certificate_in_no_list(settings: dict[str, str], log: io.StringIO) -> None:
    stranger = TlsInfo("TLSv1.3", "", 0, ClientCertificate("a", "0f", is_listed=False))

    class Handshake(Line):
        def start_tls(self) -> TlsInfo:
            return stranger

    line = Handshake(_TO_DATA)
    Session(line, Peer("127.0.0.1"), services(settings, log), stranger).run()
    assert line.sent == replies.CLIENT_NOT_LISTED.encode()
    built = services(settings, log)
    offering = dataclasses.replace(built.extensions, starttls=True)
    line = run(
        Handshake(b"STARTTLS\r\n", _TO_DATA), dataclasses.replace(built, extensions=offering)
    )
    assert line.codes == [220, 220, 421]
    assert (
        log.getvalue().count("client-not-listed peer=127.0.0.1 client_cert=a fingerprint=0f") == 2
    )


def test_a_peer_that_may_not_speak(settings: dict[str, str], log: io.StringIO) -> None:
    line = run(Line(_TO_DATA), services(settings, log), replies.NOT_TRUSTED)
    assert line.sent == replies.NOT_TRUSTED.encode()


def test_a_bug_costs_one_connection_and_bounces_nothing(
    settings: dict[str, str], log: io.StringIO
) -> None:
    built = services(settings, log)

    def broken(*_: object) -> str:
        raise ZeroDivisionError

    line = run(Line(_TO_DATA), dataclasses.replace(built, new_id=broken))
    assert line.codes == [220, 250, 421]
    assert "session-failed" in log.getvalue()


class TestStopping:
    @pytest.mark.parametrize("command", [b"MAIL FROM:<>", b"RSET", b"NOOP", b"LHLO a.example"])
    def test_nothing_is_begun_after_the_first_transaction(
        self, settings: dict[str, str], log: io.StringIO, command: bytes
    ) -> None:
        """Postfix defers mail if a new connection hears 421, and not if one does that it kept."""
        text = b"Subject: x\r\n\r\n.\r\n"
        line = run(
            Line(_TO_DATA, text, command + b"\r\n"), services(settings, log, is_stopping=True)
        )
        assert line.codes == [220, 250, 250, 250, 250, 354, 250, 250, 421]

    def test_idle_after_the_first_transaction_hears_421(
        self, settings: dict[str, str], log: io.StringIO
    ) -> None:
        """What begins nothing is answered, and then there is nothing more to wait for."""
        text = b"Subject: x\r\n\r\n.\r\n"
        line = run(Line(_TO_DATA, text, b"HELP\r\n"), services(settings, log, is_stopping=True))
        assert line.codes == [220, 250, 250, 250, 250, 354, 250, 250, 214, 421]

    def test_quit_is_answered(self, settings: dict[str, str], log: io.StringIO) -> None:
        """OpenSMTPD delivers again what was acknowledged if its QUIT gets 421."""
        text = b"Subject: x\r\n\r\n.\r\n"
        line = run(Line(_TO_DATA, text, b"QUIT\r\n"), services(settings, log, is_stopping=True))
        assert line.codes == [220, 250, 250, 250, 250, 354, 250, 250, 221]

    def test_one_that_is_interrupted_hears_421(
        self, settings: dict[str, str], log: io.StringIO
    ) -> None:
        line = run(Line(b"NOOP\r\n"), services(settings, log, is_stopping=True))
        assert line.codes == [220, 250, 421]

    def test_a_transaction_is_finished_first(
        self, settings: dict[str, str], log: io.StringIO, root: Path
    ) -> None:
        class Order:
            is_given = False

        built = dataclasses.replace(services(settings, log), is_stopping=lambda: Order.is_given)

        class Going(Line):
            def recv(self, seconds: float) -> bytes:
                octets = super().recv(seconds)
                Order.is_given = True
                return octets

        line = run(Going(_TO_DATA, b"Subject: x\r\n", b"\r\n.\r\nNOOP\r\n"), built)
        assert line.codes == [220, 250, 250, 250, 250, 354, 250, 250, 250, 421]
        assert len(store.messages(root)) == 2

    def test_an_interrupted_transaction_hears_421(
        self, settings: dict[str, str], log: io.StringIO, root: Path
    ) -> None:
        class Order:
            is_given = False

        built = dataclasses.replace(services(settings, log), is_stopping=lambda: Order.is_given)

        class Going(Line):
            def recv(self, seconds: float) -> bytes:
                octets = super().recv(seconds)
                Order.is_given = not octets
                return octets

        line = run(Going(_TO_DATA, b"Subject: half\r\n"), built)
        assert line.codes[-1] == 421
        assert not store.messages(root)


def test_without_room_mail_is_refused_and_told(settings: dict[str, str], log: io.StringIO) -> None:
    settings["lmtp-disk-reserve"] = "1000000G"
    line = run(Line(_TO_DATA, b"QUIT\r\n"), services(settings, log))
    assert line.codes == [220, 250, 452, 503, 503, 503, 221]
    assert " refused peer=127.0.0.1 sender=<s@example.net> size=0 reply=" in log.getvalue()


def test_a_mailbox_that_is_stuck_is_refused_at_rcpt(
    settings: dict[str, str], log: io.StringIO
) -> None:
    built = services(settings, log)
    built.stuck.add("a delivery", ["bob@example.org"])
    line = run(Line(_TO_DATA, b"x\r\n.\r\nRSET\r\nMAIL FROM:<>\r\n", _TEAM), built)
    assert line.codes == [220, 250, 250, 250, 450, 354, 250, 250, 250, 450]
    assert replies.MAILBOX_STUCK.lines[0] in log.getvalue()


def test_recipients_lead_to_so_many_mailboxes(
    settings: dict[str, str], root: Path, log: io.StringIO
) -> None:
    """The surplus is for the next time, and what would never fit is for the administrator."""
    four, six = (", ".join(f"m{one}@example.org" for one in range(count)) for count in (4, 6))
    table = f"four@example.org {four}\nsix@example.org {six}\nalice@example.org\n"
    (root.parent / "table").write_text(table, "utf-8")
    built = services(settings, log)
    built = replace(built, limits=replace(built.limits, copies=5))
    said = b"".join(
        b"RCPT TO:<%s@example.org>\r\n" % who
        for who in (b"six", b"four", b"four+x", b"nobody", b"alice", b"alice")
    )
    line = run(Line(b"LHLO x\r\nMAIL FROM:<>\r\n" + said), built)
    assert line.codes == [220, 250, 250, 451, 250, 452, 550, 250, 452]
    assert "6 mailboxes: 5 fit into LimitNOFILE" in log.getvalue()
    assert replies.TOO_MANY_RECIPIENTS.lines[0] in log.getvalue()


class Lister:
    """Says of each address that it is this list."""

    def __init__(self, *members: str) -> None:
        self._verdict = Verdict.accept(*members)

    def verify(self, address: Address, context: RcptContext) -> Verdict:  # noqa: ARG002
        return self._verdict


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ([f"m{one}@example.org" for one in range(100)], 250),
        ([f"m{one}@example.org" for one in range(101)], 252),
        (['"' * 230 + "@example.org"], 250),
        (['"' * 243 + "@example.org", "m@example.org"], 252),
    ],
    ids=["100", "101", "a long name", "a name that is longer than a line"],
)
def test_so_many_members_of_a_list_are_shown(
    members: list[str], code: int, settings: dict[str, str], log: io.StringIO
) -> None:
    """All of them, or none: who hears a part of them would take it for the whole."""
    built = replace(services(settings, log), verifier=Lister(*members))
    line = run(Line(b"LHLO x\r\nEXPN team@example.org\r\nNOOP\r\n"), built)
    assert line.codes == [220, 250, code, 250], log.getvalue()
    assert line.sent.count(b"<") == (len(members) if code == 250 else 0)
    assert max(map(len, line.sent.splitlines(keepends=True))) <= 512


class FullDisk(Disk):
    """No room for the file that a large message goes into."""

    def write(self, descriptor: int, *pieces: bytes) -> None:  # noqa: ARG002
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/path")


def test_a_message_that_cannot_be_kept_is_read_to_its_end(
    settings: dict[str, str], log: io.StringIO, root: Path
) -> None:
    body = b"x" * 300_000 + b"\r\n"
    built = services(settings, log, FullDisk())
    line = run(Line(_TO_DATA, body, body, b".\r\nNOOP\r\nQUIT\r\n"), built)
    assert line.codes == [220, 250, 250, 250, 250, 354, 452, 452, 250, 221]
    assert b"secret" not in line.sent
    assert "secret" in log.getvalue()
    assert not store.messages(root)


LARGE = b"Subject: x\r\n\r\n" + b"x" * 300_000 + b"\r\n"


@pytest.mark.parametrize("kind", ["open_root", "create_unnamed", "write", "sync"])
def test_a_large_message_that_cannot_be_made_durable_is_nobodys(
    kind: str, settings: dict[str, str], log: io.StringIO, root: Path
) -> None:
    """Before the first copy is begun: a 4xx for each recipient, and the session goes on."""
    disk = FaultyDisk()
    built = services(settings, log, disk)
    again = _TO_DATA.partition(b"\r\n")[2]
    with disk.failing(Fault(errno.EDQUOT, kind=kind)):
        line = run(Line(_TO_DATA, LARGE + b".\r\nNOOP\r\nQUIT\r\n"), built)
    assert line.codes == [220, 250, 250, 250, 250, 354, 452, 452, 250, 221]
    assert b"4.2.2 <alice@example.org>" in line.sent
    assert b"4.2.2 <bob@example.org>" in line.sent
    assert not store.messages(root)
    assert log.getvalue().count(" failed id=") == 2
    line = run(Line(b"LHLO c\r\n" + again, LARGE, b".\r\n"), built)
    assert line.codes == [220, 250, 250, 250, 250, 354, 250, 250]
    store.empty(root)
    assert not list(root.glob(".*"))


def test_a_large_message_whose_end_cannot_be_written(
    settings: dict[str, str], log: io.StringIO, root: Path
) -> None:
    """The first piece is in the file by then; what is left goes there after the dot."""
    disk = FaultyDisk()
    built = services(settings, log, disk)

    class Filling(Line):
        def recv(self, seconds: float) -> bytes:
            octets = super().recv(seconds)
            if octets.startswith(b"the end"):
                disk.faults.append(Fault(errno.ENOSPC, kind="write"))
            return octets

    line = run(Filling(_TO_DATA, LARGE, b"the end\r\n.\r\n"), built)
    assert line.codes == [220, 250, 250, 250, 250, 354, 452, 452]
    assert len(disk.made("create_unnamed")) == 1
    assert not store.messages(root)


def test_a_store_that_is_gone_when_a_large_message_comes(
    settings: dict[str, str], log: io.StringIO, root: Path
) -> None:
    disk = FaultyDisk()
    disk.is_mounted = True
    built = services(settings, log, disk)

    class Unmounting(Line):
        def recv(self, seconds: float) -> bytes:
            octets = super().recv(seconds)
            disk.is_mounted = not octets.startswith(b"Subject")
            return octets

    line = run(Unmounting(_TO_DATA, LARGE, b".\r\n"), built)
    assert line.codes == [220, 250, 250, 250, 250, 354, 451, 451]
    assert "StoreVanishedError" in log.getvalue()
    assert not store.messages(root)


@pytest.mark.parametrize("delivered_to", ["true", "false"])
@pytest.mark.parametrize("size", [100, 300_000])
def test_a_message_of_any_size_is_told_and_named_as_it_is(
    size: int, delivered_to: str, settings: dict[str, str], log: io.StringIO, root: Path
) -> None:
    settings["lmtp-delivered-to"] = delivered_to
    text = b"Return-Path: <old@example.com>\r\nSubject: x\r\n\r\n" + b"y" * size + b"\r\n"
    line = run(Line(_TO_DATA, text + b".\r\n"), services(settings, log))
    assert line.codes == [220, 250, 250, 250, 250, 354, 250, 250]
    content = b"Subject: x\n\n" + b"y" * size + b"\n"
    names = []
    for local in ("alice", "bob"):
        (path,) = (root / "example.org" / local / "new").iterdir()
        copy = path.read_bytes()
        assert copy.endswith(content)
        assert copy.count(b"Return-Path") == 1
        assert (f"Delivered-To: {local}@" in copy.decode()) is (delivered_to == "true")
        wire = len(copy) + copy.count(b"\n")
        assert path.name.endswith(f",S={len(copy)},W={wire}")
        names.append(path.name)
    for told, name in zip(log.getvalue().splitlines(), names, strict=True):
        assert f" size={len(content)} " in told
        assert name.replace("=", "") in told.replace("=", "")


class Names:
    """A DNS that answers late."""

    def __init__(self, *answers: str) -> None:
        self._answers = iter(answers)
        self._last = ""

    def __call__(self, _: str) -> str:
        self._last = next(self._answers, self._last)
        return self._last


def test_the_name_of_the_peer_is_in_the_trace_when_it_is_known_at_last(
    settings: dict[str, str], log: io.StringIO, root: Path
) -> None:
    built = dataclasses.replace(services(settings, log), name_of=Names("", "client.example"))
    run(Line(_TO_DATA, b"Subject: x\r\n.\r\n"), built)
    for (copy,) in store.messages(root).values():
        assert b" (client.example [127.0.0.1])\n" in copy


_AGAIN = b"MAIL FROM:<s@example.net>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n"


@pytest.mark.parametrize(
    ("behind", "is_again"),
    [
        pytest.param((), True, id="gone without a word"),
        pytest.param((ConnectionResetError(),), True, id="connection lost"),
        pytest.param((b"NOOP\r\n",), False, id="it went on"),
    ],
)
@pytest.mark.parametrize("text", [b"Subject: x\r\n", LARGE], ids=["small", "large"])
def test_a_message_that_comes_again_since_its_reply_was_lost(
    text: bytes,
    behind: tuple[bytes | Exception, ...],
    is_again: bool,
    settings: dict[str, str],
    log: io.StringIO,
    root: Path,
) -> None:
    built = services(settings, log)
    run(Line(b"LHLO c\r\n", _AGAIN, text + b".\r\n", *behind), built)
    line = run(Line(b"LHLO c\r\n", _AGAIN, text + b".\r\n"), built)
    assert line.codes[-1] == 250
    assert [len(one) for one in store.messages(root).values()] == [1 if is_again else 2]
    assert log.getvalue().count(" repeated id=") == int(is_again)


def test_what_was_said_before_the_reply_proves_nothing(
    settings: dict[str, str], log: io.StringIO, root: Path
) -> None:
    built = services(settings, log)
    for _ in range(2):
        run(Line(b"LHLO c\r\n", _AGAIN, b"Subject: x\r\n.\r\nNOOP\r\n", b"NOOP\r\n"), built)
    assert [len(one) for one in store.messages(root).values()] == [1]


def test_a_flood_of_commands_is_answered_piece_by_piece(
    settings: dict[str, str], log: io.StringIO
) -> None:
    class Counting(Line):
        writes = 0

        def sendall(self, data: bytes) -> None:
            self.writes += 1
            super().sendall(data)

    line = run(Counting(b"HELP\r\n" * 1000), services(settings, log))
    assert line.codes == [220] + [214] * 1000
    assert line.writes > 3  # type: ignore[attr-defined]


def test_the_log_has_a_line_for_each_final_reply(
    settings: dict[str, str], log: io.StringIO
) -> None:
    said = (
        b"LHLO c\r\nXFORWARD NAME=origin.example ADDR=192.0.2.7\r\nMAIL FROM:<s@example.net>\r\n"
        b"RCPT TO:<nobody@example.com>\r\nRCPT TO:<alice@example.org>\r\n"
        b"RCPT TO:<bob@example.org>\r\nDATA\r\nReceived: x\r\nDelivered-To: bob@example.org\r\n"
        b".\r\nQUIT\r\n"
    )
    run(Line(said), services(settings, log))
    refused, delivered, failed = log.getvalue().splitlines()
    assert "refused" in refused
    assert 'reply="550 5.1.1 <nobody@example.com> No such mailbox here"' in refused
    for part in (
        " delivered id=",
        "peer=127.0.0.1",
        "sender=<s@example.net>",
        "recipient=alice@example.org",
        "client_name=origin.example",
        "client_addr=192.0.2.7",
        ",S=",
    ):
        assert part in delivered
    spent = dict(re.findall(r" (queue|disk|seconds)=([0-9.]+)", delivered))
    assert float(spent["queue"]) + float(spent["disk"]) == pytest.approx(
        float(spent["seconds"]), abs=0.001
    )
    assert " failed id=" in failed
    assert "MailLoopError" in failed
