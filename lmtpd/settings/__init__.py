"""The settings of lmtpd: one row for each, which is also a field of Config.

A row holds the default as an administrator would write it, the function that reads a value, and
the help. docs/CONFIG.md and `--help` are printed from these rows, so nothing about a setting is
said twice. A new setting is a new row in the file of its kind. Where values come from, and whether
they go together, is lmtpd.config's matter; nothing here looks at a disk but for the place of the
default root.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace

from lmtpd.settings.hooks import HookSettings
from lmtpd.settings.limits import LimitSettings
from lmtpd.settings.listening import ListeningSettings
from lmtpd.settings.log import LogSettings
from lmtpd.settings.mailboxes import MailboxSettings
from lmtpd.settings.names import NameSettings
from lmtpd.settings.processes import ProcessSettings
from lmtpd.settings.protocol import ProtocolSettings
from lmtpd.settings.recipients import RecipientSettings
from lmtpd.settings.setting import Setting
from lmtpd.settings.status import StatusSettings
from lmtpd.settings.tls import TlsSettings
from lmtpd.settings.trust import TrustSettings

__all__ = ["Config", "Setting"]


@dataclass(frozen=True)
class Config(
    # In the order of the documentation, read from the last: so dataclasses collect fields.
    StatusSettings,
    LogSettings,
    ProcessSettings,
    LimitSettings,
    ProtocolSettings,
    HookSettings,
    RecipientSettings,
    MailboxSettings,
    NameSettings,
    TrustSettings,
    TlsSettings,
    ListeningSettings,
):
    """The value of every setting: the key, with `-` as `_`. `Config()` is all defaults.

    It is that of one listener: of the default one, or of a section of the file.
    """

    section: str = ""
    """Not a setting: what the listener's section is called; empty for the default listener."""
    sections: tuple[Config, ...] = ()
    """Not a setting: the listeners of the file's sections, whose values are theirs."""
    warnings: tuple[str, ...] = ()
    """Not a setting: what the operator should hear at start."""

    def __post_init__(self) -> None:
        """Recipients without a domain are in ours, unless told otherwise."""
        domain = self.lmtp_default_domain or self.lmtp_hostname.lower()
        object.__setattr__(self, "lmtp_default_domain", domain)

    @property
    def listeners(self) -> tuple[Config, ...]:
        """The default listener and those of the sections."""
        return (self, *self.sections)

    @staticmethod
    def settings() -> tuple[Setting, ...]:
        """The table: all rows, in the order of the documentation."""
        return tuple(
            replace(row.metadata["setting"], key=row.name.replace("_", "-"))
            for row in dataclasses.fields(Config)
            if "setting" in row.metadata
        )
