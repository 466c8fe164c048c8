"""A journaled ext4 file system of the benchmark's own, in an image on the disk.

Deliveries wait for the journal, so a benchmark on whatever the machine's root happens to be (an
ext4 without a journal, an overlay, a tmpfs) measures something else. The image is written in full
before it is used: otherwise the first write to each block would pay for its allocation in the file
system below. The loop device bypasses the page cache (direct-io), so that a flush is the disk's.

Promises: mounted in a mount namespace of this process only, and gone with it, even if it is killed:
the loop device is told at once to vanish with its last user, and the image has no name by then.
"""

# ruff: noqa: S603

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MARK = "LMTPD_BENCH_IS_UNSHARED"
_MIB = 1024 * 1024
_CHUNK_MIB = 4


def enter_private_namespace() -> None:
    """Go on in a mount namespace of our own; by exec, so this program starts once more.

    Raises SystemExit: we are not root, who alone may mount.
    """
    if os.environ.pop(_MARK, None):
        return
    if os.geteuid() != 0:
        raise SystemExit("mounting a file system needs root; or name an existing --directory")
    os.environ[_MARK] = "1"
    words = ["unshare", "--mount", "--propagation", "private", sys.executable]
    os.execvp(words[0], [*words, *sys.orig_argv[1:]])  # noqa: S606


@contextmanager
def image(size_mib: int, parent: Path | None) -> Iterator[Path]:
    """A folder on a new file system of this size; its image lies in `parent`, or in TMPDIR."""
    folder = Path(tempfile.mkdtemp(prefix="lmtpd-bench-", dir=parent))
    try:
        # Dovecot's processes are not root's, and have to pass.
        folder.chmod(0o755)
        mount_point = folder / "disk"
        mount_point.mkdir()
        file = folder / "image"
        _write_zeros(file, size_mib)
        _run("mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0", str(file))
        with _mounted(file, mount_point):
            yield mount_point
    finally:
        shutil.rmtree(folder)


@contextmanager
def directory(parent: Path | None) -> Iterator[Path]:
    """A new folder on a file system that exists; what lies below it is not looked at."""
    folder = Path(tempfile.mkdtemp(prefix="lmtpd-bench-", dir=parent))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


def settle(folder: Path) -> None:
    """Write out all that waits on this file system, so that it is not charged to what comes."""
    _run("sync", "--file-system", str(folder))


@contextmanager
def _mounted(file: Path, mount_point: Path) -> Iterator[None]:
    device = _run("losetup", "--find", "--show", "--direct-io=on", str(file))
    try:
        _run("mount", "-t", "ext4", device, str(mount_point))
    finally:
        # In use, it is only marked to go with its last user; after a failed mount it goes now.
        _run("losetup", "--detach", device)
    try:
        file.unlink()
        _check_journal(device)
        yield
    finally:
        _run("umount", str(mount_point))


def _check_journal(device: str) -> None:
    task = Path("/sys/fs/ext4") / Path(device).name / "journal_task"
    if task.exists() and not task.read_text().strip().isdigit():
        raise RuntimeError("the ext4 image has no journal: the figures would mean nothing")


def _write_zeros(file: Path, size_mib: int) -> None:
    blocks = size_mib // _CHUNK_MIB
    command = ["dd", "if=/dev/zero", f"of={file}", f"bs={_CHUNK_MIB}M", f"count={blocks}"]
    # Past the page cache where that can be: several times faster, and nothing is left to write.
    if subprocess.run([*command, "oflag=direct", "status=none"], capture_output=True).returncode:
        _run(*command, "conv=fsync", "status=none")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()
