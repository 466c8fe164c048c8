"""A throw-away machine for one MTA: this machine's files, with packages unpacked over them.

Promises: what happens in it changes nothing outside. It has mount, process, host name and IPC
namespaces of its own, and an overlay of the root file system whose upper layer is memory; only
loopback ports are shared, unless it is made from a root file system of its own. It ends with its
`with` block, with every process in it, and with us, be it by SIGKILL: its first process reads a
pipe that we hold.

No mail leaves it: its resolver is a loopback address where nobody answers.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tests.support.processes import PROGRAMS_PATH
from tests.support.waiting import wait_for

HOST_NAME = "mail.example.org"

_TIMEOUT_S = 300.0

# The first process of the new namespaces, a shell to its end: it sees off daemons that nobody else
# waits for, as init would. The overlay lies on a tmpfs: an upper layer on the file system of the
# lower one is refused, as is a lower layer that another mount lies in.
_SETUP = """\
set -e
if [ "$3" != / ]; then
    ip link set lo up
fi
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir="$3",upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
cd /mnt/root
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom; do
    touch dev/$device
    mount --bind /dev/$device dev/$device
done
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs run
if [ "$2" ]; then
    mkdir run/lmtpd
    mount --bind "$2" run/lmtpd
fi
hostname $1
pivot_root . mnt
exec chroot . sh -c 'umount -l /mnt; cat; :'
"""

# Not `dpkg -x`: it would put a directory in the place of the link /lib, and nothing starts then.
_UNPACK = """\
for package; do
    dpkg-deb --fsys-tarfile "$package" | tar --extract --keep-directory-symlink --directory=/
done
"""


# Ends with the sandbox. Ready when the socket is there.
_SYSLOG = """\
import os, socket
os.umask(0)
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
with open("/var/log/syslog", "ab", 0) as file:
    while True:
        file.write(log.recv(65536) + b"\\n")
"""


class NoSandboxError(RuntimeError):
    """There can be none here, as in a container that may not mount."""


class Sandbox:
    """A machine of its own with these packages (`.deb` files) and these users.

    `users` are lines of passwd(5); root and nobody are there. A user's group is one of `groups`,
    lines of group(5). `lmtp_folder` is /run/lmtpd in it: a socket cannot be reached through an
    overlay. `base` is another machine's root file system: its accounts are as they are there, and
    its loopback is its own. Entering it raises NoSandboxError where the system does not let us
    have one.
    """

    def __init__(
        self,
        packages: Sequence[Path] = (),
        users: str = "",
        groups: str = "",
        lmtp_folder: Path | None = None,
        base: Path = Path("/"),
    ) -> None:
        self._arguments = [HOST_NAME, str(lmtp_folder or ""), str(base)]
        self._network = [] if base == Path("/") else ["--net"]
        self._packages = packages
        self._programs: list[subprocess.Popen[bytes]] = []
        self._files = {
            "etc/hostname": f"{HOST_NAME}\n",
            "etc/hosts": f"127.0.0.1 {HOST_NAME} localhost\n",
            "etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        }
        if base == Path("/"):
            nobody = "nobody:x:65534:65534::/:/bin/false\n"
            self._files["etc/passwd"] = f"root:x:0:0::/root:/bin/sh\n{nobody}{users}"
            self._files["etc/group"] = f"root:x:0:\nmail:x:8:\nnogroup:x:65534:\n{groups}"

    def __enter__(self) -> Sandbox:
        self._first = subprocess.Popen(
            [*_NAMESPACES, *self._network, "--", "sh", "-c", _SETUP, "sh", *self._arguments],
            env=_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            self._wait_until_ready()
            for name, text in self._files.items():
                self.write(name, text)
            if self._packages:
                self.run("sh", "-ec", _UNPACK, "sh", *map(str, self._packages))
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

    def path(self, name: str) -> Path:
        """A path of its own, such as etc/passwd, as we find it from outside."""
        # Its first process is the one child of `unshare`, which stays outside.
        return Path(f"/proc/{self._pid}/root") / name

    def write(self, name: str, text: str) -> None:
        """Make a file in it, in the place of one that is there, link or not."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)

    def read(self, name: str) -> str:
        """A file in it; empty if there is none."""
        try:
            return self.path(name).read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def run(self, *command: str) -> str:
        """Run a command in it, to its end; what it printed. RuntimeError if it failed."""
        done = subprocess.run(
            self.enter(*command),
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_S,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}")
        return done.stdout

    def start(self, *command: str) -> None:
        """Start a program in it that stays; it ends with the sandbox."""
        with self.path("program.out").open("ab") as output:
            program = subprocess.Popen(
                self.enter(*command),
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._programs.append(program)

    def start_syslog(self) -> None:
        """Gather in var/log/syslog what its programs say to syslog(3)."""
        # The interpreter itself: a venv below /tmp is not to be seen in it.
        self.start(str(Path(sys.executable).resolve()), "-ISc", _SYSLOG)
        wait_for(self.path("dev/log").exists, _TIMEOUT_S, "a syslog socket")

    def enter(self, *command: str) -> list[str]:
        """A command that runs this one in it."""
        return ["nsenter", f"--target={self._pid}", *self._network, *_ENTERED, *command]

    def _wait_until_ready(self) -> None:
        assert self._first.stdin is not None
        assert self._first.stdout is not None
        # What `cat` hands back says that all before it has succeeded.
        with contextlib.suppress(BrokenPipeError):
            self._first.stdin.write(b"\n")
            self._first.stdin.flush()
        if self._first.stdout.read(1) != b"\n":
            raise NoSandboxError("no namespaces of our own, or no overlay: see stderr")
        children = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children")
        self._pid = int(children.read_text())

    def _end(self) -> None:
        # Without its first process the kernel kills all others.
        self._first.communicate()
        for program in self._programs:
            program.wait()


_NAMESPACES = (
    *("unshare", "--mount", "--pid", "--uts", "--ipc", "--propagation", "private"),
    *("--fork", "--kill-child"),
)
# Not nsenter's own --wd: it means the directory outside.
_ENTERED = ("--mount", "--pid", "--uts", "--ipc", "--root", "--", "env", "--chdir=/")
_ENVIRONMENT = {"PATH": f"{PROGRAMS_PATH}{os.pathsep}/usr/bin{os.pathsep}/bin", "LC_ALL": "C"}
