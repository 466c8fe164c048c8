"""Severity: how much an event concerns the one who reads the log (RFC 5424 6.2.1, sd-daemon(3))."""

from __future__ import annotations

ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6

_OF = {
    # Something of ours is broken.
    "failed": WARNING,
    "reload-refused": ERROR,
    "session-failed": ERROR,
    "status-failed": ERROR,
    "companion-ended": ERROR,
    "companion-failed": ERROR,
    "upgrade-failed": ERROR,
    "upgrade-refused": ERROR,
    "worker-failed": ERROR,
    "worker-hangs": ERROR,
    "worker-lost": ERROR,
    "unfinished": WARNING,
    # Something that we need is.
    "accept-failed": ERROR,
    "certificate-refused": ERROR,
    "control-unavailable": WARNING,
    "fail-open": WARNING,
    "hook-down": ERROR,
    "mailbox-stuck": ERROR,
    "proxy-refused": WARNING,
    "table-kept": ERROR,
    "trusted-name-empty": ERROR,
    "trusted-name-fails": WARNING,
    # Somebody tries what is not his.
    "client-not-listed": WARNING,
    "control-refused": WARNING,
    "cut-off": NOTICE,
    "not-trusted": WARNING,
    "too-many-connections": WARNING,
    # What was told before is over, or somebody should know.
    "hook-up": NOTICE,
    "log-lost": WARNING,
    "mailbox-answers": NOTICE,
    "reloaded": NOTICE,
    "upgrading": NOTICE,
    "trusted-name-answers": NOTICE,
    "warning": WARNING,
}


def severity(event: str) -> int:
    """Of an event by its name; what is not listed is the daily work."""
    return _OF.get(event, INFO)
