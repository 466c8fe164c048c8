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
from pathlib import Path
from typing import Any

from tests.support.mta import DOMAIN, Mta
from tests.support.processes import LOOPBACK, PROGRAMS_PATH, stop

_STOP_S = 20.0
_LONGEST_LIFE_S = "600"
_TIMEOUT_S = 30.0

# The first lines are those of the page. Then: quick answers (an address is looked
# at again after 1 s, many times, so that a slow machine gets no 450), quick retries, a message left
# as the client sent it, and nothing to or from the outside.
_MAIN_CF = """\
{lines}
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


class Postfix(Mta):
    """Postfix, configured with the lines of docs/mta/postfix.md."""

    name = "postfix"
    features = frozenset(
        {"verify", "bounce", "unix", "starttls", "implicit", "client", "smtputf8", "pipelining"}
    )
    deferral = "status=deferred"

    def start(self) -> None:
        # Short, for the paths of unix sockets are bounded, and open to the user postfix, which a
        # directory of pytest's is not.
        self._folder = Path(tempfile.mkdtemp(prefix="postfix-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._folder.chmod(0o755)
            self._make_folders()
            self._write_configuration()
            self._start()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        try:
            if self._process is not None:
                stop(self._process, _STOP_S)
        finally:
            shutil.rmtree(self._folder)

    def waiting(self) -> int:
        return len(self.queue())

    def queue(self) -> list[dict[str, Any]]:
        """Its queue: for each message what `postqueue -j` says of it."""
        return [json.loads(line) for line in self._run("postqueue", "-j").splitlines()]

    def flush(self) -> None:
        self._run("postqueue", "-f")

    @property
    def folder(self) -> Path:
        """That of its main.cf, which MAIL_CONFIG names."""
        return self._folder

    def set(self, **parameters: object) -> None:
        """Change its main.cf, which its tools read at once."""
        lines = [f"{name} = {value}" for name, value in parameters.items()]
        if lines:
            self._run("postconf", "-e", *lines)

    @property
    def log(self) -> str:
        paths = (self._folder / name for name in ("master.out", "log"))
        return "".join(path.read_text("utf-8", "replace") for path in paths if path.exists())

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
            "lines": self._lines_here(),
            "meta_directory": _built_in("meta_directory"),
            "port": self.port,
        }
        master = _MASTER_CF.format(**values)
        for name, text in (("main.cf", _MAIN_CF.format(**values)), ("master.cf", master)):
            path = self._folder / name
            path.write_text(text)
            # Postfix reads a file that changed this second again and again, for an editor might
            # still be writing it, and starts two seconds later.
            os.utime(path, (0, 0))

    def _lines_here(self) -> str:
        """Those of the page, with what is not at its usual place."""
        if self.shown:
            for path in (self.shown.cert_path, self.shown.key_path):
                shutil.copy(path, self._folder / f"client{path.suffix}")
        inside = self.lines.replace("/run/lmtpd", str(self.socket_folder))
        return inside.replace("/etc/postfix", str(self._folder))

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
        self.wait_until_up()

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [program, "-c", str(self._folder), *arguments],
            env=self._environment(),
            capture_output=True,
            check=False,
            text=True,
            timeout=_TIMEOUT_S,
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
        timeout=_TIMEOUT_S,
    ).stdout.strip()
