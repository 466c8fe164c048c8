"""The environment: what stays of it in the server, and what a program gets that a hook starts.

Whoever starts a server leaves there what is nobody's business in it: passwords for a deployment,
the session of an administrator. And what a library reads there changes what the server does.
"""

from __future__ import annotations

import re
from collections.abc import Container, MutableMapping

_KEPT = re.compile(r"PATH|LANG|LC_[A-Z]+|TZ|TZDIR|SSL_CERT_(?:FILE|DIR)|OPENSSL_(?:CONF|MODULES)")
_OWN = re.compile(
    r"LMTP_[A-Z0-9_]+|CREDENTIALS_DIRECTORY|JOURNAL_STREAM"
    r"|NOTIFY_SOCKET|WATCHDOG_(?:PID|USEC)|LISTEN_(?:PID|FDS|FDNAMES)"
)
"""Settings, and what a service manager tells a server, which is for no program behind it."""


def scrub(environment: MutableMapping[str, str], further: Container[str] = ()) -> None:
    """Remove what a server has no need of.

    Args:
        environment: `os.environ`.
        further: names that stay as well.
    """
    for name in list(environment):
        if not (_KEPT.fullmatch(name) or _OWN.fullmatch(name) or name in further):
            del environment[name]


def of_programs(environment: MutableMapping[str, str]) -> dict[str, str]:
    """What a program gets: our environment, less what is said to us alone."""
    return {name: value for name, value in environment.items() if not _OWN.fullmatch(name)}
