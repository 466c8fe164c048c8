"""Settings: who may speak to us."""

# ruff: noqa: RUF009 - `setting` is dataclasses.field by another name, and calls nothing early

from __future__ import annotations

from dataclasses import dataclass

from lmtpd import values
from lmtpd.accounts import Account
from lmtpd.settings.setting import setting
from lmtpd.trust import Network, TrustPolicy

_TRUST = "Trust"


@dataclass(frozen=True)
class TrustSettings:
    """A part of Config."""

    lmtp_trusted_ips: TrustPolicy = setting(
        "none",
        values.peers,
        "Addresses, networks and host names that may connect, separated by semicolons, such as"
        " `127.0.0.1;10.0.0.0/8;2001:db8::/32;mx1.example.org;mx:example.org` (the hosts of that"
        " domain's MX); everyone else is refused. `none`: loopback only. A list replaces that, so"
        " name loopback in it if it shall stay. Whoever answers for a name in the DNS decides who"
        " may deliver; while nobody answers, its last addresses hold for a day, and other peers"
        " hear 421.",
        _TRUST,
    )
    lmtp_proxy_ips: tuple[Network, ...] = setting(
        "none",
        values.networks,
        "Addresses and networks of proxies that begin each connection with a header of the PROXY"
        " protocol, version 1 or 2, before TLS too; without it they are not served. The client"
        " that it names is the one to be trusted, limited and logged, so a proxy can pass for"
        " anybody; where it names none, the proxy itself is.",
        _TRUST,
    )
    lmtp_trusted_users: tuple[Account, ...] = setting(
        "none",
        values.users,
        "Users whose programs may speak on the unix socket, by name or number, separated by"
        " semicolons, such as `postfix;0`; everyone else is refused, root too unless it is named."
        " `none`: whoever the socket's mode lets in.",
        _TRUST,
    )
