"""Lists and tables of Postfix, looked up by its own postmap(1)."""

from __future__ import annotations

import re
from pathlib import Path

from .programs import ProgramError, said

_ITEM = re.compile(r"(?:[^,\s{}]|\{(?:[^{}]|\{[^{}]*\})*\})+")
"""Between commas and blanks, unless these are in braces: `inline:{ { key = value } }`."""


def is_listed(domain: str, text: str) -> bool:
    """Whether a list of domains holds one: names, files, tables (postconf(5), mydestination)."""
    for item in _ITEM.findall(text):
        is_not, item = item.startswith("!"), item.removeprefix("!")
        if _holds(item, domain):
            return not is_not
    return False


def looked_up(domain: str, tables: str) -> str:
    """What the first table says of a domain, or of all; empty if none does (transport(5))."""
    for key in (domain, "*"):
        for table in _ITEM.findall(tables):
            if value := _value(key, table):
                return value
    return ""


def _holds(item: str, domain: str) -> bool:
    if item.startswith("/"):
        return is_listed(domain, Path(item).read_text("utf-8", "replace"))
    if ":" in item:
        return bool(_value(domain, item))
    return item.lower() == domain


def _value(key: str, table: str) -> str:
    """Empty if there is none; postmap says so by its exit code, and faults in words."""
    try:
        return said("postmap", "-q", key, table).strip()
    except ProgramError as error:
        if str(error).endswith("failed (1): "):
            return ""
        raise
