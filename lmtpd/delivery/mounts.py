"""Mounts: which file system a path lies on, asked of the kernel's table and of no file system.

Whoever asks a file system that hangs hangs with it; the table is always there.
"""

from __future__ import annotations

import re
from pathlib import Path

_TABLE = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")
"""Blanks and backslashes, as proc(5) has them."""


def mount_below(root: str, path: str, table: Path = _TABLE) -> str:
    """The last mount point on the way from a root to a path; empty if there is none below the root.

    Args:
        root: without a link on the way to it.
        path: below the root.
        table: of the kernel.
    """
    try:
        lines = table.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    points = (plain(line.split(" ")[4]) for line in lines)
    on_the_way = (one for one in points if one.startswith(f"{root}/") and _holds(one, path))
    return max(on_the_way, key=len, default="")


def _holds(point: str, path: str) -> bool:
    return f"{path}/".startswith(f"{point}/")


def plain(text: str) -> str:
    """A path of the table as it is."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)
