"""What the DNS says; the only user of dnspython.

PeerNames is the name of a connected peer, where the DNS confirms it both ways.
The name only decorates the Received header field and the log (RFC 5321 4.4), so no session ever
waits for it: `name_of` answers from memory and starts a look-up behind the caller's back. No
answer is an answer, never an error. Everything is bounded: seconds, names, look-ups under way,
entries kept.

`exchangers`, `texts` and `records` tell what is in a domain's zone, or raise if nobody can.

Import this only where sockets have become cooperative (dnspython takes them as it finds them),
and use one PeerNames from one thread: there are no locks.
"""

from __future__ import annotations

import functools
import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import dns.exception
import dns.name
import dns.resolver
import dns.reversename

from lmtpd.hostname import is_host_name

LONGEST_LOOKUP_S = 5.0
"""PTR and all confirmations together."""
SHORTEST_MEMORY_S = 60.0
"""Also how long a failure is remembered. A TTL of 0 would let each connection ask anew."""
LONGEST_MEMORY_S = 3600.0
MOST_ENTRIES = 1000
MOST_IN_FLIGHT = 20
"""A flood of connections from many addresses is not passed on to the name server."""
MOST_NAMES = 5
"""Names of one address that are tried; whoever writes the zone could list thousands."""


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    expires_s: float


