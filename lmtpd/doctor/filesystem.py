"""FileSystem: what lies below a path, by the kernel's table of mounts, and what that promises."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..delivery.mounts import plain
from .finding import Findings, fail, note, ok, warn

_IN_MEMORY = ("tmpfs", "ramfs")
_REMOTE = re.compile(r"nfs4?|cifs|smb3|9p|ceph|afs|virtiofs|fuse(\..*)?|glusterfs|lustre")
_NO_BARRIER = frozenset({"nobarrier", "barrier=0"})


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A mount."""

    point: str
    kind: str
    options: frozenset[str]

    @classmethod
    def of(cls, path: Path) -> FileSystem | None:
        """The one that a path lies on; None if it cannot be told."""
        place = f"{os.path.realpath(path)}/"
        found: FileSystem | None = None
        for line in Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines():
            ours, _, theirs = line.partition(" - ")
            point, options = plain(ours.split(" ")[4]), ours.split(" ")[5]
            kind, _, more = theirs.split(" ", 2)
            # The last of those that are equally near lies above the others.
            is_on_the_way = place.startswith(f"{point.rstrip('/')}/")
            if is_on_the_way and (found is None or len(point) >= len(found.point)):
                found = cls(point, kind, frozenset(f"{options},{more}".split(",")))
        return found


def look(root: Path, marker: str | None) -> Findings:
    """Is it one that keeps mail?"""
    found = FileSystem.of(root)
    if found is None:
        return
    what = f"{found.kind} mounted at {found.point}"
    if "ro" in found.options:
        yield fail(
            f"{what} is read-only",
            f"why is it? dmesg | tail; then: mount -o remount,rw {found.point}",
        )
    if found.kind in _IN_MEMORY:
        yield warn(f"{what} is memory: mail is gone with the power", "put the store on a disk")
    elif found.kind == "overlay":
        yield warn(
            f"{what} is the layer of a container: mail is gone with it",
            "mount a volume there, and make its lmtp-maildir-marker",
        )
    elif found.options & _NO_BARRIER:
        yield warn(
            f"{what} without barriers: what fsync has written may be lost with the power",
            f"mount -o remount,barrier=1 {found.point}, and take nobarrier out of /etc/fstab",
        )
    elif _REMOTE.fullmatch(found.kind):
        yield note(f"{what}: its server has to keep what fsync promises (NFS: export with sync)")
    else:
        yield ok(what)
    if found.point != "/" and not marker:
        yield note(
            f"while {found.point} is not mounted, lmtpd would start all the same",
            f"touch {root}/.lmtpd-store, and set lmtp-maildir-marker = .lmtpd-store",
        )
