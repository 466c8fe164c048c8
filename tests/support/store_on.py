"""Stores of servers on disks that are small or strict.

`SmallDisk` is a file system of few octets and few inodes in a mount namespace of its own
(namespace.py), with which it ends.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from tests.support.namespace import MountNamespace
from tests.support.server import PROJECT

_PATIENCE_S = 30.0
_OCTETS = 4 * 1024 * 1024
_INODES = 128


@functools.cache
def strict_settings() -> dict[str, object]:
    """Settings for a store on the lossy file system; of those the server knows.

    The kernel does not pass syncfs(2) on to FUSE, so that a server that uses it proves nothing
    there; fsync does. And what the server remembers of recipients asks no disk.
    """
    wanted: dict[str, object] = {
        "lmtp_commit": "fsync",
        "lmtp_workers": 2,
        "lmtp_dns": False,
        "lmtp_verify_cache_size": 0,
    }
    told = subprocess.run(
        [sys.executable, "lmtpd.py", "serve", "--help"],
        cwd=PROJECT,
        capture_output=True,
        check=True,
        text=True,
        timeout=_PATIENCE_S,
    ).stdout
    return {key: value for key, value in wanted.items() if f"--{key.replace('_', '-')} " in told}


class SmallDisk:
    """A tmpfs or an ext4, empty; in the namespace at `path`, for us at `seen`."""

    def __init__(
        self, kind: str, folder: Path, octets: int = _OCTETS, inodes: int = _INODES
    ) -> None:
        self._kind = kind
        self._octets = octets
        self._inodes = inodes
        self._folder = folder / "small"
        self.path = self._folder / "mounted"

    def __enter__(self) -> SmallDisk:
        self._folder.mkdir()
        self._namespace = MountNamespace()
        try:
            self._mount()
        except BaseException:
            self._namespace.end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._namespace.end()

    @property
    def seen(self) -> Path:
        """Its root as processes outside of the namespace find it."""
        return self._namespace.outside(self.path)

    def prefix(self) -> list[str]:
        """What makes a command run in the namespace, in our directory, and end with us."""
        return self._namespace.prefix(PROJECT)

    def remount(self, options: str) -> None:
        """Mount it anew as it is, with other options."""
        self._namespace.run("mount", "-o", f"remount,{options}", str(self.path))

    @contextlib.contextmanager
    def without_room(self) -> Iterator[None]:
        """Not one octet more fits in; the inodes last."""
        path = self.seen / "filler"
        with path.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            for octets in (1024 * 1024, 64 * 1024, 1024):
                with contextlib.suppress(OSError):
                    while True:
                        filler.write(bytes(octets))
                        # Else ext4 only hopes that it fits.
                        os.fsync(filler.fileno())
        yield
        path.unlink()

    @contextlib.contextmanager
    def without_inodes(self) -> Iterator[None]:
        """Not one file more; there is room for octets."""
        folder = self.seen / "fillers"
        folder.mkdir()
        with contextlib.suppress(OSError):
            for number in range(2 * self._inodes):
                (folder / str(number)).touch()
        yield
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

    def _mount(self) -> None:
        size = f"size={self._octets},nr_inodes={self._inodes}"
        if self._kind == "tmpfs":
            self.seen.mkdir()
            self._namespace.run("mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self.path))
            return
        self._namespace.run("mount", "-t", "tmpfs", "tmpfs", str(self._folder))
        self.seen.mkdir()
        image = self.seen.parent / "image"
        with image.open("wb") as file:
            file.truncate(self._octets)
        name = str(self._folder / image.name)
        self._namespace.run(f"mkfs.{self._kind}", "-q", "-m", "0", "-N", str(self._inodes), name)
        self._namespace.run("mount", "-o", "loop", "-t", self._kind, name, str(self.path))
