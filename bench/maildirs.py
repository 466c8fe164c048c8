"""The message that is sent, the Maildirs it is sent to, and whether each 250 is a whole file.

Promises of the check: in every mailbox lie exactly as many messages as were acknowledged for it,
and each file, behind whatever header fields the server put before it, is as long as what was sent,
be it with CRLF or with LF. A benchmark that does not look can be won by not delivering.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bench.scenarios import MAILBOXES

DOMAIN = "bench.test"
_MARK = b"Subject: the first line of what was sent"
_REST = (
    b"From: <sender@bench.test>\r\nTo: <somebody@bench.test>\r\nMessage-ID: <1@bench.test>\r\n\r\n"
)
_LINE = b"The quick brown fox jumps over the lazy dog, and the dog does not mind. 0123\r\n"
# The fields that a server adds are shorter than this.
_HEAD = 8192


@dataclass(frozen=True, slots=True)
class Sent:
    """A message on its way: its file in wire form, without the final dot."""

    path: Path
    octets: int
    octets_with_lf: int


def make_message(folder: Path, octets: int) -> Sent:
    """Write a message of just about this size."""
    head = _MARK + b"\r\n" + _REST
    text = head + _LINE * max(1, (octets - len(head)) // len(_LINE))
    path = folder / f"message-{octets}"
    path.write_bytes(text)
    return Sent(path, len(text), len(text) - text.count(b"\r\n"))


def make_maildirs(root: Path, owner: int | None) -> None:
    """Make all mailboxes, empty, as `ROOT/domain/local/{tmp,new,cur}`."""
    folders = [root, root / DOMAIN]
    for mailbox in _mailboxes(root):
        folders += [mailbox, mailbox / "tmp", mailbox / "new", mailbox / "cur"]
    for folder in folders:
        folder.mkdir()
        if owner is not None:
            os.chown(folder, owner, owner)


def check(root: Path, acknowledged: list[int], sent: Sent) -> str:
    """What is wrong with the files, empty if nothing is."""
    whole: set[int] = set()
    for mailbox, count in zip(_mailboxes(root), acknowledged, strict=True):
        with os.scandir(mailbox / "new") as entries:
            files = list(entries)
        if len(files) != count:
            return f"{mailbox.name}: {count} acknowledged, {len(files)} in new/"
        for file in files:
            # Links of one inode are one file to look at.
            if file.inode() in whole:
                continue
            if not _is_whole(file.path, sent):
                return f"{mailbox.name}/new/{file.name} is not what was sent"
            whole.add(file.inode())
    return ""


def _is_whole(path: str, sent: Sent) -> bool:
    fd = os.open(path, os.O_RDONLY)
    try:
        at = os.read(fd, _HEAD).find(_MARK)
        return at >= 0 and os.fstat(fd).st_size - at in (sent.octets, sent.octets_with_lf)
    finally:
        os.close(fd)


def _mailboxes(root: Path) -> list[Path]:
    return [root / DOMAIN / f"u{number:03}" for number in range(MAILBOXES)]
