#!/usr/bin/env python3
"""The real programs that the tests run the server against, and how to get them.

    python tests/components.py              what is there, what is missing, the line to install it
    python tests/components.py --install    install what is missing (Debian or Ubuntu, as root)

Promises: the table below is the only list of these programs. Nothing is installed that is there
already, and no service is started by an installation: the tests start their own, with their own
configuration. What a package enables for the machine's next start stays enabled. Debian lets one
MTA only be installed: the others are downloaded, with all that this machine lacks for them, and
tests/support/sandbox.py unpacks them where the machine does not see it.
Exit status: 0 all there, 1 something missing, 2 cannot be installed from here.

Needs the standard library only, for it runs before anything else is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Daemons live where an ordinary user's PATH does not look.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

# Debian starts a service as soon as its package is installed, unless this program says no (101).
_POLICY = Path("/usr/sbin/policy-rc.d")
_POLICY_TEXT = "#!/bin/sh\nexit 101\n"

# Postfix asks what to configure. "No configuration": the machine's own mail is not our business.
_ANSWERS = "postfix postfix/main_mailer_type select No configuration\n"


_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lmtpd-tests"


@dataclass(frozen=True)
class Component:
    """Something real: its Debian packages, and what proves that they are there."""

    packages: tuple[str, ...]
    programs: tuple[str, ...] = ()
    perl_modules: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def missing(self) -> tuple[str, ...]:
        """Programs, modules and files that are not there."""
        programs = [name for name in self.programs if shutil.which(name, path=_PATH) is None]
        modules = [name for name in self.perl_modules if not _has_perl_module(name)]
        files = [name for name in self.files if not Path(name).exists()]
        return (*programs, *modules, *files)

    def remedy(self) -> str:
        """The line by which a person gets it."""
        return install_line(self.packages)


@dataclass(frozen=True)
class Download(Component):
    """Packages that are kept as files, beside each other and not installed."""

    @property
    def folder(self) -> Path:
        """Where the package files lie; it is there when all of them are."""
        return _CACHE / self.packages[0]

    def missing(self) -> tuple[str, ...]:
        """The packages, if they were not downloaded."""
        return () if self.folder.is_dir() else self.packages

    def remedy(self) -> str:
        """The line by which a person gets it."""
        return f"{sys.executable} tests/components.py --install"


COMPONENTS = {
    "postfix": Component(
        packages=("postfix",),
        programs=("postfix", "postconf", "postqueue", "/usr/lib/postfix/sbin/lmtp"),
    ),
    "openssl": Component(packages=("openssl",), programs=("openssl",)),
    "swaks": Component(
        # The two libraries are what swaks needs for TLS; its package only recommends them.
        packages=("swaks", "libnet-ssleay-perl", "libio-socket-ssl-perl"),
        programs=("swaks",),
        perl_modules=("Net::SSLeay", "IO::Socket::SSL"),
    ),
    "haproxy": Component(packages=("haproxy",), programs=("haproxy",)),
    "dovecot": Component(
        packages=("dovecot-imapd",),
        programs=("dovecot", "/usr/lib/dovecot/imap"),
    ),
    "dovecot-lmtp": Component(
        packages=("dovecot-lmtpd",),
        programs=("dovecot", "/usr/lib/dovecot/lmtp"),
    ),
    # They run programs for each message, the first two as qmail-local does, which has no package.
    # No MTA comes with them.
    "dot-forward": Component(packages=("dot-forward",), programs=("dot-forward",)),
    "fastforward": Component(
        packages=("fastforward",),
        programs=("fastforward", "setforward"),
    ),
    "procmail": Component(packages=("procmail",), programs=("procmail",)),
    "getmail": Component(packages=("getmail6",), programs=("getmail",)),
    "fetchmail": Component(packages=("fetchmail",), programs=("fetchmail",)),
    "maildrop": Component(packages=("maildrop",), programs=("maildrop",)),
    "postgresql": Component(packages=("postgresql",), programs=("pg_config", "psql")),
    "mariadb": Component(
        packages=("mariadb-server",),
        programs=("mariadbd", "mariadb-install-db"),
    ),
    "socket-activation": Component(
        packages=("systemd",),
        programs=("systemd-socket-activate",),
    ),
    "sysv": Component(
        packages=("dpkg", "util-linux", "logrotate"),
        programs=("start-stop-daemon", "runuser", "logrotate"),
    ),
    "units": Component(
        packages=("systemd", "libseccomp2", "util-linux"),
        programs=("systemd-analyze", "setpriv"),
    ),
    "slapd": Component(packages=("slapd",), programs=("slapd", "slapadd")),
    "journald": Component(
        packages=("systemd",),
        programs=("/lib/systemd/systemd-journald", "journalctl", "systemd-cat"),
    ),
    "rsyslog": Component(packages=("rsyslog",), programs=("rsyslogd",)),
    "prometheus": Component(packages=("prometheus",), programs=("promtool",)),
    "chromium": Component(
        packages=("chromium", "chromium-driver"),
        programs=("chromium", "chromedriver"),
    ),
    "accounts": Component(packages=("passwd",), programs=("useradd", "userdel")),
    "journal": Component(
        # What makes a journal of a text, and what reads it: no daemon is needed for either.
        packages=("systemd", "systemd-journal-remote"),
        programs=("journalctl", "/lib/systemd/systemd-journal-remote"),
    ),
    "fuse": Component(
        # With it comes the library that the file system of the tests is written for.
        packages=("fuse3",),
        programs=("fusermount3",),
    ),
    "ext4": Component(packages=("e2fsprogs",), programs=("mkfs.ext4",)),
    "xfs": Component(packages=("xfsprogs",), programs=("mkfs.xfs",)),
    "compiler": Component(
        # For the programs of bench/ in C.
        packages=("gcc", "libc6-dev", "libssl-dev"),
        programs=("gcc",),
        files=("/usr/include/openssl/ssl.h",),
    ),
    "debian": Component(
        # What builds the Debian package and judges it.
        packages=("dpkg-dev", "debhelper", "dh-virtualenv", "python3-venv", "lintian"),
        programs=("dpkg-buildpackage", "dh", "dh_virtualenv", "lintian"),
    ),
    "clean-root": Component(
        # A Debian of its own, from the sources of packages that this machine has.
        packages=("mmdebstrap", "iproute2"),
        programs=("mmdebstrap", "ip"),
    ),
    "pipx": Component(packages=("pipx", "python3-venv"), programs=("pipx",)),
    "bash": Component(packages=("bash",), programs=("bash",)),
    "zsh": Component(packages=("zsh",), programs=("zsh",)),
    "fish": Component(packages=("fish",), programs=("fish",)),
    "man": Component(
        packages=("groff-base", "mandoc"),
        programs=("groff", "mandoc"),
    ),
    "exim": Download(packages=("exim4-daemon-light",)),
    "opensmtpd": Download(packages=("opensmtpd",)),
    # m4 makes sendmail.cf from the lines of the documentation, with what sendmail-cf holds.
    "openrc": Download(packages=("openrc",)),
    "sendmail": Download(packages=("sendmail-bin", "sendmail-cf", "m4")),
}


def install_line(packages: list[str] | tuple[str, ...]) -> str:
    """The line by which a person installs these packages."""
    return "apt-get install --no-install-recommends " + " ".join(packages)


def missing_packages() -> list[str]:
    """The packages of every component that is not whole."""
    return [
        package
        for component in COMPONENTS.values()
        if component.missing() and not isinstance(component, Download)
        for package in component.packages
    ]


def missing_downloads() -> list[Download]:
    """What is to be downloaded and is not there."""
    return [one for one in COMPONENTS.values() if isinstance(one, Download) and one.missing()]


def main(arguments: list[str] | None = None) -> int:
    """Report, or install and then report."""
    parser = argparse.ArgumentParser(description="The real programs that the tests need.")
    parser.add_argument("--install", action="store_true", help="install what is missing")
    if parser.parse_args(arguments).install and (missing_packages() or missing_downloads()):
        obstacle = _obstacle()
        if obstacle:
            print(f"cannot install: {obstacle}", file=sys.stderr)
            return 2
        _install(missing_packages())
        for download in missing_downloads():
            _download(download)
    return _report()


def _report() -> int:
    for name, component in COMPONENTS.items():
        missing = component.missing()
        print(f"{name}: " + (f"missing {', '.join(missing)}" if missing else "there"))
    packages = missing_packages()
    if packages:
        print(f"to install: {install_line(packages)}\nor, as root: {sys.argv[0]} --install")
    if missing_downloads():
        print(f"to download, as root: {sys.argv[0]} --install")
    return 1 if packages or missing_downloads() else 0


def _obstacle() -> str:
    if shutil.which("apt-get", path=_PATH) is None:
        return "there is no apt-get here; these packages are Debian's and Ubuntu's"
    if os.geteuid() != 0:
        return f"not root; run as root: {install_line(missing_packages())}"
    return ""


def _install(packages: list[str]) -> None:
    environment = {**os.environ, "PATH": _PATH, "DEBIAN_FRONTEND": "noninteractive"}
    with _no_service_started():
        subprocess.run(["apt-get", "update"], env=environment, check=True)
        if "postfix" in packages and shutil.which("debconf-set-selections", path=_PATH):
            subprocess.run(
                ["debconf-set-selections"], input=_ANSWERS, text=True, env=environment, check=True
            )
        if packages:
            subprocess.run(
                ["apt-get", "install", "--yes", "--no-install-recommends", *packages],
                env=environment,
                check=True,
            )


def _download(component: Download) -> None:
    """Fetch its packages and those it needs that are not installed here: all of them, or none."""
    environment = {**os.environ, "PATH": _PATH, "LC_ALL": "C"}
    simulation = ["apt-get", "--simulate", "--no-install-recommends", "install"]
    plan = subprocess.run(
        [*simulation, *component.packages], env=environment, stdout=subprocess.PIPE, check=True
    ).stdout.decode()
    needed = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
    _CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=_CACHE))
    try:
        # As ourselves: apt's own user may not write below our home.
        download = ["apt-get", "-o", "APT::Sandbox::User=root", "download", *needed]
        if needed:
            subprocess.run(download, cwd=folder, env=environment, check=True)
        folder.rename(component.folder)
    except BaseException:
        shutil.rmtree(folder)
        raise


@contextlib.contextmanager
def _no_service_started() -> Iterator[None]:
    """Forbid the start of services meanwhile; a policy the machine has already is left alone."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text(_POLICY_TEXT)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _has_perl_module(name: str) -> bool:
    perl = shutil.which("perl", path=_PATH)
    return (
        perl is not None
        and subprocess.run([perl, f"-M{name}", "-e1"], capture_output=True).returncode == 0
    )


if __name__ == "__main__":
    sys.exit(main())
