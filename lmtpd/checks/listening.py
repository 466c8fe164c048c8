"""Where lmtpd listens, and who may speak there."""

from __future__ import annotations

import os

from lmtpd.checks.check import Check
from lmtpd.settings import Config
from lmtpd.trust import TrustPolicy

_SOCKET_PATH_OCTETS = 107
"""sun_path of unix(7), less its NUL."""

_OVERFLOW_USER = 65534
"""What stands for users of other namespaces (user_namespaces(7)): /proc/sys/kernel/overflowuid."""


def shares_port(one: Config, other: Config) -> bool:
    """Could only one of two listeners have its port?"""
    addresses = {one.lmtp_bind_addr, other.lmtp_bind_addr}
    if one.lmtp_port != other.lmtp_port or "" in addresses:
        return False
    has_ipv6 = any(":" in address for address in addresses)
    # The one takes IPv4 as well, the other nothing else.
    return len(addresses) == 1 or ("::" if has_ipv6 else "0.0.0.0") in addresses  # noqa: S104


def shares_path(one: Config, other: Config) -> bool:
    """Do two listeners have one unix socket?"""
    paths = [os.path.normpath(each.lmtp_socket_path or "") for each in (one, other)]
    return bool(one.lmtp_socket_path) and paths[0] == paths[1]


def _socket_path_too_long(config: Config) -> str:
    octets = len(os.fsencode(config.lmtp_socket_path or ""))
    if octets <= _SOCKET_PATH_OCTETS:
        return ""
    return f"the path of a socket has at most {_SOCKET_PATH_OCTETS} octets, this one {octets}"


def _status_in_the_way(config: Config) -> str:
    is_same = config.lmtp_status_addr == (config.lmtp_bind_addr, config.lmtp_port)
    return "is where lmtpd takes mail: it needs a port of its own" if is_same else ""


def _clear_text(config: Config) -> str:
    if not _is_exposed(config) or config.lmtp_cert_path:
        return ""
    return f"clear text on {config.lmtp_bind_addr}: set lmtp-cert-path and lmtp-key-path"


def _nobody_trusted(config: Config) -> str:
    if not _is_exposed(config) or config.lmtp_trusted_ips.networks is not None:
        return ""
    return (
        f"{config.lmtp_bind_addr} is open to other machines, but only loopback peers are"
        " trusted: name the MTA's address in lmtp-trusted-ips"
    )


def _is_exposed(config: Config) -> bool:
    """Can other machines reach the port?"""
    return not TrustPolicy().trusts(config.lmtp_bind_addr)


def _proxied_alone(config: Config) -> str:
    """Trust is for the client behind the proxy, which is seldom on loopback."""
    if not config.lmtp_proxy_ips or config.lmtp_trusted_ips.networks is not None:
        return ""
    return (
        "lets proxies speak for their clients, but of these only loopback ones are trusted: name"
        " the MTA's address in lmtp-trusted-ips"
    )


def _anybody_a_proxy(config: Config) -> str:
    if all(network.prefixlen for network in config.lmtp_proxy_ips):
        return ""
    return "lets every machine pass for any other: name the proxies alone"


def _anybody_trusted(config: Config) -> str:
    if _OVERFLOW_USER not in {account.number for account in config.lmtp_trusted_users}:
        return ""
    return f"{_OVERFLOW_USER} is not one user: so the kernel calls all that it cannot tell here"


def _status_for_all(config: Config) -> str:
    if config.lmtp_status_addr is None or TrustPolicy().trusts(config.lmtp_status_addr[0]):
        return ""
    return "other machines may read there who writes to whom; nobody is asked for a password"


FAULTS = (
    Check(("lmtp-socket-path",), _socket_path_too_long),
    Check(("lmtp-status-addr", "lmtp-bind-addr", "lmtp-port"), _status_in_the_way),
)
WARNINGS = (
    Check(("lmtp-bind-addr", "lmtp-cert-path"), _clear_text),
    Check(("lmtp-bind-addr", "lmtp-trusted-ips"), _nobody_trusted),
    Check(("lmtp-proxy-ips", "lmtp-trusted-ips"), _proxied_alone),
    Check(("lmtp-proxy-ips",), _anybody_a_proxy),
    Check(("lmtp-trusted-users",), _anybody_trusted),
    Check(("lmtp-status-addr",), _status_for_all),
)
