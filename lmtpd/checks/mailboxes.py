"""The mail store: is it there, and is it the right one?"""

from __future__ import annotations

import os
import shlex
import stat

from lmtpd.checks.check import Check
from lmtpd.settings import Config
from lmtpd.worker_rights import rights_of_workers


def _no_root(config: Config) -> str:
    """A root that is made here would hide a file system that is not mounted, and take its mail."""
    root = config.lmtp_maildir_root
    try:
        is_folder = stat.S_ISDIR(root.stat().st_mode)
    except OSError as error:
        return f"{root}: {error.strerror}; create it, or is its file system not mounted?"
    return "" if is_folder else f"{root} is not a folder"


def _no_marker(config: Config) -> str:
    """The mailboxes may lie there and not be seen now; nothing but a plain answer will do."""
    if config.lmtp_maildir_marker is None:
        return ""
    path = config.lmtp_maildir_root / config.lmtp_maildir_marker
    try:
        path.stat()
    except OSError as error:
        return (
            f"{path}: {error.strerror}; is its file system not mounted? If it is, and new, make the"
            f" file: touch {shlex.quote(str(path))}"
        )
    return ""


def _root_refused(config: Config) -> str:
    """Messages that are too large for memory wait in a file there."""
    with rights_of_workers(config) as are_theirs:
        root = config.lmtp_maildir_root
        refused = are_theirs and not os.access(root, os.W_OK | os.X_OK, effective_ids=True)
    return f"{config.lmtp_user} may not write in {root}" if refused else ""


FAULTS = (
    Check(("lmtp-maildir-root",), _no_root),
    Check(("lmtp-maildir-marker", "lmtp-maildir-root"), _no_marker),
)
WARNINGS = (Check(("lmtp-user", "lmtp-group", "lmtp-maildir-root"), _root_refused),)
