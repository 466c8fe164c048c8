"""Settings: the log."""

from __future__ import annotations

from dataclasses import dataclass

from lmtpd import values
from lmtpd.settings.setting import setting

_LOG = "Log"


@dataclass(frozen=True)
class LogSettings:
    """A part of Config."""

    lmtp_log_target: str = setting(
        "auto",
        values.log_target,
        "`stderr`; `journal`: systemd's, where `journalctl LMTPD_ID=...` finds what became of a"
        " message; `syslog`: the machine's syslog daemon, facility mail. `auto`: the journal if"
        " standard error goes there, else `stderr`.",
        _LOG,
    )
    lmtp_log_format: str = setting(
        "logfmt",
        values.log_format,
        "`logfmt`: `key=value`, for people and scripts. `json`: an object in each line.",
        _LOG,
    )
