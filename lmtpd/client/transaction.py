"""Transaction: who sends what to whom."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..protocol.address import Address

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Transaction:
    """One message, less its text."""

    reverse_path: str
    """Between the angle brackets of MAIL; empty for a bounce."""
    recipients: Sequence[Address]
    size_octets: int = 0
    """Of the message, for SIZE (RFC 1870); 0 where it is not known."""
    is_all_or_none: bool = False
    """Nobody gets the message if one recipient is refused at RCPT."""

    def __post_init__(self) -> None:
        """Refuse what would be more than one command.

        Raises:
            ValueError: a path holds control characters, or octets that are no UTF-8.
        """
        if any(_CONTROL.search(path) for path in (self.reverse_path, *map(str, self.recipients))):
            raise ValueError("control character in a path")
