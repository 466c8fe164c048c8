"""Servers of nobody, who may do nothing, wherever the Python of the tests lies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.support.components import require_root
from tests.support.server import Server

NOBODY = 65534

# Python may lie in a home that only its owner may pass through; here everybody may.
_OPEN = """\
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work
mount -t overlay -o lowerdir=/root,upperdir=/mnt/upper,workdir=/mnt/work overlay /root
chmod a+x /root
exec "$@"
"""


def with_python_open() -> tuple[str, ...]:
    """A command that runs another where everybody can start our Python."""
    require_root("only root can become another user")
    if not Path(sys.base_prefix).is_relative_to("/root"):
        return ()
    return ("unshare", "--mount", "--propagation", "private", "--", "sh", "-ec", _OPEN, "sh")


def give(server: Server, *addresses: str) -> None:
    """Make these mailboxes, and give them and the store to nobody."""
    for address in addresses:
        server.mailbox(address)
    for path in (server.root, *server.root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)


def as_nobody() -> tuple[str, ...]:
    """A command that becomes nobody."""
    ids = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs")
    return ("setpriv", *ids, "--")
