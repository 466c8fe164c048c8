"""Settings: what we and our clients are called."""

from __future__ import annotations

from dataclasses import dataclass

from lmtpd import values
from lmtpd.settings.setting import setting
from lmtpd.values import optional

_NAMES = "Names"


@dataclass(frozen=True)
class NameSettings:
    """A part of Config."""

    lmtp_hostname: str = setting(
        "none",
        values.host_name,
        "Our name in the greeting, in Received and in file names. `none`: the machine's.",
        _NAMES,
    )
    lmtp_default_domain: str = setting(
        "none",
        values.domain,
        "Domain of a recipient that has none (`<postmaster>`). `none`: `lmtp-hostname`.",
        _NAMES,
    )
    lmtp_dns: bool = setting(
        "true",
        values.switch,
        "Look up the clients' names for Received. Nothing waits for it.",
        _NAMES,
    )
    lmtp_dns_server: tuple[str, int] | None = setting(
        "none",
        optional(values.server),
        "Name server for that, for names in `lmtp-trusted-ips` and for the hook `dns`: an address,"
        " `192.0.2.53:5353` or `[2001:db8::53]:5353`. `none`: as in resolv.conf.",
        _NAMES,
    )
