"""What all MTAs of the tests have in common: mail goes in by SMTP, and waits in a queue or is gone.

Promises: each is configured with the lines of its page in docs/mta/, and with what makes a test
quick; no mail can leave the machine. Each ends with its `with` block.
"""

from __future__ import annotations

import abc
import contextlib
import re
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import ClassVar

from tests.components import COMPONENTS, Download
from tests.support.certificates import Certificate
from tests.support.client import Client, Reply, stuffed
from tests.support.components import lacking
from tests.support.processes import free_port, greets
from tests.support.sandbox import Sandbox
from tests.support.server import PROJECT
from tests.support.waiting import wait_for

DOMAIN = "example.org"
SENDER = f"sender@{DOMAIN}"
"""To whom bounces go, through the server as all mail does."""
ALICE = f"alice@{DOMAIN}"
BOB = f"bob@{DOMAIN}"
FIELDS = (
    b"From: Sender <sender@example.org>\r\n"
    b"To: Alice <alice@example.org>\r\n"
    b"Date: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@client.example.net>\r\n"
    b"Subject: A message\r\n"
)
HEADER = FIELDS + b"\r\n"
"""Whole, so that no MTA adds to it."""

_START_S = 20.0
_QUEUE_S = 60.0
_ATTEMPTS = 20
_ATTEMPT_S = 3.0
# Where the pages have lmtpd, whose bridge the MTA runs. A link would make Python look for the
# package beside the true lmtp.py, whose first line is the administrator's to change. Python may lie
# in a home that only its owner may pass through; in that machine everybody may.
_PLACE = "/opt/lmtpd"
_LMTPD = """\
mkdir -p $1/init
ln -s $2/lmtpd $2/lmtpd.py $1
ln -s $3 $1/.venv
sed "1s|.*|#!$1/.venv/bin/python|" $2/init/lmtp.py > $1/init/lmtp.py
chmod 755 $1/init/lmtp.py
for path in "$2" "$3" "$4"; do
    while [ "$path" != / ]; do
        chmod a+X "$path"
        path=$(dirname "$path")
    done
done
"""
_ORIGINS = (str(PROJECT), sys.prefix, sys.base_prefix)
_BLOCK = re.compile(r"<!-- lines: (\S+), .*? -->\n```\n(.*?)```\n", re.DOTALL)


class Mta(abc.ABC):
    """One that delivers the mail of example.org to a loopback LMTP port.

    `lines` names the block of its page that configures it: `plain`, `unix`, `starttls`, `implicit`,
    `client`, `bridge`. `shown` is the certificate that it shows with those of `client`.
    `socket_folder` is where the socket `lmtp` of the server lies, which is in /run/lmtpd there.
    """

    name: ClassVar[str]
    features: ClassVar[frozenset[str]]
    """What it can do: verify, bounce, unix, bridge, starttls, implicit, client, smtputf8,
    pipelining, chunking."""
    deferral: ClassVar[str]
    """What its log says when a delivery failed for now: a regular expression."""

    def __init__(
        self,
        lmtp_port: int,
        lines: str = "plain",
        socket_folder: Path | None = None,
        shown: Certificate | None = None,
    ) -> None:
        self.port = free_port()
        self.socket_folder = socket_folder
        self.shown = shown
        self.lines = page_lines(self.name, lines).replace("11200", str(lmtp_port))

    def __enter__(self) -> Mta:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    @abc.abstractmethod
    def start(self) -> None:
        """Start it, and wait until it greets."""

    @abc.abstractmethod
    def end(self) -> None:
        """End it and all that it started."""

    @abc.abstractmethod
    def waiting(self) -> int:
        """How many messages are in its queue."""

    @abc.abstractmethod
    def flush(self) -> None:
        """Have it try again, now, what it could not deliver."""

    @property
    @abc.abstractmethod
    def log(self) -> str:
        """All that it logged so far."""

    def client(self) -> Client:
        """A connection to its SMTP port, greeted and introduced."""
        client = Client.tcp(self.port)
        try:
            for reply in client.reply(), client.command("EHLO client.example.net"):
                if reply.code not in (220, 250):
                    raise RuntimeError(f"{self.name} says {reply}\n{self.log}")
        except BaseException:
            client.close()
            raise
        return client

    def submit(self, recipients: Sequence[str], message: bytes, parameters: str = "") -> None:
        """Send it a message that it has to take."""
        with self.client() as client:
            self.open(client, recipients, parameters)
            self.finish(client, message)
            client.command("QUIT")

    def probe(self, recipients: Sequence[str]) -> None:
        """Let it verify recipients all at once; Postfix takes a second for each new one."""

        def offered(recipient: str) -> list[Reply]:
            with self.client() as client:
                return offer(client, [recipient])

        with ThreadPoolExecutor(len(recipients)) as pool:
            list(pool.map(offered, recipients))

    def open(self, client: Client, recipients: Sequence[str], parameters: str = "") -> None:
        """MAIL and RCPT, which it has to take."""
        replies = offer(client, recipients, parameters)
        assert {reply.code for reply in replies} == {250}, f"{replies}\n{self.log}"

    def finish(self, client: Client, message: bytes) -> None:
        """DATA and the message, which it has to take."""
        assert client.command("DATA").code == 354
        client.send(stuffed(message))
        reply = client.reply()
        assert reply.code == 250, f"{reply}\n{self.log}"

    def wait_until_empty(self) -> None:
        """Wait until it holds no mail any more: all delivered or bounced."""
        self._wait(lambda: self.waiting() == 0, "an empty queue")

    def wait_until_deferred(self, at_least: int = 1) -> None:
        """Wait until deliveries have failed for now, so many since it was started."""
        self._wait(lambda: self.deferrals() >= at_least, "deliveries put aside for later")

    def deferrals(self) -> int:
        """How many deliveries have failed for now since it was started."""
        return len(re.findall(self.deferral, self.log))

    def drain(self) -> None:
        """Have it try again until it holds no mail any more."""
        for _ in range(_ATTEMPTS):
            self.flush()
            # A message that is just being tried misses this round.
            with contextlib.suppress(TimeoutError):
                wait_for(lambda: self.waiting() == 0, _ATTEMPT_S, "an empty queue")
                return
        self.wait_until_empty()

    def wait_until_up(self) -> None:
        """Wait until it greets."""
        self._wait(lambda: greets(self.port, b"220 "), "a greeting", _START_S)

    def _wait(self, condition: Callable[[], bool], what: str, seconds: float = _QUEUE_S) -> None:
        try:
            wait_for(condition, seconds, f"{what} of {self.name}")
        except TimeoutError as error:
            error.add_note(f"log:\n{self.log}")
            raise


