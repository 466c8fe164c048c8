"""Check: a row of what is looked at, and what reads a value for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lmtpd.settings import Config


class Check(NamedTuple):
    """The keys that are compared, the one to blame first, and what is to be said; mostly ""."""

    keys: tuple[str, ...]
    says: Callable[[Config], str]


def value(config: Config, key: str) -> object:
    """Of the setting of that name."""
    return getattr(config, key.replace("-", "_"))
