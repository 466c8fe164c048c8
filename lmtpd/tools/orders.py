"""Orders to a running server: `reload`, `upgrade`, and what comes of them."""

from __future__ import annotations

import os
import time

from ..config import Config
from ..server import commands, rendezvous
from ..terminal import CommandError, tell

UPGRADE_SECONDS = 90.0
"""For the new program to serve."""
_LOOK_SECONDS = 0.2


def reload(settings: Config, _: list[str], *, pid: int | None) -> int:
    """Have the server read its configuration anew; the exit code.

    Args:
        settings: say where it listens.
        pid: of its parent process, if it may listen elsewhere by now.

    Raises:
        CommandError: there is no server, or it goes on as before.
    """
    faults = _ordered(settings, commands.RELOAD, pid)
    if faults:
        raise CommandError(os.EX_CONFIG, "\n".join([*faults, "nothing has changed"]))
    tell("reloaded")
    return os.EX_OK


def upgrade(settings: Config, _: list[str], *, pid: int | None) -> int:
    """Have the program that is installed take the running one's place; the exit code.

    The arguments and errors are those of `reload`.
    """
    (before,) = _ordered(settings, commands.VERSION, pid)
    faults = _ordered(settings, commands.UPGRADE, pid)
    if faults:
        raise CommandError(os.EX_CONFIG, "\n".join([*faults, "nothing has changed"]))
    end = time.monotonic() + UPGRADE_SECONDS
    while time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
        try:
            (after,) = _ordered(settings, commands.VERSION, pid)
        except CommandError:
            continue  # between the two programs nobody answers
        if after != before:
            tell(f"{before.split(' since')[0]} has become {after.split(' since')[0]}")
            return os.EX_OK
    raise CommandError(os.EX_TEMPFAIL, "no answer by the new program; the log tells more")


def _ordered(settings: Config, command: str, pid: int | None) -> list[str]:
    """What the server says to a command of its parent process."""
    try:
        lines = rendezvous.ask(settings, command, pid=pid)
    except rendezvous.AbsentError as error:
        raise CommandError(os.EX_UNAVAILABLE, str(error)) from error
    except rendezvous.ForeignError as error:
        raise CommandError(os.EX_NOPERM, str(error)) from error
    except rendezvous.SilentError as error:
        raise CommandError(os.EX_TEMPFAIL, str(error)) from error
    return [line.removeprefix(f"{commands.ERROR} ") for line in lines]