class SandboxedMta(Mta):
    """One whose packages are unpacked into a machine of its own."""

    users: ClassVar[str]
    groups: ClassVar[str]
    key_owner = "root"
    """Who has to be able to read the key of the certificate that it shows."""

    def start(self) -> None:
        if _PLACE in self.lines and PROJECT.is_relative_to("/tmp"):
            lacking(f"{self.name} runs our bridge, which its machine cannot see below /tmp")
        component = COMPONENTS[self.name]
        assert isinstance(component, Download)
        packages = sorted(component.folder.glob("*.deb"))
        self.machine = Sandbox(packages, self.users, self.groups, self.socket_folder)
        self.machine.__enter__()
        try:
            if _PLACE in self.lines:
                self.machine.run("sh", "-ec", _LMTPD, "sh", _PLACE, *_ORIGINS)
            if self.shown:
                self._put(self.shown)
            self.install()
            self.wait_until_up()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        self.machine.__exit__(None, None, None)

    def _put(self, shown: Certificate) -> None:
        """Where the lines have it, as an administrator would."""
        for path in (shown.cert_path, shown.key_path):
            [name] = re.findall(rf"/(etc/\S+/client{path.suffix})\b", self.lines)
            self.machine.write(name, path.read_text("ascii"))
            self.machine.run("chown", self.key_owner, f"/{name}")
            self.machine.run("chmod", "600", f"/{name}")

    @abc.abstractmethod
    def install(self) -> None:
        """Write its configuration and start it."""


def offer(client: Client, recipients: Sequence[str], parameters: str = "") -> list[Reply]:
    """Open a transaction; the replies to the recipients."""
    reply = client.command(f"MAIL FROM:<{SENDER}>{parameters}")
    assert reply.code == 250, reply
    return [client.command(f"RCPT TO:<{recipient}>") for recipient in recipients]


def page_lines(name: str, block: str) -> str:
    """A block of the MTA's page, which an administrator copies."""
    page = Path(PROJECT / "docs" / "mta" / f"{name}.md").read_text("utf-8")
    return dict(_BLOCK.findall(page))[block]


def section(lines: str, title: str) -> str:
    """Of such a block the lines below a comment that begins with `title`, up to an empty line."""
    found = re.search(rf"^# {title}[^\n]*\n(.*?)(?:^\n|\Z)", lines, re.DOTALL | re.MULTILINE)
    assert found is not None, f"no section {title!r} in:\n{lines}"
    return found[1]
