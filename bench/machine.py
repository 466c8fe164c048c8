"""What a run was made on: the facts without which a figure means nothing."""

# ruff: noqa: S603

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.servers import PROJECT


def facts(file_system: str) -> dict[str, str]:
    """Names and values to be printed."""
    return {
        "machine": f"{os.cpu_count()} x {_processor()}, Linux {platform.release()}",
        "file system": file_system,
        "lmtpd": _commit(),
        "Python": f"{platform.python_version()} ({_origin()}), gevent {_version('gevent')}",
        "peers": f"Dovecot {_dovecot()}, aiosmtpd {_version('aiosmtpd')}",
        "load before the run": f"{os.getloadavg()[0]:.2f}",
    }


def has_dovecot() -> bool:
    """Whether Dovecot is installed."""
    return _dovecot_path() is not None


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _origin() -> str:
    """Distributions build theirs by its own profile, which takes a fifth off the CPU."""
    is_system = Path(sys.executable).resolve().is_relative_to("/usr/bin")
    return "the system's" if is_system else "not the system's"


def _commit() -> str:
    command = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty"]
    return _first_line(command) or "unknown"


def _dovecot() -> str:
    path = _dovecot_path()
    return (_first_line([path, "--version"]) if path else "") or "none"


def _dovecot_path() -> str | None:
    return shutil.which("dovecot", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


def _first_line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
