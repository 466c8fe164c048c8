"""The pid file: where the parent's process id stands, for those who want to send it signals."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from .listener import BindError

_MODE = 0o644


def write(path: Path) -> None:
    """Put our process id there, whole from the first.

    The folder may be another's: what lies there by that name is replaced and never written to, be
    it a link to something else.

    Raises:
        BindError: it cannot be done.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        try:
            os.fchmod(descriptor, _MODE)
            os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
        finally:
            os.close(descriptor)
        new.replace(path)
    except OSError as error:
        raise BindError(f"lmtp-pid-file: cannot write {path}: {error.strerror}") from error


def remove(path: Path) -> None:
    """Take it away, unless it is another's by now."""
    with contextlib.suppress(OSError, ValueError):
        if int(path.read_text("ascii")) == os.getpid():
            path.unlink()
