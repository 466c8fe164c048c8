"""TrustPolicy: which peers may speak to us at all (`lmtp-trusted-ips`).

LMTP has no spam filter and no authentication: whoever reaches the port puts mail into mailboxes.
With no list only this machine is trusted. With a list the list alone counts, for loopback too.
Addresses in, yes or no out: no socket, no log, no reply. What the DNS says of a name in the list
comes from outside (lmtpd.trusted_names). A peer's own name is never asked for: whoever owns an
address writes its reverse name, an attacker too.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from .hostname import is_host_name
from .protocol.address import normal_domain

T = TypeVar("T")

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

EXCHANGERS = "mx:"
"""Before a domain: the hosts of its MX are meant."""

_LOOPBACK: tuple[Network, ...] = (
    ipaddress.IPv4Network("127.0.0.0/8"),
    ipaddress.IPv6Network("::1/128"),
)
_NETWORK = "an address or network such as 10.0.0.1 or 2001:db8::/32"
_PEER = (
    "an address, network or host name such as 10.0.0.1, 2001:db8::/32, mx1.example.org or"
    " mx:example.org"
)
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What is known of a name."""

    addresses: frozenset[IpAddress] = frozenset()
    is_certain: bool = False
    """It has been asked for, and nothing was left unanswered."""


UNRESOLVED = Resolved()


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """The networks and hosts that may connect; None stands for loopback only."""

    networks: tuple[Network, ...] | None = None
    names: tuple[str, ...] = ()
    """Host names, and domains behind EXCHANGERS: A-labels in lower case, without a final dot."""

    @classmethod
    def parse(cls, text: str) -> TrustPolicy:
        """Read `127.0.0.1;10.0.0.0/8;2001:db8::/32;mx1.example.org;mx:example.org`.

        Raises:
            ValueError: names every entry that is neither an address, a network nor a name.
        """
        entries = _entries(text, lambda entry: _name(entry) or _network(entry, _PEER))
        names = dict.fromkeys(entry for entry in entries if isinstance(entry, str))
        networks = (entry for entry in entries if not isinstance(entry, str))
        return cls(tuple(networks), tuple(names))

    def trusts(
        self, address: str, resolved: Callable[[str], Resolved] = lambda _: UNRESOLVED
    ) -> bool | None:
        """May the peer with this address connect? Anything that is no address may not.

        The empty address is a unix socket's peer: the mode of the socket's file has judged it.

        Args:
            address: the peer's.
            resolved: what is known of a name.

        Returns:
            None: a name that might be the peer's cannot be resolved just now.
        """
        if not address:
            return True
        try:
            peer = plain_address(address)
        except ValueError:
            return False
        networks = _LOOPBACK if self.networks is None else self.networks
        known = [resolved(name) for name in self.names]
        if any(peer in network for network in networks) or any(
            peer in one.addresses for one in known
        ):
            return True
        return False if all(one.is_certain for one in known) else None

    def __str__(self) -> str:
        """As the operator would write it; for the log."""
        if self.networks is None:
            return "loopback only"
        return ";".join(map(str, (*self.networks, *self.names)))


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read `127.0.0.1;10.0.0.0/8;2001:db8::/32`.

    Raises:
        ValueError: names every entry that is neither an address nor a network.
    """
    return tuple(_entries(text, lambda entry: _network(entry, _NETWORK)))


def is_within(address: str, networks: tuple[Network, ...]) -> bool:
    """Is this the address of a host in one of the networks?"""
    try:
        peer = plain_address(address)
    except ValueError:
        return False
    return any(peer in network for network in networks)


@functools.lru_cache(maxsize=1000)
def plain_address(address: str) -> IpAddress:
    """Without its zone, and IPv4-mapped as IPv4.

    Raises:
        ValueError: it is none.
    """
    peer = ipaddress.ip_address(address.partition("%")[0])
    # A listener on `::` sees IPv4 peers as mapped (RFC 4291 2.5.5.2); the list says 10.0.0.1.
    return (peer.version == 6 and peer.ipv4_mapped) or peer


def _entries(text: str, parse: Callable[[str], T]) -> list[T]:
    found: list[T] = []
    faults: list[str] = []
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        try:
            found.append(parse(entry))
        except ValueError as error:
            faults.append(str(error))
    if not found and not faults:
        # An empty list would silently mean "nobody", or worse "no list".
        faults.append("holds no address")
    if faults:
        raise ValueError("; ".join(faults))
    return found


def _name(entry: str) -> str:
    """The name in its one spelling; empty if it is none."""
    mark = EXCHANGERS if entry.lower().startswith(EXCHANGERS) else ""
    try:
        name = normal_domain(entry[len(mark) :].removesuffix("."))
    except ValueError:
        return ""
    # One label alone is more often a slip (`none`, `localhost`) than a host below the root.
    return mark + name if is_host_name(name) and "." in name else ""


def _network(entry: str, wanted: str) -> Network:
    """One entry of the list, IPv4-mapped ones as IPv4."""
    if "%" in entry:
        # Dropping the zone would trust that address on every other link as well.
        raise ValueError(f"{entry!r} has a zone: write the address without it")
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        raise ValueError(
            f"{entry!r} is not {wanted} (entries are separated by semicolons)"
        ) from None
    host = entry.partition("/")[0]
    if ipaddress.ip_address(host) != network.network_address:
        # Whether one host or its whole network is meant is not ours to guess.
        raise ValueError(
            f"{entry!r} is not a network: write {network} for the network or {host} for the host"
        )
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        mapped = int(network.network_address) & 0xFFFFFFFF
        return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network
