"""Programs of others that are asked: found where administrators have them, and never waited for."""

from __future__ import annotations

import os
import shutil
import subprocess

_PATH = os.pathsep.join((os.defpath, "/usr/local/sbin", "/usr/sbin", "/sbin"))


class ProgramError(Exception):
    """A program could not be run, or says that it failed; the text is for the administrator."""


def found(program: str) -> str | None:
    """Its path; None if it is not there."""
    return shutil.which(program) or shutil.which(program, path=_PATH)


def said(program: str, *arguments: str, seconds: float = 5.0) -> str:
    """What it prints.

    Raises:
        ProgramError: it is not there, failed, or took longer.
    """
    path = found(program)
    if path is None:
        raise ProgramError(f"{program} is not there")
    try:
        done = subprocess.run(  # noqa: S603 # nosec B603 # a list of words, and no shell
            [path, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=seconds,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProgramError(f"{program}: {error}") from error
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip()
        raise ProgramError(f"{program} failed ({done.returncode}): {words}")
    return done.stdout.decode("utf-8", "replace")
