"""What hooks with a back-end need at start: packages that are optional, and secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .loader import HookError

_SECRET_OCTETS = 4096


@contextmanager
def extra(hook: str) -> Iterator[None]:
    """Around the making of a hook whose packages come with the extra of its name.

    Raises:
        HookError: a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise HookError(f"hook {hook}: needs {error.name}: pip install lmtpd[{hook}]") from error


def secret(path: Path | None) -> str:
    """What the file of a secret holds, less line breaks at its end; no file: empty.

    Raises:
        OSError: it cannot be read.
        HookError: it holds none.
    """
    if path is None:
        return ""
    with path.open("rb") as file:
        octets = file.read(_SECRET_OCTETS + 1)
    try:
        text = octets.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not text or len(octets) > _SECRET_OCTETS or "\n" in text:
        raise HookError(f"{path} is no secret: one line of UTF-8 is due")
    return text
