"""A disk of our own whose power can be cut: a file system in a file, seen by nobody else.

Promises: it lives in a mount namespace of its own (namespace.py), and so do the tmpfs that holds
its octets and the loop device below it: with the namespace they are gone. Within the `with` block
it is mounted; at the end a loop device that is not given back is an error.

What a cut does: the file system stops at once (FS_IOC_SHUTDOWN, flag 2: not even its log is
flushed), every call from then on fails, and what was not on the loop device by then is lost. What
it cannot show is a drive that loses its own cache: what the file system has flushed, we believe.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from tests.support.namespace import MountError, MountNamespace
from tests.support.waiting import wait_for

# mkfs.xfs refuses less than 300 MB; the image is sparse and takes the memory that is used.
_IMAGE_OCTETS = 512 * 1024 * 1024
_TMPFS_OPTIONS = "size=600m,mode=700"

_FS_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
_NO_LOG_FLUSH = 2
_FIFREEZE = 0xC0045877  # _IOWR('X', 119, int)
_FITHAW = 0xC0045878

_GONE_S = 20.0


class LoopDisk:
    """A file system of one kind (`ext4`, `xfs`), mounted below a folder in a namespace of its own.

    In the namespace it is at `path`; for us, outside, the same files are at `seen`. Entering it
    raises MountError where the system does not let us have one.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self._kind = kind
        self._folder = folder / "disk"
        self._image = self._folder / "image"
        self.path = self._folder / "mounted"
        self._loop = ""
        self._descriptor: int | None = None

    def __enter__(self) -> LoopDisk:
        self._folder.mkdir(parents=True)
        self._namespace = MountNamespace()
        try:
            self._make()
            self._mount()
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._give_back()

    @property
    def seen(self) -> Path:
        """Its root as processes outside of the namespace find it."""
        return self._namespace.outside(self.path)

    def prefix(self, directory: Path) -> list[str]:
        """What makes a command run in the namespace, in this directory, and end with us."""
        return self._namespace.prefix(directory)

    def cut(self) -> None:
        """The power fails, at the moment of this call; from any thread."""
        assert self._descriptor is not None
        fcntl.ioctl(self._descriptor, _FS_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))

    def show_at(self, place: Path) -> None:
        """In the namespace it is at this directory too."""
        self._namespace.run("mount", "--bind", str(self.path), str(place))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Whoever changes anything on it hangs in the kernel until the end of this context."""
        assert self._descriptor is not None
        fcntl.ioctl(self._descriptor, _FIFREEZE, 0)
        try:
            yield
        finally:
            fcntl.ioctl(self._descriptor, _FITHAW, 0)

    def remount(self) -> None:
        """The power is back: what is on the disk is looked at anew. Nobody may use it meanwhile."""
        self._unmount()
        self._mount()

    def _make(self) -> None:
        self._namespace.run(
            "mount", "-t", "tmpfs", "-o", _TMPFS_OPTIONS, "tmpfs", str(self._folder)
        )
        self.seen.mkdir()
        with self._namespace.outside(self._image).open("wb") as image:
            image.truncate(_IMAGE_OCTETS)
        self._namespace.run(f"mkfs.{self._kind}", "-q", str(self._image))

    def _mount(self) -> None:
        # `loop`: a device that frees itself when it is unmounted, by whatever way.
        self._namespace.run(
            "mount", "-o", "loop", "-t", self._kind, str(self._image), str(self.path)
        )
        self._loop = self._loop_device()
        self._descriptor = os.open(self.seen, os.O_RDONLY | os.O_DIRECTORY)

    def _unmount(self) -> None:
        self._close()
        # A process that was killed may still be giving its files back.
        wait_for(self._is_unmounted, _GONE_S, f"nobody who uses {self.path}")

    def _is_unmounted(self) -> bool:
        try:
            self._namespace.run("umount", str(self.path))
        except MountError as error:
            if "busy" not in str(error):
                raise
            return False
        return True

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _give_back(self) -> None:
        self._close()
        self._namespace.end()
        wait_for(self._is_loop_free, _GONE_S, f"the end of {self._loop}, which holds {self._image}")

    def _loop_device(self) -> str:
        for device, place in self._namespace.mounts():
            if place == str(self.path):
                return Path(device).name
        raise RuntimeError(f"{self.path} is not mounted")

    def _is_loop_free(self) -> bool:
        """Whether our image is on its device no more; another's may be there already."""
        try:
            backing = Path(f"/sys/block/{self._loop}/loop/backing_file").read_text()
        except OSError:
            return True
        return str(self._image) not in backing
