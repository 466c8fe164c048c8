"""The FUSE file system of the tests: it keeps what was fsynced, records each call, fails on order.

Run as a process of its own by tests.support.lossy_mount. What is written lies in a StrictModel. The
kernel's calls are done one after the other, counted (in a shared page, so that a client can read
the count in no time) and recorded. A fault is ordered by the control channel while the mount is in
use: the n-th call of some operations, or every one, gets an errno instead of its result, and leaves
the tree as it was. The end of the control channel is the end of the process and of the mount.

It has no permissions, no time of its own, no limits: what of these a test wants it orders.
"""

from __future__ import annotations

import argparse
import errno
import mmap
import os
import stat
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Literal, NamedTuple, TypeVar

from tests.support.strict_model import Node, StrictModel

_Result = TypeVar("_Result")

Repeat = Literal["once", "onwards", "every"]

_NAME_MAX = 255
_BLOCK_OCTETS = 4096
_BLOCKS = 1 << 20


class Call(NamedTuple):
    """One call that could have changed something."""

    index: int
    """How many calls of any kind were done with it."""
    name: str
    arguments: tuple[Any, ...]
    path: str
    error: int


@dataclass
class Fault:
    """What is to go wrong."""

    error: int
    operations: frozenset[str]
    """Empty: all."""
    nth: int
    """Which of those calls, from 1."""
    repeat: Repeat
    """That call alone, or each from then on, or each whose number it divides."""
    below: str
    """Only calls on paths that hold this text."""
    seen: int = 0
    fired: int = 0

    def strikes(self, operation: str, path: str) -> bool:
        """Whether this call is to fail."""
        if (self.operations and operation not in self.operations) or self.below not in path:
            return False
        self.seen += 1
        match self.repeat:
            case "once":
                strikes = self.seen == self.nth
            case "onwards":
                strikes = self.seen >= self.nth
            case "every":
                strikes = self.seen % self.nth == 0
        self.fired += strikes
        return strikes


class LossyFileSystem:
    """The operations, named as libfuse names them."""

    use_ns = True

    def __init__(self, counter: mmap.mmap) -> None:
        self.calls: list[Call] = []
        self.fault: Fault | None = None
        self._model = StrictModel()
        self._counter = counter
        self._count = 0
        self._opened: Counter[int] = Counter()

    # Looking.

    def getattr(self, path: str | None, handle: int | None = None) -> dict[str, Any]:
        return self._look("getattr", path, lambda: _status(self._node(path, handle)))

    def readlink(self, path: str) -> str:
        return self._look(
            "readlink", path, lambda: os.fsdecode(bytes(self._model.find(path).octets))
        )

    def opendir(self, path: str) -> int:
        return self._look("opendir", path, lambda: self._open(path))

    def readdir(self, path: str, handle: int) -> list[tuple[str, dict[str, int], int]]:
        def entries() -> list[tuple[str, dict[str, int], int]]:
            node = self._model.nodes[handle]
            children = {".": node, "..": node} | node.entries
            # An entry without a number is none to readers.
            return [
                (name, {"st_ino": child.number, "st_mode": child.mode}, 0)
                for name, child in children.items()
            ]

        return self._look("readdir", path, entries)

    def read(self, path: str | None, size: int, offset: int, handle: int) -> bytes:
        def octets() -> bytes:
            return bytes(self._model.nodes[handle].octets[offset : offset + size])

        return self._look("read", path, octets)

    def statfs(self, path: str) -> dict[str, int]:
        return self._look("statfs", path, lambda: _STATFS)

    def flush(self, path: str | None, handle: int) -> int:  # noqa: ARG002
        return self._look("flush", path, int)

    def release(self, path: str | None, handle: int) -> int:  # noqa: ARG002
        self._opened[handle] -= 1
        self._forget_if_gone(self._model.nodes[handle])
        return 0

    def releasedir(self, path: str | None, handle: int) -> int:
        return self.release(path, handle)

    # Changing.

    def open(self, path: str, flags: int) -> int:
        handle = self._look("open", path, lambda: self._open(path))
        if flags & os.O_TRUNC:
            self.truncate(path, 0)
        return handle

    def create(self, path: str, mode: int) -> int:
        self._change("create", path, (path, mode))
        return self._open(path)

    def mkdir(self, path: str, mode: int) -> int:
        return self._change("mkdir", path, (path, mode))

    def symlink(self, path: str, target: str) -> int:
        return self._change("symlink", path, (path, target))

    def link(self, path: str, target: str) -> int:
        return self._change("link", path, (target, path))

    def write(self, path: str | None, octets: bytes, offset: int, handle: int) -> int:
        self._change("write", path, (handle, octets, offset))
        return len(octets)

    def truncate(self, path: str, size: int) -> int:
        return self._change("truncate", path, (self._model.find(path).key, size))

    def fsync(self, path: str | None, datasync: int, handle: int) -> int:  # noqa: ARG002
        return self._change("fsync", path, (handle,))

    def fsyncdir(self, path: str | None, datasync: int, handle: int) -> int:  # noqa: ARG002
        return self._change("fsyncdir", path, (handle,))

    def rename(self, old: str, new: str) -> int:
        return self._change("rename", new, (old, new))

    def unlink(self, path: str) -> int:
        return self._take_away("unlink", path)

    def rmdir(self, path: str) -> int:
        return self._take_away("rmdir", path)

    def chmod(self, path: str, mode: int) -> int:
        node = self._look("chmod", path, lambda: self._model.find(path))
        node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
        return 0

    def chown(self, path: str, user: int, group: int) -> int:
        node = self._look("chown", path, lambda: self._model.find(path))
        node.owner = (
            node.owner[0] if user == -1 else user,
            node.owner[1] if group == -1 else group,
        )
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:  # noqa: ARG002
        return self._look("utimens", path, int)

    # Behind each of them.

    def _look(self, name: str, path: str | None, act: Callable[[], _Result]) -> _Result:
        self._refuse(name, path or "")
        result = act()
        self._done()
        return result

    def _change(self, name: str, path: str | None, arguments: tuple[Any, ...]) -> int:
        where = path or ""
        try:
            self._refuse(name, where)
            getattr(self._model, name)(*arguments)
        except OSError as error:
            self.calls.append(Call(self._count, name, arguments, where, error.errno or errno.EIO))
            raise
        self.calls.append(Call(self._count + 1, name, arguments, where, 0))
        self._done()
        return 0

    def _take_away(self, name: str, path: str) -> int:
        node = self._model.find(path)
        self._change(name, path, (path,))
        self._forget_if_gone(node)
        return 0

    def _refuse(self, name: str, path: str) -> None:
        if self.fault and self.fault.strikes(name, path):
            raise OSError(self.fault.error, path)

    def _done(self) -> None:
        """Before the caller hears of it: a client that knows of a call finds it counted."""
        self._count += 1
        struct.pack_into("Q", self._counter, 0, self._count)

    def _open(self, path: str) -> int:
        key = self._model.find(path).key
        self._opened[key] += 1
        return key

    def _node(self, path: str | None, handle: int | None) -> Node:
        return self._model.nodes[handle] if handle else self._model.find(path or "")

    def _forget_if_gone(self, node: Node) -> None:
        if not node.links and not self._opened[node.key]:
            self._model.forget(node)


