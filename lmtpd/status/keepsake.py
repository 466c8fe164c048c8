"""Keepsake: memory that outlives the process which tells the status, for its successor.

Without it a reload, or a fault of that process, would empty the charts, and the counts of workers
that have ended would be gone from /metrics.
"""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import suppress

_HEAD = struct.Struct("!QQI")
"""Which writing it is, its octets, their CRC-32."""


class Keepsake:
    """Two files in memory that are written by turns: one is whole, whenever the writer dies.

    It is made in the parent process and reached by what that forks.
    """

    def __init__(self, files: tuple[int, ...] = ()) -> None:
        """Nothing is kept, or what another program kept; nothing where the system has no such file.

        Args:
            files: what it had in `files`.
        """
        self.files = files
        """The descriptors."""
        self._number = 0
        with suppress(OSError):
            self.files = files or tuple(os.memfd_create(f"lmtpd-status-{one}") for one in (0, 1))

    def write(self, octets: bytes) -> None:
        """Keep this in the place of what was kept before; a writing that fails changes nothing."""
        self._number += 1
        head = _HEAD.pack(self._number, len(octets), zlib.crc32(octets))
        with suppress(OSError):
            for file in self.files[self._number % 2 :][:1]:
                os.ftruncate(file, 0)
                os.pwrite(file, head + octets, 0)

    def read(self) -> bytes | None:
        """The newest that is whole; None if there is none."""
        found: tuple[int, bytes | None] = 0, None
        for file in self.files:
            with suppress(OSError, struct.error):
                head = os.pread(file, _HEAD.size, 0)
                number, size, crc = _HEAD.unpack(head)
                octets = os.pread(file, size, _HEAD.size)
                if number > found[0] and len(octets) == size and zlib.crc32(octets) == crc:
                    found = number, octets
        self._number, octets_found = found
        return octets_found
