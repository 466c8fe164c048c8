"""The Debian package, built by Debian's own tools, and a Debian that knows nothing of it.

Nothing here names a mirror: packages come from where this machine's apt takes them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.checkout import copy_of_project
from tests.support.processes import PROGRAMS_PATH
from tests.support.sandbox import Sandbox

# What the package needs of others: what `Depends` says.
DEPENDS = ("adduser", "python3", "python3.11", "libc6", "libgcc-s1", "libstdc++6")
# What runs it on most machines.
SYSTEMD = ("systemd", "dbus")

_PATIENCE_S = 600
# Debian's interpreter and tools come first: a package is not made of what somebody put before them.
_ENVIRONMENT = {
    **{
        name: text for name, text in os.environ.items() if not name.startswith(("PYENV", "VIRTUAL"))
    },
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
}


class BuildError(RuntimeError):
    """A program failed; what it said."""


def build(folder: Path) -> Path:
    """The package, built from a copy of the project."""
    source = copy_of_project(folder / "lmtpd")
    run("dpkg-buildpackage", "--build=binary", "--no-sign", folder=source)
    (package,) = folder.glob("lmtpd_*.deb")
    return package


def field(package: Path, name: str) -> str:
    """A field of its control file."""
    return run("dpkg-deb", "--field", str(package), name).strip()


def changed(package: Path, version: str, file: str, text: str) -> Path:
    """The same package as of another version, with more text in one file."""
    folder = package.parent / version
    run("dpkg-deb", "--raw-extract", str(package), str(folder))
    control = folder / "DEBIAN" / "control"
    now = f"Version: {field(package, 'Version')}\n"
    control.write_text(control.read_text("utf-8").replace(now, f"Version: {version}\n"), "utf-8")
    with (folder / file).open("a", encoding="utf-8") as rest:
        rest.write(text)
    result = package.parent / f"lmtpd_{version}.deb"
    # It is thrown away: little compression is enough.
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(folder), str(result))
    shutil.rmtree(folder)
    return result


def install(machine: Sandbox, package: Path) -> None:
    """As unattended-upgrades has it done, with no one to answer."""
    shutil.copy(package, machine.path("root/lmtpd.deb"))
    unasked = ("--force-confdef", "--force-confold")
    machine.run("dpkg", *unasked, "--install", "/root/lmtpd.deb")


class CleanRoot:
    """A small Debian with what the package depends on, and systemd, which runs in a Booted only.

    It is made while we do other things.
    """

    def __init__(self, folder: Path) -> None:
        self._root = folder / "root"
        self._said = folder / "mmdebstrap"
        self._maker: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Have it made."""
        sources = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
        files = [str(path) for path in sources if path.suffix in (".list", ".sources")]
        with self._said.open("wb") as output:
            self._maker = subprocess.Popen(
                [
                    *("mmdebstrap", "--mode=root", "--variant=essential", "--format=directory"),
                    *("--dpkgopt=force-unsafe-io", f"--include={','.join(DEPENDS + SYSTEMD)}"),
                    *("", str(self._root), *filter(lambda name: Path(name).exists(), files)),
                ],
                env={**os.environ, "PATH": PROGRAMS_PATH},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def path(self) -> Path:
        """Its root, when it is whole."""
        assert self._maker is not None
        if self._maker.wait(_PATIENCE_S):
            raise BuildError(self._said.read_text("utf-8", "replace"))
        return self._root

    def end(self) -> None:
        """It is no more."""
        if self._maker is not None and self._maker.poll() is None:
            self._maker.terminate()
            self._maker.wait()
        shutil.rmtree(self._root, ignore_errors=True)


def run(*command: str, folder: Path | None = None) -> str:
    """Run a program to its end; what it printed.

    Raises:
        BuildError: it failed.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env=_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        encoding="utf-8",
        errors="replace",
        timeout=_PATIENCE_S,
    )
    if done.returncode:
        raise BuildError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}")
    return done.stdout
