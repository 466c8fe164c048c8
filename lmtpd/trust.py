"""TrustPolicy: which peers may speak to us at all (`lmtp-trusted-ips`).

LMTP has no spam filter and no authentication: whoever reaches the port puts mail into mailboxes.
With no list only this machine is trusted. With a list the list alone counts, for loopback too.
Addresses in, yes or no out: no socket, no log, no reply.
"""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LOOPBACK: tuple[Network, ...] = (
    ipaddress.IPv4Network("127.0.0.0/8"),
    ipaddress.IPv6Network("::1/128"),
)
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """The networks whose hosts may connect; None stands for loopback only."""

    networks: tuple[Network, ...] | None = None

    @classmethod
    def parse(cls, text: str) -> TrustPolicy:
        """Read `127.0.0.1;10.0.0.0/8;2001:db8::/32`.

        Raises:
            ValueError: names every entry that is neither an address nor a network.
        """
        networks: list[Network] = []
        faults: list[str] = []
        for entry in filter(None, (part.strip() for part in text.split(";"))):
            try:
                networks.append(_network(entry))
            except ValueError as error:
                faults.append(str(error))
        if not networks and not faults:
            # An empty list would silently mean "nobody", or worse "no list".
            faults.append("holds no address")
        if faults:
            raise ValueError("; ".join(faults))
        return cls(tuple(networks))

    def trusts(self, address: str) -> bool:
        """May the peer with this address connect? Anything that is no address may not.

        The empty address is a unix socket's peer: the mode of the socket's file has judged it.
        """
        if not address:
            return True
        try:
            peer = _peer(address)
        except ValueError:
            return False
        networks = _LOOPBACK if self.networks is None else self.networks
        return any(peer in network for network in networks)

    def __str__(self) -> str:
        """As the operator would write it; for the log."""
        if self.networks is None:
            return "loopback only"
        return ";".join(str(network) for network in self.networks)


@functools.lru_cache(maxsize=1000)
def _peer(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    peer = ipaddress.ip_address(address.partition("%")[0])
    # A listener on `::` sees IPv4 peers as mapped (RFC 4291 2.5.5.2); the list says 10.0.0.1.
    return (peer.version == 6 and peer.ipv4_mapped) or peer


def _network(entry: str) -> Network:
    """One entry of the list, IPv4-mapped ones as IPv4."""
    if "%" in entry:
        # Dropping the zone would trust that address on every other link as well.
        raise ValueError(f"{entry!r} has a zone: write the address without it")
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        raise ValueError(
            f"{entry!r} is not an address or network such as 10.0.0.1 or 2001:db8::/32"
            " (entries are separated by semicolons)"
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
