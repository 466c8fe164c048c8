"""lmtpd as the Debian package installs it, on a machine that systemd runs; and its clients.

What they were promised is kept in `record`, for as long as the machine is there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.support import debian_package
from tests.support.booted import Booted
from tests.support.client import Reply
from tests.support.load import Record, announce, compose, examine, finish, greeted

CONFIG = "etc/lmtpd/lmtpd.conf"
STORE = "var/lib/lmtpd/maildirs"
PORT = 11200
SOON_S = 30.0

ALICE = "alice@example.org"
# As many as a message of a Load may have recipients.
MAILBOXES = (ALICE, *(f"user{number}@example.org" for number in range(9)))
# For mail that nobody examines.
STEADY = "steady@example.net"

_DROP_INS = "etc/systemd/system/lmtpd.service.d"
_PYTHON = "/usr/lib/lmtpd/bin/python"
_MODULES = "usr/lib/lmtpd/lib/python3.11/site-packages"


class Installed(Booted):
    """Entering it installs the package, makes mailboxes, and leaves the service as it is then."""

    def __init__(self, base: Path, package: Path) -> None:
        super().__init__(base)
        self._package = package
        self.record = Record({mailbox: (mailbox,) for mailbox in MAILBOXES})

    def __enter__(self) -> Installed:
        super().__enter__()
        try:
            debian_package.install(self, self._package)
            self._config = self.read(CONFIG)
            self.add_mailbox(*MAILBOXES)
        except BaseException:
            self._end()
            raise
        return self

    # Its administrator.

    def configure(self, *lines: str) -> None:
        """Settings in addition to those it is installed with."""
        self.write(CONFIG, "\n".join((self._config, *lines, "")))

    def add_mailbox(self, *addresses: str) -> None:
        """As init/lmtpd.conf tells it."""
        add = ("lmtpd", "mailbox", "add", *addresses, "--config", f"/{CONFIG}")
        self.run("runuser", "-u", "vmail", "--", *add)

    def messages(self, address: str = ALICE) -> list[Path]:
        """The files in new/ of a mailbox."""
        local, _, domain = address.partition("@")
        return list((self.path(STORE) / domain / local / "new").iterdir())

    def drop_in(self, text: str) -> None:
        """More for the unit of the service."""
        self.write(f"{_DROP_INS}/test.conf", text)
        self.systemctl("daemon-reload")

    def reset(self) -> None:
        """All is stopped, and as it is installed, but for the mail that was promised."""
        self.systemctl("stop", "lmtpd.socket", "lmtpd.service")
        self.systemctl("reset-failed")
        self.systemctl("enable", "lmtpd.service")
        self.systemctl("disable", "lmtpd.socket")
        self.write(CONFIG, self._config)
        shutil.rmtree(self.path(STORE) / STEADY.partition("@")[2], ignore_errors=True)
        if self.path(_DROP_INS).exists():
            shutil.rmtree(self.path(_DROP_INS))
            self.systemctl("daemon-reload")

    def states(self) -> list[str]:
        """Of socket and service."""
        return [self.shown(unit, "ActiveState") for unit in ("lmtpd.socket", "lmtpd.service")]

    def add_module(self, file: Path) -> None:
        """A module of Python, where the server finds it."""
        self.write(f"{_MODULES}/{file.name}", file.read_text("utf-8"))

    def run_module(self, *arguments: str) -> str:
        """Run one as the server's user, whom no unit confines."""
        return self.run("runuser", "-u", "vmail", "--", _PYTHON, "-m", *arguments)

    # Its clients.

    def greets(self) -> bool:
        """Whether a new client is greeted."""
        return self.within(greets)

    def port(self) -> int:
        """Its port; from now on the sockets of the calling thread are the machine's."""
        self.enter_network()
        return PORT

    def keywords(self) -> tuple[str, ...]:
        """What is said to LHLO."""

        def dialogue() -> tuple[str, ...]:
            with greeted(PORT) as client:
                return client.command("LHLO load.example.net").lines

        return self.within(dialogue)

    def deliver(self, recipient: str = ALICE, record: Record | None = None) -> str:
        """One message, acknowledged; the id in the 250."""
        record = record or self.record
        letter = f"letter/{len(record.letters)}"
        codes = self.within(lambda: delivered(record, letter, recipient))
        assert codes == [250]
        return next(name for name, about in record.delivery_ids.items() if about == letter)

    def asked(self, *recipients: str) -> list[Reply]:
        """What is said to RCPT."""

        def dialogue() -> list[Reply]:
            with greeted(PORT) as client:
                client.command("MAIL FROM:<>")
                return [client.command(f"RCPT TO:<{one}>") for one in recipients]

        return self.within(dialogue)

    def holds_all(self) -> bool:
        """Whether all that was promised is in the store, whole and once."""
        return not examine(self.path(STORE), self.record) and not self.record.faults


def greets() -> bool:
    """Whether lmtpd greets us, on a thread in its network."""
    try:
        greeted(PORT).close()
    except ConnectionError:
        return False
    return True


def delivered(
    record: Record, letter: str, recipient: str, meanwhile: Callable[[], None] = lambda: None
) -> list[int]:
    """The final replies to one message, on a thread in its network.

    `meanwhile` is called when the message has been announced.
    """
    with greeted(PORT) as client:
        accepted = announce(client, record, letter, [recipient])
        meanwhile()
        answers = finish(client, record, letter, accepted, compose(letter, 4096))
    return [answer.code for answer in answers]
