"""The owner of a mailbox who puts links in the place of its folders, again and again."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from pathlib import Path

_PAUSE_S = 0.001
"""So that about each second look of the command meets a link."""


def swap(mailbox: Path, target: Path) -> None:
    """Once for each folder: a link to the target, and the folder again.

    What is missing meanwhile may be made by the command that he attacks, and then he is late.
    """
    for name in ("tmp", "new", "cur"):
        folder, kept = mailbox / name, mailbox / f"{name}.kept"
        for step in (
            partial(folder.rename, kept),
            partial(folder.symlink_to, target),
            partial(time.sleep, _PAUSE_S),
            folder.unlink,
            partial(kept.rename, folder),
            partial(time.sleep, _PAUSE_S),
        ):
            with contextlib.suppress(OSError):
                step()
