"""Domains: those whose mail is kept here, as far as the store is sorted by them."""

from __future__ import annotations

from contextlib import suppress

from ..config import Config
from ..hostname import is_host_name

MOST = 20
"""That are looked at."""


def of(settings: Config) -> list[str]:
    """The first of them by name; where nobody can tell, `lmtp-default-domain`."""
    names: list[str] = []
    if settings.lmtp_maildir_path.split("/")[0] == "{domain}":
        with suppress(OSError):  # what is wrong with the store is said elsewhere
            entries = settings.lmtp_maildir_root.iterdir()
            names = sorted(one.name for one in entries if is_host_name(one.name) and one.is_dir())
    return names[:MOST] or [settings.lmtp_default_domain]
