"""Files that are named and read: by us at start, or by the workers' user."""

from __future__ import annotations

from pathlib import Path

from lmtpd.checks.check import Check, value
from lmtpd.settings import Config
from lmtpd.worker_rights import rights_of_workers, why_unreadable

_READ_AT_START = ("lmtp-cert-path", "lmtp-key-path", "lmtp-ca-path")
"""Before the workers give up the rights of root."""
_READ_BY_HOOKS = (
    "lmtp-recipient-table",
    "lmtp-http-token-file",
    "lmtp-http-ca-path",
    "lmtp-sql-password-file",
    "lmtp-sql-ca-file",
    "lmtp-ldap-password-file",
    "lmtp-ldap-ca-file",
    "lmtp-callout-ca-file",
)


def _readable(key: str) -> Check:
    """A file that is named can be read. Opened, for os.access is wrong for some file systems."""

    def says(config: Config) -> str:
        named = value(config, key)
        for path in named if isinstance(named, tuple) else (named,):
            if isinstance(path, Path) and (why := why_unreadable(path)):
                return f"{path} cannot be read: {why}"
        return ""

    return Check((key,), says)


def _refused_to_workers(config: Config) -> str:
    """What hooks read is read by lmtp-user."""
    with rights_of_workers(config) as are_theirs:
        for key in _READ_BY_HOOKS if are_theirs else ():
            path = value(config, key)
            if isinstance(path, Path) and (why := why_unreadable(path)):
                return f"{config.lmtp_user} cannot read {path} ({key}): {why}"
    return ""


FAULTS = (
    *map(_readable, (*_READ_AT_START, *_READ_BY_HOOKS)),
    Check(("lmtp-user", "lmtp-group", *_READ_BY_HOOKS), _refused_to_workers),
)
