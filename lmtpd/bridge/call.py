"""How the bridge was called: where to, how, and with which arguments."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..client.connection import Target, Tls, TlsMode

DEFAULT_SERVER = "127.0.0.1:11200"
SOFT = os.EX_TEMPFAIL
"""For all but qmail: try again."""
QMAIL_SOFT = 111


class UsageError(ValueError):
    """The command line cannot be understood."""


@dataclass(frozen=True, slots=True)
class Call:
    """How the bridge was called: options with their defaults, and the arguments."""

    arguments: Sequence[str]
    options: dict[str, str] = field(default_factory=dict)

    @property
    def target(self) -> Target:
        """Where to.

        Raises:
            ValueError: the text names no server.
        """
        return Target.parse(self.options.get("--to", DEFAULT_SERVER))

    @property
    def tls(self) -> Tls:
        """How.

        Raises:
            UsageError: options that do not go together.
            ValueError: there is no such mode.
        """
        mode = TlsMode(self.options.get("--tls", "none"))
        ca_path = self.options.get("--ca-path", "")
        if ca_path and mode is TlsMode.NONE:
            raise UsageError("--ca-path needs --tls")  # or mail would go in clear, unnoticed
        return Tls(mode, ca_path, self.options.get("--tls-name", ""))
