"""The server, made to break its promise in one way: what a test of the promise has to catch.

    python -m tests.support.broken FAULT serve --lmtp-port ...

    no-sync             nothing is made durable
    no-directory-sync   files are, names in directories are not
    no-file-sync        names are, what is in the files is not
    reply-first         the client hears 250 while the message still waits in tmp/
    copy-into-new       new/ is where the message is written, piece by piece
    reply-twice         now and then a final reply is said once more
    reply-of-another    now and then a 250 is the one that another message has got

The seams are the narrowest there are, so that they outlive what is built above them: the functions
of `os` by which a file is made durable or gets its name, and the method by which a reply becomes
octets. What Disk can do beyond `os`, to sync a whole file system at once, is denied. Nothing else
of the server is touched.
"""

from __future__ import annotations

import _thread
import errno
import itertools
import os
import re
import stat
import sys
import time
from collections.abc import Callable

from lmtpd.cli import main
from lmtpd.delivery.disk import Disk
from lmtpd.protocol.dialogue import Dialogue
from lmtpd.protocol.reply import Reply

_LATE_S = 0.3
_PIECE_OCTETS = 4096
_SPOILED_EVERY = 10
_DELIVERY_ID = re.compile(rb"(?<=, id )[0-9a-zA-Z]+")

# Those of before gevent's patch: what is late here must be late in real time, on a real thread.
_start_thread = _thread.start_new_thread
_sleep = time.sleep
_rename = os.rename
_dup = os.dup


def _skip_syncs(concerns: Callable[[int], bool]) -> None:
    """Every sync of a descriptor that it concerns is reported done and not done."""
    for name in ("fsync", "fdatasync"):
        setattr(os, name, _skipping(getattr(os, name), concerns))
    # One sync of the whole file system would make good what was left out elsewhere.
    for name in vars(Disk):
        if name.startswith("can_sync"):
            setattr(Disk, name, lambda *_: False)
        elif "sync" in name and name not in ("sync", "sync_above"):
            setattr(Disk, name, _refuse)


def _refuse(*_: object) -> None:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def _skipping(
    real: Callable[[int], None], concerns: Callable[[int], bool]
) -> Callable[[int], None]:
    def sync(descriptor: int) -> None:
        if not concerns(descriptor):
            real(descriptor)

    return sync


def _is_directory(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def _rename_later(
    source: str, target: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
) -> None:
    """Succeed at once; do it when the reply has long been read."""
    old, new = _kept(src_dir_fd), _kept(dst_dir_fd)

    def late() -> None:
        _sleep(_LATE_S)
        _rename(source, target, src_dir_fd=old, dst_dir_fd=new)
        for descriptor in (old, new):
            if descriptor is not None:
                os.fsync(descriptor)
                os.close(descriptor)

    _start_thread(late, ())


def _kept(descriptor: int | None) -> int | None:
    """Ours to close: the server closes its own when it thinks that all is done."""
    return None if descriptor is None else _dup(descriptor)


def _copy(
    source: str, target: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
) -> None:
    """What rename is for, done by hand, and visible to all meanwhile."""
    old = os.open(source, os.O_RDONLY, dir_fd=src_dir_fd)
    new = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=dst_dir_fd)
    while piece := os.read(old, _PIECE_OCTETS):
        os.write(new, piece)
    os.fsync(new)
    os.close(new)
    os.close(old)
    os.unlink(source, dir_fd=src_dir_fd)


def _publish_by(function: Callable[..., None]) -> None:
    """However the server gives a file its name in new/, it is done like this."""
    os.rename = os.replace = function


def _say_twice(said: bytes) -> bytes:
    return said * 2


class _Previous:
    """Says the final reply of before, naming the recipient of now."""

    def __init__(self) -> None:
        self._id = b""

    def __call__(self, said: bytes) -> bytes:
        own = _DELIVERY_ID.findall(said)[0]
        self._id, another = own, self._id or own
        return said.replace(own, another)


def _spoil_replies(spoil: Callable[[bytes], bytes]) -> None:
    """Every so often a 250 to a message is spoiled on its way out."""
    real = Dialogue.send
    numbers = itertools.count(1)

    def send(self: Dialogue, reply: Reply) -> bytes:
        said = real(self, reply)
        is_final = _DELIVERY_ID.search(said) is not None
        return spoil(said) if is_final and next(numbers) % _SPOILED_EVERY == 0 else said

    Dialogue.send = send  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    "no-sync": lambda: _skip_syncs(lambda _: True),
    "no-directory-sync": lambda: _skip_syncs(_is_directory),
    "no-file-sync": lambda: _skip_syncs(lambda descriptor: not _is_directory(descriptor)),
    "reply-first": lambda: _publish_by(_rename_later),
    "copy-into-new": lambda: _publish_by(_copy),
    "reply-twice": lambda: _spoil_replies(_say_twice),
    "reply-of-another": lambda: _spoil_replies(_Previous()),
}


if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
