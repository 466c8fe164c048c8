"""How the bridge was called: where to, how, and with which arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..client.target import Target
from ..client.tls import Tls, TlsMode

DEFAULT_SERVER = "127.0.0.1:11200"


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
            UsageError: there is no such mode, or options do not go together.
        """
        try:
            mode = TlsMode(self.options.get("--tls", "none"))
        except ValueError:
            raise UsageError("--tls is none, may, encrypt or implicit") from None
        ca_path, name = self.options.get("--ca-path", ""), self.options.get("--tls-name", "")
        # Or mail would go in clear, or to anybody, unnoticed.
        if ca_path and mode is TlsMode.NONE:
            raise UsageError("--ca-path needs --tls")
        if name and not ca_path:
            raise UsageError("--tls-name needs --ca-path")
        return Tls(mode, ca_path, name)
