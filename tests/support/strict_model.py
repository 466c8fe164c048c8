"""A file system that keeps what was fsynced and nothing else: POSIX, read strictly.

    fsync of a file         its octets are durable, its name is not
    fsync of a directory    its entries are durable: what was added, taken away, renamed
    rename                  two entries of two directories, each durable by its own fsync
    mkdir                   the new directory's entry needs the fsync of the parent

Every node has two states, what programs see and what a power cut would leave. A disk may keep more
than that, and in any order, but it owes no more: what is not in the second state is not durable.
`StrictModel` is both the memory of the file system (tests.support.lossy_fs) and the judge of its
record: played again, call by call, it shows what a cut after each single call would have left.
"""

from __future__ import annotations

import errno
import heapq
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(eq=False)
class Node:
    """A file, a directory or a symbolic link, with or without a name."""

    key: int
    """Never given twice; `number` is, as on the file systems of everyday life."""
    number: int
    mode: int
    links: int = 0
    owner: tuple[int, int] = (0, 0)
    octets: bytearray = field(default_factory=bytearray)
    durable_octets: bytes | None = None
    entries: dict[str, Node] = field(default_factory=dict)
    durable_entries: dict[str, Node] = field(default_factory=dict)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_durable(self) -> bool:
        """Whether the octets would all be there after a power cut."""
        return self.durable_octets is not None and self.durable_octets == self.octets

    def ends_with(self, octets: bytes, *, durable: bool) -> bool:
        """Whether it does: now, or after a power cut now."""
        return ((self.durable_octets or b"") if durable else self.octets).endswith(octets)


class StrictModel:
    """The tree. Paths begin with `/`; each method raises OSError as its call does."""

    def __init__(self) -> None:
        self._last_key = 0
        self._last_number = 0
        self._free_numbers: list[int] = []
        self.nodes: dict[int, Node] = {}
        self.root = self._new(stat.S_IFDIR | 0o755)
        self.root.links = 1

    # What is there.

    def find(self, path: str) -> Node:
        """The node of this name, as programs see it."""
        node = self.root
        for part in _parts(path):
            node = _child(node, part)
        return node

    def survivors(self, path: str, *, durable: bool) -> Mapping[str, Node]:
        """The entries of a directory: now, or after a power cut now."""
        node: Node | None = self.root
        for part in _parts(path):
            node = (node.durable_entries if durable else node.entries).get(part)
            if node is None:
                return {}
        return node.durable_entries if durable else node.entries

    # What programs do.

    def mkdir(self, path: str, mode: int) -> Node:
        return self._enter(path, lambda: self._new(stat.S_IFDIR | mode))

    def create(self, path: str, mode: int) -> Node:
        return self._enter(path, lambda: self._new(stat.S_IFREG | stat.S_IMODE(mode)))

    def symlink(self, path: str, target: str) -> Node:
        node = self._enter(path, lambda: self._new(stat.S_IFLNK | 0o777))
        node.octets[:] = os.fsencode(target)
        node.durable_octets = bytes(node.octets)
        return node

    def link(self, old: str, new: str) -> Node:
        node = self.find(old)
        return self._enter(new, lambda: node)

    def write(self, key: int, octets: bytes, offset: int) -> None:
        node = self.nodes[key]
        if offset > len(node.octets):
            node.octets.extend(bytes(offset - len(node.octets)))
        node.octets[offset : offset + len(octets)] = octets

    def truncate(self, key: int, size: int) -> None:
        node = self.nodes[key]
        del node.octets[size:]
        node.octets.extend(bytes(size - len(node.octets)))

    def fsync(self, key: int) -> None:
        node = self.nodes[key]
        node.durable_octets = bytes(node.octets)

    def fsyncdir(self, key: int) -> None:
        node = self.nodes[key]
        node.durable_entries = dict(node.entries)

    def rename(self, old: str, new: str) -> None:
        source, name = self._place(old)
        target, new_name = self._place(new)
        node = _child(source, name)
        replaced = target.entries.get(new_name)
        if replaced is node:
            return
        if replaced is not None:
            _check_replaceable(replaced)
        del source.entries[name]
        target.entries[new_name] = node
        if replaced is not None:
            replaced.links -= 1

    def unlink(self, path: str) -> None:
        directory, name = self._place(path)
        node = _child(directory, name)
        if node.is_directory:
            raise OSError(errno.EISDIR, path)
        del directory.entries[name]
        node.links -= 1

    def rmdir(self, path: str) -> None:
        directory, name = self._place(path)
        node = _child(directory, name)
        _check_replaceable(node)
        del directory.entries[name]
        node.links -= 1

    def forget(self, node: Node) -> None:
        """Nobody has it open and it has no name: its number is free for the next that is made.

        As ext4 does it. Who remembers a directory by its number takes the next one for the same.
        """
        heapq.heappush(self._free_numbers, node.number)

    def _place(self, path: str) -> tuple[Node, str]:
        parent, _, name = path.rpartition("/")
        directory = self.find(parent)
        if not directory.is_directory:
            raise OSError(errno.ENOTDIR, parent)
        return directory, name

    def _enter(self, path: str, make: Callable[[], Node]) -> Node:
        directory, name = self._place(path)
        if name in directory.entries:
            raise OSError(errno.EEXIST, path)
        node = make()
        directory.entries[name] = node
        node.links += 1
        return node

    def _new(self, mode: int) -> Node:
        self._last_key += 1
        if self._free_numbers:
            number = heapq.heappop(self._free_numbers)
        else:
            self._last_number += 1
            number = self._last_number
        node = Node(self._last_key, number, mode)
        self.nodes[node.key] = node
        return node


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _child(directory: Node, name: str) -> Node:
    if not directory.is_directory:
        raise OSError(errno.ENOTDIR, name)
    if name not in directory.entries:
        raise OSError(errno.ENOENT, name)
    return directory.entries[name]


def _check_replaceable(node: Node) -> None:
    if node.entries:
        raise OSError(errno.ENOTEMPTY, "not empty")