_STATFS = {
    "f_bsize": _BLOCK_OCTETS,
    "f_frsize": _BLOCK_OCTETS,
    "f_blocks": _BLOCKS,
    "f_bfree": _BLOCKS // 2,
    "f_bavail": _BLOCKS // 2,
    "f_files": _BLOCKS,
    "f_ffree": _BLOCKS // 2,
    "f_namemax": _NAME_MAX,
}


def _status(node: Node) -> dict[str, Any]:
    now = time.time_ns()
    return {
        "st_ino": node.number,
        "st_mode": node.mode,
        "st_nlink": 2 if node.is_directory else node.links,
        "st_size": len(node.octets),
        "st_uid": node.owner[0],
        "st_gid": node.owner[1],
        "st_atime": now,
        "st_mtime": now,
        "st_ctime": now,
    }


def _obey(channel: Connection, files: LossyFileSystem, mount: str) -> None:
    """Take orders until the test hangs up, be it because it was killed."""
    try:
        while True:
            order, details = channel.recv()
            channel.send(_answer(files, order, details))
    except EOFError:
        subprocess.run(["fusermount3", "-u", "-z", mount], capture_output=True, check=False)
        # Should anything be open there, libfuse would wait for its end.
        os._exit(0)


def _answer(files: LossyFileSystem, order: str, details: Any) -> Any:
    match order:
        case "fault":
            files.fault = Fault(*details)
        case "mend":
            fault, files.fault = files.fault, None
            return fault.fired if fault else 0
        case "calls":
            return files.calls[details:]
    return None


def main() -> int:
    """Mount, and serve until unmounted."""
    parser = argparse.ArgumentParser(description="A file system that keeps what was fsynced.")
    parser.add_argument("mount")
    parser.add_argument("channel", type=int, help="descriptor of the control channel")
    parser.add_argument("counter", type=int, help="descriptor of the page that holds the count")
    options = parser.parse_args()
    # Whoever has the second library as well is not to get that one.
    os.environ["FUSE_LIBRARY_NAME"] = "fuse3"
    from mfusepy import FUSE

    files = LossyFileSystem(mmap.mmap(options.counter, mmap.PAGESIZE))
    channel = Connection(options.channel)
    threading.Thread(target=_obey, args=(channel, files, options.mount), daemon=True).start()
    try:
        _serve(FUSE, files, options.mount)
    except RuntimeError as error:
        # libfuse said why; an unmount while it reads is one of its reasons.
        return int(error.args[0])
    return 0


def _serve(fuse: Callable[..., object], files: LossyFileSystem, mount: str) -> None:
    # The kernel is to ask us each time: what it remembers no fault can strike.
    fuse(
        files,
        mount,
        foreground=True,
        nothreads=True,
        use_ino=True,
        hard_remove=True,
        direct_io=True,
        entry_timeout=0,
        negative_timeout=0,
        attr_timeout=0,
        allow_other=True,
        fsname="lossy",
    )
