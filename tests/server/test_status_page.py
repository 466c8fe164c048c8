"""The status page in a real browser, against the running server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Browser, chromium
from tests.support.certificates import Certificate
from tests.support.client import Client
from tests.support.components import require
from tests.support.processes import accepts, free_port
from tests.support.server import Server
from tests.support.waiting import wait_for

ALICE = "alice@example.org"
PHONE, DESK = 390, 1400
_SOON_S = 30.0


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    require("chromium")
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


class Watched:
    """A server, and the page on which a person watches it."""

    def __init__(self, folder: Path, browser: Browser, **settings: object) -> None:
        self.port = free_port()
        address = f"127.0.0.1:{self.port}"
        settings = {"lmtp_workers": 1, **settings}
        self.server = Server(folder, lmtp_status_addr=address, **settings)
        self.server.mailbox(ALICE)
        self.browser = browser

    def start(self) -> None:
        self.server.start()
        wait_for(lambda: accepts(self.port), _SOON_S, "the status")

    def open(self, width: int = DESK, scheme: str = "light") -> None:
        self.browser.console()
        self.browser.screen(width, scheme)
        self.browser.open(f"http://127.0.0.1:{self.port}/")

    def says(self, words: str, selector: str = "body") -> None:
        """It comes to say so, without a reload."""
        wait_for(lambda: words in self.browser.text(selector), _SOON_S, f"the page says {words!r}")


@pytest.fixture
def watched(tmp_path: Path, browser: Browser) -> Iterator[Watched]:
    one = Watched(tmp_path, browser)
    one.start()
    try:
        yield one
    finally:
        browser.open("about:blank")
        one.server.stop()


def say(server: Server, sender: str, recipient: str, parameters: str = "") -> int:
    """Send a message; the code of the last reply to its recipient."""
    client = Client.tcp(server.port)
    try:
        assert client.reply().code == 220
        assert client.command("LHLO client.example").code == 250
        client.send(f"MAIL FROM:<{sender}>{parameters}\r\n".encode())
        assert client.reply().code == 250
        client.send(f"RCPT TO:<{recipient}>\r\n".encode())
        reply = client.reply()
        if reply.code == 250:
            assert client.command("DATA").code == 354
            client.send(b"Subject: A try\r\n\r\nHello.\r\n.\r\n")
            reply = client.reply()
        return reply.code
    finally:
        client.close()


def test_it_shows_what_happens_without_a_reload(watched: Watched) -> None:
    watched.open()
    watched.says("All is well")
    watched.browser.run("window.isTheSame = true")
    assert say(watched.server, "sender@example.net", ALICE) == 250
    assert say(watched.server, "sender@example.net", "nobody@example.org") == 550
    watched.says("✓ delivered", "#last")
    watched.says(ALICE, "#last")
    watched.says("refused", "#last")
    watched.says("nobody@example.org", "#most-refused")
    watched.says("1 delivered", "#delivered-caption")
    watched.says("1 refused", "#refused-caption")
    watched.says("Delivery, from the final dot", "#latency")
    watched.says("✓ up", "#hooks")
    assert " free of " in watched.browser.text("#disk-free")
    assert str(watched.server.root) in watched.browser.text("#disk-note")
    assert "All is well" in str(watched.browser.run("return document.title"))
    drawn = """
        const canvas = document.querySelector("#delivered-chart canvas");
        const octets = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return octets.some((octet) => octet > 0)"""
    assert watched.browser.run(drawn)
    assert watched.browser.run("return window.isTheSame")
    assert watched.browser.console() == []


def test_nothing_of_a_peer_is_more_than_text(watched: Watched) -> None:
    watched.open()
    sender = '"<img src=x onerror=window.isDone=1>"@example.net'
    recipient = '"<script>window.isDone=1</script>&lt;"@example.org'
    assert say(watched.server, sender, recipient) == 550
    watched.says("<img src=x onerror=window.isDone=1>", "#last")
    watched.says("<script>window.isDone=1</script>&lt;", "#last")
    watched.says("<script>window.isDone=1</script>&lt;", "#most-refused")
    assert (
        watched.browser.run("return document.querySelectorAll('main img, main script').length") == 0
    )
    assert watched.browser.run("return window.isDone === undefined")
    assert watched.browser.console() == []


def test_what_turns_text_around_is_shown_as_a_number(watched: Watched) -> None:
    watched.open()
    sender, recipient = "\u202egro@example.net", "\u2066ecila\u200f@example.org"
    assert say(watched.server, sender, recipient, " SMTPUTF8") == 550
    watched.says(r"<\u{202e}gro@example.net>", "#last")
    watched.says(r"\u{2066}ecila\u{200f}@example.org", "#most-refused")
    assert not {*"\u202e\u2066\u200f"} & {*watched.browser.text()}


def test_a_hook_that_is_down_is_told_in_words(tmp_path: Path, browser: Browser) -> None:
    settings = {
        "lmtp_recipient_hooks": "maildirs;socketmap",
        "lmtp_socketmap": f"inet:127.0.0.1:{free_port()}:users",
        "lmtp_hook_faults": 1,
    }
    one = Watched(tmp_path, browser, **settings)
    one.start()
    try:
        one.open()
        one.says("✓ up", "#hooks")
        assert say(one.server, "sender@example.net", "nobody@example.org") == 451
        one.says("Not all mail can be delivered", "#verdict")
        one.says("hook socketmap is down", "#troubles")
        one.says("✕ down for ", "#hooks")
        browser.picture(tmp_path / "hook-down.png")
    finally:
        browser.open("about:blank")
        one.server.stop()


def test_a_server_that_is_gone_is_told_and_one_that_is_back_too(watched: Watched) -> None:
    watched.open()
    watched.says("All is well")
    watched.server.stop()
    watched.says("No answer since ", "#verdict")
    watched.browser.picture(watched.server.root.parent / "no-answer.png")
    watched.server.start()
    watched.says("All is well", "#verdict")


def test_workers_that_are_silent_are_told(watched: Watched) -> None:
    watched.open()
    watched.says("All is well")
    [pid] = watched.server.workers()[:1]
    assert str(pid) in watched.browser.text("#workers")
    os.kill(pid, signal.SIGSTOP)
    try:
        watched.says("no worker has told anything of itself lately", "#troubles")
        watched.says("! is silent", "#workers")
        watched.says("0 of 1 work", "#workers-title")
    finally:
        os.kill(pid, signal.SIGCONT)
    watched.says("All is well", "#verdict")


def test_a_worker_that_is_missing_is_told(tmp_path: Path, browser: Browser) -> None:
    one = Watched(tmp_path, browser, lmtp_workers=2)
    one.start()
    try:
        one.open()
        one.says("2 of 2 work", "#workers-title")
        first, *others = one.server.workers()
        teller = next(pid for pid in others if str(pid) not in browser.text("#workers"))

        def is_missed() -> bool:
            for pid in {*one.server.workers()} - {first, teller}:
                os.kill(pid, signal.SIGKILL)
            return "is missing" in browser.text("#workers")

        wait_for(is_missed, _SOON_S, "it to be missed")
        one.says("Mail is delivered, but look at this", "#verdict")
        one.says("worker 1 is missing for ", "#troubles")
        browser.picture(tmp_path / "missing.png")
        one.says("2 of 2 work", "#workers-title")
    finally:
        browser.open("about:blank")
        one.server.stop()


def test_certificates_are_shown(tmp_path: Path, browser: Browser, certificate: Certificate) -> None:
    tls = {"lmtp_cert_path": certificate.cert_path, "lmtp_key_path": certificate.key_path}
    one = Watched(tmp_path, browser, **tls)
    one.start()
    try:
        one.open()
        one.says(str(certificate.cert_path), "#certificates")
        assert browser.console() == []
    finally:
        browser.open("about:blank")
        one.server.stop()


def test_the_charts_can_be_read_with_the_keyboard_alone(watched: Watched) -> None:
    assert say(watched.server, "sender@example.net", ALICE) == 250
    watched.open()
    watched.says("1 delivered", "#delivered-caption")
    watched.browser.press_enter_on("summary")
    watched.says("Delivered before", "#minutes")
    rows = watched.browser.text("#minutes tbody").splitlines()
    assert len(rows) in (60, 61)
    # The minute, delivered, delivered before, refused, failed.
    assert [row.split()[1:] for row in rows if row.split()[1] != "0"] == [["1", "0", "0", "0"]]


def test_phones_and_screens_in_light_and_dark(watched: Watched, tmp_path: Path) -> None:
    long = "x" * 60 + "@" + ".".join(["y" * 60] * 3) + ".example"
    say(watched.server, long, ALICE)
    say(watched.server, "sender@example.net", long)
    pictures = set()
    for width in (PHONE, DESK):
        for scheme in ("light", "dark"):
            watched.open(width, scheme)
            watched.says("x" * 60, "#most-refused")
            excess = watched.browser.run(
                "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
            )
            assert excess == 0, f"it scrolls sideways at {width}"
            watched.browser.picture(tmp_path / f"page-{scheme}-{width}.png")
            pictures.add(
                watched.browser.run("return getComputedStyle(document.body).backgroundColor")
            )
            assert watched.browser.console() == []
    assert len(pictures) == 2