class PeerNames:
    """The verified names of peers, found in the background and remembered for a while."""

    def __init__(
        self,
        spawn: Callable[..., object],
        server: tuple[str, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        lifetime_s: float = LONGEST_LOOKUP_S,
        most_entries: int = MOST_ENTRIES,
        most_in_flight: int = MOST_IN_FLIGHT,
    ) -> None:
        """`spawn(function, *arguments)` runs a look-up; `server` None follows resolv.conf."""
        self._spawn = spawn
        self._server = server
        self._clock = clock
        self._lifetime_s = lifetime_s
        self._most_entries = most_entries
        self._most_in_flight = most_in_flight
        self._entries: dict[str, _Entry] = {}
        self._in_flight: set[str] = set()

    def name_of(self, address: str) -> str:
        """The peer's verified name if it is known by now, else "". Never waits, never raises.

        An unknown address has its look-up started, so the next call may know.
        """
        key = _plain(address)
        if not key:
            return ""
        if self._recall(key) is None and self._may_start(key):
            self._in_flight.add(key)
            self._spawn(self._look_up, key)
        entry = self._recall(key)
        return entry.name if entry else ""

    def _recall(self, key: str) -> _Entry | None:
        entry = self._entries.get(key)
        return entry if entry and self._clock() < entry.expires_s else None

    def _may_start(self, key: str) -> bool:
        return key not in self._in_flight and len(self._in_flight) < self._most_in_flight

    def _look_up(self, key: str) -> None:
        """Runs elsewhere. However it ends, killed too, the address is not left in flight."""
        name, memory_s = "", SHORTEST_MEMORY_S
        try:
            name, memory_s = self._ask(key)
        finally:
            self._in_flight.discard(key)
            self._keep(key, _Entry(name, self._clock() + memory_s))

    def _keep(self, key: str, entry: _Entry) -> None:
        self._entries.pop(key, None)  # a renewed entry is a young one
        self._entries[key] = entry
        while len(self._entries) > self._most_entries:
            del self._entries[next(iter(self._entries))]

    def _ask(self, key: str) -> tuple[str, float]:
        """The first name of the address that leads back to it, and how long to believe that."""
        ends_s = self._clock() + self._lifetime_s
        family = "AAAA" if ":" in key else "A"
        pointers, pointers_ttl = self._query(dns.reversename.from_address(key), "PTR", ends_s)
        for text in islice(pointers, MOST_NAMES):
            # The peer's own zone holds the PTR: any other octet could forge a header field.
            name = text.removesuffix(".").lower()
            if is_host_name(name):
                addresses, ttl = self._query(dns.name.from_text(name), family, ends_s)
                if key in map(_plain, addresses):
                    memory_s = max(SHORTEST_MEMORY_S, float(min(ttl, pointers_ttl)))
                    return name, min(memory_s, LONGEST_MEMORY_S)
        return "", SHORTEST_MEMORY_S

    def _query(self, name: dns.name.Name, kind: str, ends_s: float) -> tuple[list[str], int]:
        """The records as text and their TTL; none when the DNS fails us in any way."""
        try:
            remaining_s = ends_s - self._clock()
            answer = _resolver(self._server).resolve(name, kind, lifetime=remaining_s, search=False)
        except (dns.exception.DNSException, OSError, ValueError):
            return [], 0
        return [record.to_text() for record in answer], answer.chaining_result.minimum_ttl


class DomainError(Exception):
    """The name server is there, and has nothing to say of a domain: SERVFAIL, REFUSED, silence."""


def exchangers(domain: str, server: tuple[str, int] | None, seconds: float) -> list[str]:
    """The hosts of a domain's MX, in lower case; none if there are none, or no such domain.

    Raises:
        DomainError: the name server is there, and cannot tell.
        dns.exception.DNSException: it is not there.
    """
    return [
        record.exchange.to_text(omit_final_dot=True).lower()
        for record in _records(domain, "MX", server, seconds)
    ]


def texts(domain: str, server: tuple[str, int] | None, seconds: float) -> list[str]:
    """The texts of a domain's TXT; none if there are none, or no such domain.

    Raises:
        DomainError: the name server is there, and cannot tell.
        dns.exception.DNSException: it is not there.
    """
    return [
        b"".join(record.strings).decode("ascii", "replace")
        for record in _records(domain, "TXT", server, seconds)
    ]


def records(
    name: str, kind: str, server: tuple[str, int] | None, seconds: float
) -> tuple[list[str], float]:
    """The addresses (A, AAAA) or the exchangers (MX) of a name, and the seconds they hold.

    None, and no end, if there are none, or no such name. Aliases are followed. The null MX of RFC
    7505 is no exchanger.

    Raises:
        dns.exception.DNSException, OSError: nobody can tell.
    """
    asked = dns.name.from_text(name)
    try:
        answer = _resolver(server).resolve(asked, kind, lifetime=seconds, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return [], math.inf
    found = [record.exchange if kind == "MX" else record.address for record in answer]
    texts = [str(one) for one in found if one != dns.name.root]
    return texts, answer.chaining_result.minimum_ttl


def _records(domain: str, kind: str, server: tuple[str, int] | None, seconds: float) -> list[Any]:
    name = dns.name.from_text(domain)
    resolver = _resolver(server)
    try:
        return list(resolver.resolve(name, kind, lifetime=seconds, search=False))
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as error:
        if _is_there(resolver, seconds / 2):
            raise DomainError(str(error)) from error
        raise


def _is_there(resolver: dns.resolver.Resolver, seconds: float) -> bool:
    """Whether the name server answers at all, if it be SERVFAIL; nobody owns the root."""
    try:
        resolver.resolve(dns.name.root, "NS", lifetime=seconds)
    except dns.resolver.LifetimeTimeout:
        return False
    except dns.resolver.NoNameservers as error:
        return any(response is not None for *_, response in error.kwargs["errors"])
    except dns.exception.DNSException:
        pass
    return True


def _resolver(server: tuple[str, int] | None) -> dns.resolver.Resolver:
    """Made for each question, so that a changed resolv.conf needs no restart."""
    if server is None:
        return dns.resolver.Resolver()
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [server[0]]
    resolver.port = server[1]
    return resolver


@functools.lru_cache(MOST_ENTRIES)
def _plain(address: str) -> str:
    """The address in its one spelling, without a zone; IPv4-mapped as IPv4; "" if it is none."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip)
