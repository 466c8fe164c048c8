"""What of a given text may be shown: faults are printed and logged, and pasted where others read.

Secrets have files of their own, so none should stand in a setting; but people put them where they
are used to, into a URL, and URLs are misspelt.
"""

from __future__ import annotations

import re

_START = re.compile(r"[^:]*:/*")
_PORT = re.compile(r"((?://|\A@)[^/?#@\[\]]*:)(?![0-9]*(?:[/?#]|\Z))[^/?#@]*")
_VALUE = re.compile(r"(?<==)[^&]*")
_MASK = "***"


def masked(text: str) -> str:
    """The text without what may be a secret.

    That is what stands before an `@` and has a colon, or a web's `https:` before it; what stands in
    the place of a port and is no number; and the values of a query.
    """
    given, at, place = text.rpartition("@")
    start = _START.match(given)
    if start:
        given = start[0] + _userinfo(start[0], given[start.end() :])
    shown = _PORT.sub(rf"\1{_MASK}", given) + _PORT.sub(rf"\1{_MASK}", at + place)
    shown, mark, query = shown.partition("?")
    return shown + mark + _VALUE.sub(_MASK, query)


def _userinfo(start: str, text: str) -> str:
    if ":" in text:
        return f"{_MASK}:{_MASK}"
    is_name = start.endswith("/") and not start.lower().startswith("http")
    return text if is_name else _MASK
