"""What the replies of a server with a failing disk are held against: the table, and new/."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

from tests.support.client import Reply
from tests.support.messages import as_stored
from tests.support.store_on import strict_settings
from tests.support.strict_load import Connection

# docs/REPLIES.md, and the table in lmtpd/failures.py.
DOCUMENTED = {
    errno.ENOSPC: "452 4.3.1",
    errno.EDQUOT: "452 4.2.2",
    errno.EIO: "451 4.3.0",
    errno.EMFILE: "451 4.3.2",
    errno.EROFS: "451 4.3.5",
    errno.EACCES: "451 4.3.5",
    errno.ENAMETOOLONG: "451 4.3.0",
}
UNVERIFIED = "451 4.4.3"
DELIVERED = "250 2.0.0"
NO_STORE = "451 4.3.5"

FIRST = "first@example.org"
"""The mailbox into which each test delivers once, before anything fails."""
_NOT_MADE = 1000


def settings(folder: Path) -> dict[str, object]:
    """A strict server's, with a table in which those that are not made exist."""
    table = folder / "table"
    table.write_text("".join(f"{one}\n" for [one] in not_made()))
    hooks = {"lmtp_recipient_hooks": "table;maildirs", "lmtp_recipient_table": table}
    return strict_settings() | hooks


def not_made() -> Iterator[list[str]]:
    """Recipients whose domain, mailbox and Maildir the delivery has to make."""
    return ([f"u@{n}.new.example"] for n in range(_NOT_MADE))


def status(reply: Reply) -> str:
    """Code and enhanced code."""
    return f"{reply.code} {reply.text.split()[0]}"


def deliver(connection: Connection, recipient: str, content: bytes) -> None:
    """It is taken."""
    assert status(connection.deliver([recipient], content)[recipient]) == DELIVERED


def stored(root: Path, address: str) -> list[bytes]:
    """What lies in new/ of a mailbox."""
    local, _, domain = address.partition("@")
    return [file.read_bytes() for file in (root / domain / local / "new").glob("*")]


def check(root: Path, replies: dict[str, Reply], content: bytes, error: int) -> list[str]:
    """Each reply is true and as documented; the recipients that were told to come again."""
    for recipient, reply in replies.items():
        copies = stored(root, recipient)
        if status(reply) == DELIVERED:
            assert len(copies) == 1
            assert copies[0].endswith(as_stored(content))
        else:
            assert status(reply) in (DOCUMENTED[error], UNVERIFIED), reply
            assert copies == []
    return [recipient for recipient, reply in replies.items() if reply.code != 250]
