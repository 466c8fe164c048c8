"""Whether a file is still the one that was read."""

from __future__ import annotations

from pathlib import Path

Mark = tuple[int, ...] | None


def mark(path: Path) -> Mark:
    """What an edit changes, in place or by another file; None if there is none."""
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns
