"""A throw-away machine that systemd runs, as it does where lmtpd is installed: process 1, the units
of a Debian, journald, and nothing of them seen outside.

Promises: all that it starts is in a control group of its own, and ends with the `with` block by
one order of the kernel. If we are killed it ends as well, and leaves an empty control group. It
loads no module into the kernel that it shares with us, and changes neither the clock nor a sysctl.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from tests.support.namespace import MountError, MountNamespace
from tests.support.sandbox import NoSandboxError, Sandbox
from tests.support.waiting import wait_for

T = TypeVar("T")

_BOOT_S = 60.0
_END_S = 20.0
# setns(2).
_CLONE_NEWNET = 0x40000000

# The machine of a Sandbox is there by now; this is what systemd wants besides
# (systemd.io/CONTAINER_INTERFACE). What it finds mounted it leaves alone.
_BOOT = """\
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -t sysfs -o ro sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo 0 > "/sys/fs/cgroup/$1/cgroup.procs"
umount /sys/fs/cgroup
exec unshare --cgroup sh -ec '
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mknod -m 666 /dev/tty c 5 0
mkdir /dev/pts /dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts
ln -s pts/ptmx /dev/ptmx
ln -s /proc/self/fd /dev/fd
exec env -i container=lmtpd PATH=/usr/sbin:/usr/bin:/sbin:/bin \\
    setpriv --bounding-set=-sys_module,-sys_time /lib/systemd/systemd
'
"""


class ControlGroup:
    """A branch of the hierarchy of control groups, version 2, made for one machine.

    Raises:
        NoSandboxError: we may not make one.
    """

    def __init__(self) -> None:
        try:
            self._namespace = MountNamespace()
        except MountError as error:
            raise NoSandboxError(str(error)) from error
        try:
            self._namespace.run("mount", "-t", "cgroup2", "cgroup2", "/mnt")
            self.name = f"lmtpd-{os.getpid()}-{id(self):x}"
            self._path = self._namespace.outside(Path("/mnt", self.name))
            self._path.mkdir()
        except (MountError, OSError) as error:
            self._namespace.end()
            raise NoSandboxError(f"no control group of our own: {error}") from error

    def end(self) -> None:
        """It is no more, nor is anybody in it."""
        try:
            (self._path / "cgroup.kill").write_text("1")
            wait_for(self._is_removed, _END_S, "the end of all in a control group")
        finally:
            self._namespace.end()

    def _is_removed(self) -> bool:
        with contextlib.suppress(OSError):
            for folder, _, _ in os.walk(self._path, topdown=False):
                Path(folder).rmdir()
        return not self._path.exists()


class Booted(Sandbox):
    """A Sandbox made from a root file system with systemd and dbus in it, and started.

    Entering it raises NoSandboxError where the system does not let us have one.
    """

    def __init__(self, base: Path) -> None:
        super().__init__(base=base)
        self._init: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Booted:
        self._group = ControlGroup()
        super().__enter__()
        try:
            self._boot()
        except BaseException:
            self._end()
            raise
        return self

    def systemctl(self, *arguments: str) -> str:
        """What `systemctl` prints; RuntimeError with what it said if it fails."""
        return self.run("systemctl", "--no-pager", *arguments)

    def shown(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.systemctl("show", "--property", name, "--value", unit).strip()

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """What `journalctl` finds."""
        # What was said before this moment is on file then.
        self.run("journalctl", "--sync")
        lines = self.run("journalctl", "--output=json", "--all", "--no-pager", *matches)
        return [json.loads(line) for line in lines.splitlines()]

    def enter_network(self) -> None:
        """Make the sockets of this thread the machine's from now on: its loopback is its own."""
        with Path(f"/proc/{self._pid}/ns/net").open("rb") as network:
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    def within(self, function: Callable[[], T]) -> T:
        """What it returns when it is called in the machine's network."""
        with ThreadPoolExecutor(1, initializer=self.enter_network) as pool:
            return pool.submit(function).result()

    def _boot(self) -> None:
        unshare = ("unshare", "--mount", "--pid", "--cgroup", "--fork", "--kill-child")
        with self.path("program.out").open("ab") as output:
            self._init = subprocess.Popen(
                self.enter(*unshare, "sh", "-ec", _BOOT, "sh", self._group.name),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            self._pid = wait_for(self._manager, _BOOT_S, "a systemd that hears")
        except (TimeoutError, ChildProcessError) as error:
            raise NoSandboxError(f"{error}\n{self.read('program.out')}") from error
        # A unit that fails in a container is none of ours: degraded is good enough.
        self.run("sh", "-c", "systemctl is-system-running --wait || :")

    def _manager(self) -> int:
        """The id of systemd's process 1, as soon as it hears; 0 before."""
        assert self._init is not None
        if self._init.poll() is not None:
            raise ChildProcessError("systemd has ended")
        first = _child(_child(self._init.pid))  # of nsenter, then of unshare
        return first if Path(f"/proc/{first}/root/run/systemd/private").exists() else 0

    def _end(self) -> None:
        try:
            self._group.end()
            if self._init is not None:
                self._init.wait()
        finally:
            super()._end()


def _child(pid: int) -> int:
    """The one child of a process; 0 if there is none yet."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return int(children.read_text() or 0) if pid else 0
