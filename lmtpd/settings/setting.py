"""Setting: a row of the table of settings, and how a field of Config gets one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

PER_LISTENER = ("Listening", "TLS", "Trust")
"""The groups in which each listener may have values of its own."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table."""

    parse: Callable[[str], object]
    default: str
    help: str
    group: str
    key: str = ""

    @property
    def attribute(self) -> str:
        """The field of Config: `lmtp_port`."""
        return self.key.replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment variable: `LMTP_PORT`."""
        return self.attribute.upper()

    @property
    def option(self) -> str:
        """On the command line: `--lmtp-port`."""
        return f"--{self.key}"

    @property
    def is_per_listener(self) -> bool:
        """May it stand in the section of a listener?"""
        return self.group in PER_LISTENER

    @property
    def kind(self) -> str:
        """What a value looks like, in a word: `port`, `path`, `seconds`."""
        return self.parse.__name__.replace("_", "-")


def setting(default: str, parse: Callable[[str], T], meaning: str, group: str) -> T:
    """A field of Config and its row at once; the field's type is what `parse` returns."""
    row = Setting(parse, default, meaning, group)
    return field(default_factory=lambda: parse(default), metadata={"setting": row})
