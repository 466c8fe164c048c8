"""`lmtpd.py top` in a terminal, beside the running server: what a person sees, and what stays."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lmtpd.top.words import UNICODE
from tests.server.test_status import ALICE, Status, deliver, serving
from tests.server.test_status_page import say
from tests.support.command_line import begin, ended, lmtpd
from tests.support.processes import free_port
from tests.support.server import Server
from tests.support.terminal import Terminal, running
from tests.support.waiting import wait_for

_SOON_S = 30.0
_ESCAPE = "\x1b"
UNAVAILABLE = os.EX_UNAVAILABLE
REFUSED = UNICODE.marks["refused"]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Status]]:
    with serving(tmp_path_factory.mktemp("watched")) as (server, status):
        deliver(server, 1, ALICE)
        deliver(server, 2, "nobody@example.org")
        wait_for(lambda: len(status.told()["last"]) == 2, _SOON_S, "both to be told")
        yield server, status


def command(port: int, *options: str) -> list[str]:
    address = f"--lmtp-status-addr=127.0.0.1:{port}"
    return [sys.executable, "lmtpd.py", "top", "--interval=0.2", address, *options]


@contextmanager
def top(port: int, columns: int = 80, lines: int = 24, **environment: str) -> Iterator[Terminal]:
    with running(command(port), columns, lines, **environment) as terminal:
        yield terminal


def is_as_it_was(terminal: Terminal, before: list[Any]) -> bool:
    """The terminal obeys its owner again: its settings, the cursor, and which screen is shown."""
    wait_for(lambda: b"\x1b[?1049l" in terminal.octets, _SOON_S, "the screen that was there")
    entered = terminal.octets.rindex(b"\x1b[?1049h")
    left = terminal.octets.rindex(b"\x1b[?1049l")
    return terminal.attributes() == before and not terminal.screen.cursor.hidden and left > entered


def test_what_happens_is_seen(watched: tuple[Server, Status]) -> None:
    server, status = watched
    with top(status.port) as terminal:
        before = terminal.attributes()
        terminal.shows("All is well: ")
        assert terminal.attributes() != before, "a key is heard at once"
        assert terminal.screen.cursor.hidden
        terminal.shows("✓ delivered alice@example.org")
        terminal.shows(f"{REFUSED} refused   nobody@example.org")
        terminal.shows("Delivered  1 in 6 min")
        terminal.shows("Refused  1, failed 0 in 6 min")
        terminal.shows("█")
        terminal.shows("Workers 2/2")
        terminal.shows("✓ maildirs")
        terminal.shows(" % in use")
        terminal.shows("none: TLS is off")
        assert re.search(
            r"Delivery +[\d.]+ m?s +[\d.]+ m?s +[\d.]+ m?s", "\n".join(terminal.rows())
        )
        assert "green" in terminal.colours()
        say(server, "sender@example.net", "new@example.org")
        terminal.shows(f"{REFUSED} refused   new@example.org")
        terminal.type("q")
        assert terminal.ends() == 0
        assert not terminal.screen.cursor.hidden
        assert terminal.octets.endswith(b"\x1b[?1049l")


def test_the_window_is_pulled_at(watched: tuple[Server, Status]) -> None:
    _, status = watched
    with top(status.port) as terminal:
        terminal.shows("All is well")
        for columns, lines in ((60, 24), (140, 40), (20, 5), (1, 1), (60, 40)):
            terminal.resize(columns, lines)
            if columns >= 60:
                terminal.shows("q: quit")
                clock = re.compile(r" \d\d:\d\d:\d\d$")

                def fits(columns: int = columns, clock: re.Pattern[str] = clock) -> bool:
                    first, *_, last = terminal.rows()
                    return len(first) == columns and bool(clock.search(first)) and "q: q" in last

                wait_for(fits, _SOON_S, f"a frame of {columns} columns")
                assert any("No such mailbox" in row for row in terminal.rows()) == (columns >= 100)
        terminal.type("q")
        assert terminal.ends() == 0


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_the_terminal_is_given_back(
    number: signal.Signals, status: int, watched: tuple[Server, Status]
) -> None:
    with running(command(watched[1].port)) as terminal:
        before = terminal.attributes()
        terminal.shows("All is well")
        if number == signal.SIGINT:
            terminal.type("\x03")
        else:
            assert terminal.process is not None
            terminal.process.send_signal(number)
        assert terminal.ends() == status
        assert is_as_it_was(terminal, before)
        assert "Traceback" not in "\n".join(terminal.rows())


def test_it_is_given_back_in_a_crash_too() -> None:
    program = "from lmtpd.top.screen import Screen\nwith Screen(): raise RuntimeError('a bug')"
    with running([sys.executable, "-c", program]) as terminal:
        before = terminal.attributes()
        assert terminal.ends() == 1
        assert is_as_it_was(terminal, before)
        left = terminal.octets.rindex(b"\x1b[?1049l")
        wait_for(lambda: b"a bug" in terminal.octets[left:], _SOON_S, "the traceback, to be read")


def test_it_can_be_stopped_and_go_on(watched: tuple[Server, Status]) -> None:
    with running(command(watched[1].port)) as terminal:
        before = terminal.attributes()
        terminal.shows("All is well")
        assert terminal.process is not None
        pid = terminal.process.pid
        os.kill(pid, signal.SIGTSTP)  # as by Ctrl-Z, in a shell that knows jobs
        state = Path(f"/proc/{pid}/stat")
        wait_for(lambda: state.read_text().rpartition(") ")[2][0] == "T", _SOON_S, "its stop")
        assert is_as_it_was(terminal, before)
        terminal.screen.reset()
        os.kill(pid, signal.SIGCONT)
        terminal.shows("All is well")
        assert terminal.attributes() != before
        terminal.type("q")
        assert terminal.ends() == 0
        assert is_as_it_was(terminal, before)


def test_a_terminal_that_is_closed_ends_it(watched: tuple[Server, Status]) -> None:
    with running(command(watched[1].port)) as terminal:
        terminal.shows("All is well")
        process = terminal.process
        assert process is not None
        terminal.hang_up()
        assert process.wait(_SOON_S) in (128 + signal.SIGHUP, os.EX_IOERR)


def test_space_asks_at_once(watched: tuple[Server, Status]) -> None:
    server, status = watched
    slow = [*command(status.port), "--interval=600"]
    with running(slow, 80, 40) as terminal:
        terminal.shows("All is well")
        say(server, "sender@example.net", "hurry@example.org")

        def is_seen() -> bool:
            terminal.type(" ")
            return "hurry@example.org" in "\n".join(terminal.rows())

        wait_for(is_seen, _SOON_S, "the news")
        terminal.type("q")
        assert terminal.ends() == 0


def test_a_worker_that_hangs_is_seen(watched: tuple[Server, Status]) -> None:
    _, status = watched
    pid = status.workers()[1]
    with top(status.port) as terminal:
        terminal.shows("All is well")
        os.kill(pid, signal.SIGSTOP)
        try:
            terminal.shows("Mail is delivered, but look at this")
            terminal.shows(f"worker 1 (process {pid}) has told nothing for ")
            terminal.shows("! 1 silent ")
            terminal.shows("Workers 1/2")
        finally:
            os.kill(pid, signal.SIGCONT)
        terminal.shows("All is well")


def test_a_server_that_is_gone_is_told_and_one_that_is_back_too(tmp_path: Path) -> None:
    with serving(tmp_path, lmtp_workers=1) as (server, status), top(status.port) as terminal:
        terminal.shows("All is well")
        server.stop()
        terminal.shows("No answer since ")
        terminal.shows("Connection refused")
        server.start()
        terminal.shows("All is well")
        terminal.type("q")
        assert terminal.ends() == 0


def test_signs_of_a_peer_are_no_markup_and_turn_nothing_around(
    watched: tuple[Server, Status],
) -> None:
    server, status = watched
    recipient = '"[red]x[/red][link=http://x]"@example.org'
    say(server, "\u202egro@example.net", recipient, " SMTPUTF8")
    with top(status.port, 200, 50) as terminal:
        terminal.shows('"[red]x[/red][link=http://x]"@example.org')
        terminal.shows(r"<\u202egro@example.net>")
        assert "\u202e".encode() not in terminal.octets
        terminal.type("q")
        assert terminal.ends() == 0


# One frame, and terminals that can do less.


def test_a_pipe_gets_one_frame_of_plain_text(watched: tuple[Server, Status]) -> None:
    _, status = watched
    address = f"--lmtp-status-addr=127.0.0.1:{status.port}"
    for options in (["--once"], []):
        done = lmtpd("top", *options, address, LANG="C.UTF-8", COLUMNS="120")
        assert (done.returncode, done.stderr) == (0, "")
        assert "✓ All is well" in done.stdout
        assert "✓ delivered alice@example.org" in done.stdout
        assert _ESCAPE not in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 120
        assert "q: quit" not in done.stdout


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C"}, {"LANG": "C", "LC_ALL": ""}, {"LC_ALL": "en_US.ISO-8859-1"}]
)
def test_where_the_locale_is_not_of_utf_8_all_is_ascii(
    locale: dict[str, str], watched: tuple[Server, Status]
) -> None:
    server, status = watched
    say(server, "jürgen@example.net", "größe@example.org", " SMTPUTF8")
    wait_for(lambda: "größe@example.org" in str(status.told()["last"]), _SOON_S, "it to be told")
    kept = {key: value for key, value in os.environ.items() if key[:3] not in ("LC_", "LAN")}
    with running(command(status.port), 140, 45, **kept, **{"LANG": "", **locale}) as terminal:
        terminal.shows("+ All is well")
        terminal.shows(r"gr\xf6\xdfe@example.org")
        terminal.shows("#")
        terminal.type("q")
        assert terminal.ends() == 0
        assert terminal.octets.isascii()


def test_no_color(watched: tuple[Server, Status]) -> None:
    with top(watched[1].port, NO_COLOR="1") as terminal:
        terminal.shows("✓ All is well")
        assert terminal.colours() == {"default"}


def test_a_dumb_terminal_gets_frames_below_each_other(watched: tuple[Server, Status]) -> None:
    with top(watched[1].port, TERM="dumb") as terminal:
        wait_for(lambda: terminal.octets.count(b"All is well") >= 3, _SOON_S, "three frames")
        terminal.type("\x03")
        assert terminal.ends() == 130
        assert _ESCAPE.encode() not in terminal.octets


# What is wrong is said, and with which exit status.


def test_without_an_address_it_says_what_to_set() -> None:
    done = lmtpd("top")
    assert done.returncode == UNAVAILABLE
    assert "lmtpd: Set lmtp-status-addr = 127.0.0.1:11280 " in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "0.0.0.0"])
def test_without_a_server_it_says_so_and_where(host: str) -> None:
    address = f"{host}:{free_port()}"
    done = lmtpd("top", "--lmtp-status-addr", address)
    assert done.returncode == UNAVAILABLE
    assert f"no status at {address}: " in done.stderr
    assert f"was it started with lmtp-status-addr = {address}?" in done.stderr


def test_without_rich_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['rich'] = None\n"
        "from lmtpd.cli import main; sys.exit(main(['top']))"
    )
    with running([sys.executable, "-c", program], 100) as terminal:
        terminal.shows("lmtpd: top: needs rich: pip install lmtpd[top]")
        assert terminal.ends() == UNAVAILABLE


def test_an_interval_that_is_none() -> None:
    assert lmtpd("top", "--interval=0").returncode == os.EX_USAGE


# Another program has the port.


@contextmanager
def answering(content: bytes, status: int = 200) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def answer_of(status: Status) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{status.port}/status.json") as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 200),
        (b"{}", 200),
        (b"[]", 200),
        (b'{"slots": []}', 200),
        (b'{"slots": 5, "host": []}', 200),
        (b'{"slots": [], "now": NaN}', 200),
        (b"[" * 100_000, 200),
        (b'{"slots": "' + bytes(9 << 20) + b'"}', 200),
        (b"\xff\xfe", 200),
        (b"no", 421),
    ],
    ids=range(10),
)
def test_an_answer_that_is_none(content: bytes, status: int) -> None:
    with answering(content, status) as port:
        done = lmtpd("top", "--once", f"--lmtp-status-addr=127.0.0.1:{port}")
    assert done.returncode == UNAVAILABLE
    assert f"no status at 127.0.0.1:{port}: " in done.stderr
    assert "Traceback" not in done.stderr


def worse(value: Any, text: str, number: float) -> Any:
    """The same answer with each text and each figure exchanged."""
    match value:
        case dict():
            return {key: worse(one, text, number) for key, one in value.items()}
        case list():
            return [worse(one, text, number) for one in value]
        case str():
            return value if value in ("working", "delivered", "refused") else text
        case int() | float() if not isinstance(value, bool):
            return number
    return value


def test_nothing_of_an_answer_acts_on_the_terminal(watched: tuple[Server, Status]) -> None:
    text = "\x1b]0;evil\x07\x9b31m\x1b[2J\r\n\ud800[bold]"
    content = worse(answer_of(watched[1]), text, 10)
    with answering(json.dumps(content).encode()) as port, top(port, 200, 50) as terminal:
        terminal.shows(r"lmtpd \x1b]0;evil\x07\x9b31m\x1b[2J\r\n\ud800[bold]")
        terminal.type("q")
        assert terminal.ends() == 0
        assert b"\x1b]" not in terminal.octets
        assert terminal.octets.count(b"\x1b[2J") == 1, "ours alone"
        assert "\x9b".encode() not in terminal.octets


@pytest.mark.parametrize("number", [-1, 0, 1e300, 10**400])
def test_figures_that_cannot_be_are_no_crash(number: float, watched: tuple[Server, Status]) -> None:
    content = json.dumps(worse(answer_of(watched[1]), "text", number)).encode()
    with answering(content) as port:
        process = begin("top", "--once", f"--lmtp-status-addr=127.0.0.1:{port}")
        done = ended(process)
        assert "Traceback" not in done.stderr
        assert done.returncode in (0, UNAVAILABLE)
        with top(port) as terminal:
            terminal.shows("q: quit" if done.returncode == 0 else "another version of lmtpd")
            terminal.type("q")
            assert terminal.ends() == 0
