"""Message: header and body as received, in memory at first, then in a file without a name.

The file lies in the store's root: there is room where the mail will lie, or there is not. Having no
name, it is gone with the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from ..protocol.data import NewlineConverter
from .tree import MaildirTree

PIECE_OCTETS = 256 * 1024
"""What one message may hold in memory, and the size of the pieces it is read in."""


class Message:
    """Octets in, pieces out."""

    def __init__(self, tree: MaildirTree, *, is_binary: bool) -> None:
        """An empty message.

        Args:
            tree: where the file is made if one is needed.
            is_binary: BODY=BINARYMIME is stored octet for octet (RFC 3030 3); all else gets LF.
        """
        self._tree = tree
        self._converter = None if is_binary else NewlineConverter()
        self._memory: list[bytes] = []
        self._memory_octets = 0
        self._file: int | None = None
        self._file_octets = 0

    @property
    def newline(self) -> bytes:
        """How lines end in the stored message."""
        return b"\n" if self._converter else b"\r\n"

    @property
    def size(self) -> int:
        """Octets as stored, without trace fields."""
        return self._file_octets + self._memory_octets

    @property
    def is_full(self) -> bool:
        """The memory's share is used up: `spill` is due, on a thread that may wait."""
        return self._memory_octets >= PIECE_OCTETS

    def append(self, data: bytes) -> None:
        """Add content as it came off the wire."""
        self._keep(self._converter.feed(data) if self._converter else data)

    def finish(self) -> None:
        """The content is complete."""
        self._keep(self._converter.finish() if self._converter else b"")

    def _keep(self, data: bytes) -> None:
        if data:
            self._memory.append(data)
            self._memory_octets += len(data)

    def spill(self) -> None:
        """Move what is in memory to the file.

        Raises:
            OSError: the disk refuses.
            StoreError: the store is not as it should be.
        """
        disk = self._tree.disk
        if self._file is None:
            with self._tree.open_root() as root:
                self._file = disk.create_unnamed(root)
        data = b"".join(self._memory)
        disk.write(self._file, data)
        self._file_octets += len(data)
        self._memory.clear()
        self._memory_octets = 0

    def pieces(self) -> Iterator[bytes]:
        """The content from its beginning, in pieces of at most PIECE_OCTETS or a little more.

        Raises:
            OSError: the disk refuses.
        """
        offset = 0
        while self._file is not None and offset < self._file_octets:
            piece = self._tree.disk.read(self._file, PIECE_OCTETS, offset)
            if not piece:
                raise OSError("the message's file is shorter than what was written to it")
            offset += len(piece)
            yield piece
        if self._memory:
            yield b"".join(self._memory)

    def close(self) -> None:
        """Let go of memory and file; a fault of a file without a name hurts nobody any more."""
        self._memory.clear()
        descriptor, self._file = self._file, None
        if descriptor is not None:
            with suppress(OSError):
                self._tree.disk.close(descriptor)
