"""The two programs in C, built anew for each run into a folder of the run."""

# ruff: noqa: S603

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-pthread")


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the programs are."""

    client: Path
    floor: Path
    client_has_tls: bool


def build(folder: Path) -> Programs:
    """Compile both; without OpenSSL's headers the client speaks no TLS.

    Raises:
        RuntimeError: the compiler refuses, in its own words.
    """
    client, floor = folder / "client", folder / "floor"
    complaint = _compile("floor.c", floor)
    if complaint:
        raise RuntimeError(complaint)
    if not _compile("client.c", client, "-lssl", "-lcrypto"):
        return Programs(client, floor, client_has_tls=True)
    complaint = _compile("client.c", client, "-DWITHOUT_TLS")
    if complaint:
        raise RuntimeError(complaint)
    return Programs(client, floor, client_has_tls=False)


def _compile(source: str, program: Path, *more: str) -> str:
    command = ["gcc", *_FLAGS, "-o", str(program), str(_HERE / source), *more]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stderr if done.returncode else ""
