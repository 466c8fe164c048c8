"""Probe: each call of a delivery, tried for real on a file of our own, and timed.

Its name is one that the server's sweep takes away, should we be killed before we can.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path

from ..delivery.disk import UNNAMED, Disk
from .finding import Finding, Findings, fail, milliseconds, ok, warn

_OCTETS = b"lmtpd doctor was here\n" * 200
_SLOW_S = 0.25
"""A disk that takes so long for an fsync is busy, or ill."""
_CLOCK_S = 5.0
"""Between its clock and ours."""


def look(root: Path, directory: int, disk: Disk) -> Findings:
    """Write, fsync, rename, link, fsync of the directory, read, unlink."""
    name = f"{UNNAMED}{os.urandom(8).hex()}"
    names = (name, f"{name}-renamed", f"{name}-linked")
    took: dict[str, float] = {}
    file = -1

    def tried(step: str, call: Callable[[], object]) -> None:
        begun = time.perf_counter()
        try:
            call()
        except OSError as error:
            error.add_note(step)
            raise
        took[step] = time.perf_counter() - begun

    def create() -> None:
        nonlocal file
        file = disk.create(name, directory)

    try:
        tried("create", create)
        tried("write", lambda: disk.write(file, _OCTETS))
        tried("fsync", lambda: disk.sync(file))
        tried("rename", lambda: disk.rename(name, directory, names[1], directory))
        tried("fsync of the directory", lambda: disk.sync(directory))
        yield from _judged(file, took)
        yield from _linked(lambda: tried("link", lambda: disk.link(file, names[2], directory)))
        tried("unlink", lambda: disk.unlink(names[1], directory))
        told = ", ".join(f"{step} {milliseconds(seconds)}" for step, seconds in took.items())
        yield ok(f"a file was kept: {told}")
    except OSError as error:
        yield _failed(root, error)
    finally:
        for one in names:
            with contextlib.suppress(OSError):
                disk.unlink(one, directory)
        if file >= 0:
            os.close(file)


def _judged(file: int, took: dict[str, float]) -> Findings:
    if os.pread(file, len(_OCTETS) + 1, 0) != _OCTETS:
        yield fail("what was written and fsynced reads otherwise", "dmesg | tail; test the disk")
    slowest = max(took["fsync"], took["fsync of the directory"])
    if slowest > _SLOW_S:
        yield warn(
            f"an fsync took {milliseconds(slowest)}: deliveries wait for it",
            "who else writes there? iostat -x 1; dmesg | tail",
        )
    skew = os.fstat(file).st_mtime - time.time()
    if abs(skew) > _CLOCK_S:
        yield warn(
            f"its clock is {skew:+.0f} s off ours: leftovers in tmp/ are judged by it",
            "synchronise both machines: timedatectl set-ntp true",
        )


def _linked(link: Callable[[], object]) -> Findings:
    try:
        link()
    except OSError as error:
        yield warn(
            f"no hard links there ({error.strerror}): copies of one message share nothing",
            "use a file system that has them (ext4, XFS), or leave lmtp-delivered-to = true",
        )


def _failed(root: Path, error: OSError) -> Finding:
    step, path = error.__notes__[0], shlex.quote(str(root))
    remedies = {
        errno.EROFS: f"dmesg | tail; then: mount -o remount,rw $(findmnt -no TARGET -T {path})",
        errno.ENOSPC: f"df -h {path}; df -i {path}; remove what is not needed",
        errno.EDQUOT: f"quota -v; the user's quota is used up on {path}",
        errno.EACCES: f"namei -l {path}; chown it to the user of lmtpd",
        errno.EPERM: f"namei -l {path}; lsattr -d {path}",
    }
    other = "dmesg | tail; a file system that cannot do this keeps no mail: use ext4 or XFS"
    return fail(
        f"{step} failed: {error.strerror}: no mail can be kept",
        remedies.get(error.errno or 0, other),
    )
