"""A real Postfix in front of the server, configured as the product's documentation says.

Promises: it lives below one directory of its own and on one loopback port; /etc/postfix and a
Postfix that runs already are not touched. It ends with its `with` block, or within ten minutes if
we are killed. No mail can leave the machine: there is no SMTP client among its services, DNS is
off, and mail for anywhere but the server's domain (bounces included) is discarded.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.client import Client
from tests.support.processes import LOOPBACK, PROGRAMS_PATH, free_port, greets, stop
from tests.support.waiting import wait_for

DOMAIN = "example.org"

_START_S = 20.0
_STOP_S = 20.0
_LONGEST_LIFE_S = "600"
_QUEUE_S = 30.0

# The first three lines are what the product's documentation asks of an administrator. Then: quick
# answers (an address is looked at again after 1 s, many times, so that a slow machine gets no 450),
# quick retries, a message left as the client sent it, and nothing to or from the outside.
_MAIN_CF = """\
virtual_mailbox_domains = {domain}
virtual_transport = lmtp:[{host}]:{lmtp_port}
smtpd_recipient_restrictions = reject_unverified_recipient
unverified_recipient_reject_code = 550

compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
meta_directory = {meta_directory}

address_verify_map =
address_verify_poll_delay = 1s
address_verify_poll_count = 20
smtpd_error_sleep_time = 0

myhostname = mail.{domain}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = {host}
inet_protocols = ipv4
local_header_rewrite_clients =
local_recipient_maps =
alias_maps =
alias_database =
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
lmtp_dns_support_level = disabled
default_transport = discard
relay_transport = discard
local_transport = discard
notify_classes =
"""

# What Debian starts, without chroot, and without the services that carry mail away: smtp, relay,
# local, virtual, pipe.
_MASTER_CF = """\
{host}:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

_PRIVATE_QUEUES = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming"),
    *("private", "saved", "trace"),
)


class Postfix:
    """Postfix that delivers the mail of example.org to a loopback LMTP port.

    `settings` are further lines of main.cf, such as lmtp_tls_security_level="encrypt".
    """

    def __init__(self, lmtp_port: int, **settings: str) -> None:
        self.port = free_port()
        self._lmtp_port = lmtp_port
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Postfix:
        # Short, for the paths of unix sockets are bounded, and open to the user postfix, which a
        # directory of pytest's is not.
        self._folder = Path(tempfile.mkdtemp(prefix="postfix-", dir="/tmp"))
        try:
            self._folder.chmod(0o755)
            self._make_folders()
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

    def client(self) -> Client:
        """A connection to its SMTP port, greeted and introduced."""
        client = Client.tcp(self.port)
        try:
            for reply in client.reply(), client.command("EHLO client.example.net"):
                if reply.code not in (220, 250):
                    raise RuntimeError(f"Postfix says {reply}\n{self.log}")
        except BaseException:
            client.close()
            raise
        return client

    def queue(self) -> list[dict[str, Any]]:
        """Its queue: for each message what `postqueue -j` says of it."""
        return [json.loads(line) for line in self._run("postqueue", "-j").splitlines()]

    def flush(self) -> None:
        """Have it try again, now, what it could not deliver."""
        self._run("postqueue", "-f")

    def wait_until_deferred(self) -> None:
        """Wait until all that it holds has been tried and put aside for later."""
        self._wait_for_queue(
            lambda queue: bool(queue) and all(m["queue_name"] == "deferred" for m in queue),
            "a queue of deferred mail only",
        )

    def wait_until_empty(self) -> None:
        """Wait until it holds no mail any more: all delivered or bounced."""
        self._wait_for_queue(lambda queue: not queue, "an empty queue")

    def setting(self, name: str) -> str:
        """The value of a setting, as `postconf` tells it."""
        return self._run("postconf", "-x", "-h", name).strip()

    @property
    def log(self) -> str:
        """All that it logged so far."""
        path = self._folder / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def _wait_for_queue(self, condition: Callable[[list[dict[str, Any]]], bool], what: str) -> None:
        try:
            wait_for(lambda: condition(self.queue()), _QUEUE_S, what)
        except TimeoutError as error:
            error.add_note(f"queue: {self.queue()}\nlog:\n{self.log}")
            raise

    def _make_folders(self) -> None:
        """The directories that `postfix check` makes, which would look at the machine's as well."""
        queue, data = self._folder / "queue", self._folder / "data"
        queue.mkdir(mode=0o755)
        (queue / "pid").mkdir(mode=0o755)
        for path in (data, *(queue / name for name in _PRIVATE_QUEUES)):
            path.mkdir(mode=0o700)
            shutil.chown(path, "postfix")
        # The two that `postqueue` and `postdrop` reach by their group.
        for name, mode in (("public", 0o2710), ("maildrop", 0o1730)):
            path = queue / name
            path.mkdir()
            shutil.chown(path, "postfix", "postdrop")
            path.chmod(mode)

    def _write_configuration(self) -> None:
        values = {
            "domain": DOMAIN,
            "folder": self._folder,
            "host": LOOPBACK,
            "lmtp_port": self._lmtp_port,
            "meta_directory": _built_in("meta_directory"),
            "port": self.port,
        }
        master = _MASTER_CF.format(**values)
        extra = "".join(f"{name} = {value}\n" for name, value in self._settings.items())
        for name, text in (("main.cf", _MAIN_CF.format(**values) + extra), ("master.cf", master)):
            path = self._folder / name
            path.write_text(text)
            # Postfix reads a file that changed this second again and again, for an editor might
            # still be writing it, and starts two seconds later.
            os.utime(path, (0, 0))

    def _start(self) -> None:
        master = Path(_built_in("daemon_directory")) / "master"
        with (self._folder / "master.out").open("wb") as output:
            self._process = subprocess.Popen(
                # -d: stay a child of ours, in the foreground. -e: end some time even if we cannot
                # end it; Postfix changes its user and thereby loses a parent-death signal.
                [str(master), "-c", str(self._folder), "-d", "-e", _LONGEST_LIFE_S],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_for(self._is_up, _START_S, f"Postfix on port {self.port}")

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            output = (self._folder / "master.out").read_text()
            raise RuntimeError(
                f"Postfix ended with {self._process.returncode}:\n{output}{self.log}"
            )
        return greets(self.port, b"220 ")

    def _end(self) -> None:
        try:
            if self._process is not None:
                stop(self._process, _STOP_S)
        finally:
            shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [program, "-c", str(self._folder), *arguments],
            env=self._environment(),
            capture_output=True,
            check=False,
            text=True,
            timeout=_QUEUE_S,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{done.args!r}: {done.stderr}\n{self.log}")
        return done.stdout

    def _environment(self) -> dict[str, str]:
        return {"PATH": PROGRAMS_PATH, "MAIL_CONFIG": str(self._folder)}


def _built_in(name: str) -> str:
    """A path that this Postfix was compiled with."""
    command = ["postconf", "-d", "-x", "-h", name]
    return subprocess.run(
        command,
        env={"PATH": PROGRAMS_PATH},
        capture_output=True,
        check=True,
        text=True,
        timeout=_QUEUE_S,
    ).stdout.strip()
