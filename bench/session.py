"""All that a run needs around it: the file system, the programs, and that they go again.

Promises: whatever ends the run (its end, Ctrl-C, SIGTERM), servers are ended, the file system is
unmounted and every temporary file is removed.
"""

from __future__ import annotations

import resource
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import volume
from bench.measurement import Bench
from bench.peers import make_certificate
from bench.programs import build

JOURNALED = "ext4 with a journal, on a loop device with direct I/O"
_IMAGE_MIB = 6 * 1024
_DESCRIPTORS = 65_536


@contextmanager
def bench(
    directory: Path | None, seconds: float, warmup: float, image_mib: int = _IMAGE_MIB
) -> Iterator[Bench]:
    """A bench on a new ext4 image, or in a folder below `directory` where that is named.

    With an image, `volume.enter_private_namespace` has to come first.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    _raise_limits()
    disk = volume.directory(directory) if directory else volume.image(image_mib, None)
    with disk as mounted, tempfile.TemporaryDirectory(prefix="lmtpd-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        programs, certificate = build(folder), make_certificate(folder)
        yield Bench(mounted, folder, programs, certificate, seconds, warmup)


def _leave(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _raise_limits() -> None:
    """Descriptors for a thousand connections, in the server as in the client."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if most == resource.RLIM_INFINITY else min(_DESCRIPTORS, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
