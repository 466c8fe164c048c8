"""A real Dovecot IMAP server over the Maildirs that the server under test fills.

Promises: it lives below one directory of its own and on one loopback port; /etc/dovecot and a
Dovecot that runs already are not touched. It ends with its `with` block, and with us if we are
killed. Every address is a user, and all have one password. The mail is handed to
an owner that Dovecot accepts; nothing else about it is changed.
"""

from __future__ import annotations

import imaplib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from tests.support.processes import LOOPBACK, PROGRAMS_PATH, bound_to_us, free_port, greets, stop
from tests.support.waiting import wait_for

_START_S = 20.0
_STOP_S = 20.0
_TIMEOUT_S = 20.0
_PASSWORD = "one-for-all"
# Owner and group of the mail. Dovecot asks for no account, but refuses root, and as root is how
# the server under test runs here.
_OWNER = 20_000

_COMMON = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
listen = {host}
protocols = imap
ssl = no
mail_uid = {owner}
mail_gid = {owner}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""

# Dovecot 2.4 renamed most settings; these files say the same twice.
_UP_TO_2_3 = """\
disable_plaintext_auth = no
mail_location = maildir:{root}/%d/%n
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = home={folder}/home/%u
}}
"""

_FROM_2_4 = """\
dovecot_config_version = {version}
dovecot_storage_version = {version}
auth_allow_cleartext = yes
mail_driver = maildir
mail_path = {root}/%{{user|domain}}/%{{user|username}}
passdb static {{
  password = {password}
}}
userdb static {{
  fields {{
    home = {folder}/home/%{{user}}
  }}
}}
"""


class Dovecot:
    """Dovecot's IMAP server, reading the Maildirs ROOT/{domain}/{local}.

    Every folder above ROOT has to be open to all.
    """

    def __init__(self, root: Path) -> None:
        self.port = free_port()
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Dovecot:
        # Short, for the paths of unix sockets are bounded, and open to Dovecot's own users.
        self._folder = Path(tempfile.mkdtemp(prefix="dovecot-", dir="/tmp"))
        try:
            self._folder.chmod(0o755)
            self._write_configuration()
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    @contextmanager
    def inbox(self, address: str) -> Iterator[imaplib.IMAP4]:
        """An IMAP session of this user with the inbox selected."""
        self._hand_over()
        session = imaplib.IMAP4(LOOPBACK, self.port, timeout=_TIMEOUT_S)
        try:
            session.login(address, _PASSWORD)
            status, answer = session.select("INBOX", readonly=True)
            if status != "OK":
                raise RuntimeError(f"SELECT: {status} {answer}\n{self.log}")
            yield session
        finally:
            # Hang up rather than log out: this works as well after the server has hung up.
            session.shutdown()

    @property
    def log(self) -> str:
        """All that it logged so far."""
        path = self._folder / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def complaints(self) -> list[str]:
        """The lines of its log that tell of something wrong with what it read."""
        return [line for line in self.log.splitlines() if "rror:" in line or "arning:" in line]

    def _hand_over(self) -> None:
        for path in (self._root, *self._root.rglob("*")):
            os.chown(path, _OWNER, _OWNER)

    def _write_configuration(self) -> None:
        version = _version()
        template = _COMMON + _UP_TO_2_3
        if _is_new(version):
            template = _FROM_2_4 + _COMMON
        self._configuration = self._folder / "dovecot.conf"
        self._configuration.write_text(
            template.format(
                folder=self._folder,
                host=LOOPBACK,
                owner=_OWNER,
                password=_PASSWORD,
                port=self.port,
                root=self._root,
                version=version,
            )
        )

    def _start(self) -> None:
        with (self._folder / "dovecot.out").open("wb") as output:
            self._process = subprocess.Popen(
                bound_to_us(["dovecot", "-F", "-c", str(self._configuration)]),
                env={"PATH": PROGRAMS_PATH},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_for(self._is_up, _START_S, f"Dovecot on port {self.port}")

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            output = (self._folder / "dovecot.out").read_text()
            raise RuntimeError(
                f"Dovecot ended with {self._process.returncode}:\n{output}{self.log}"
            )
        return greets(self.port, b"* OK ")

    def _end(self) -> None:
        try:
            if self._process is not None:
                stop(self._process, _STOP_S)
        finally:
            shutil.rmtree(self._folder)


def _version() -> str:
    """The three numbers of this Dovecot's version, such as 2.3.19."""
    told = subprocess.run(
        ["dovecot", "--version"],
        env={"PATH": PROGRAMS_PATH},
        capture_output=True,
        check=True,
        text=True,
        timeout=_TIMEOUT_S,
    ).stdout
    return ".".join(told.split()[0].split("-")[0].split(".")[:3])


def _is_new(version: str) -> bool:
    major, minor = (int(number) for number in version.split(".")[:2])
    return (major, minor) >= (2, 4)
