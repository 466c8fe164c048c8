"""TrustedNames: the addresses of the host names in `lmtp-trusted-ips`, kept fresh.

Nobody waits for the DNS: whoever asks hears what is known by now. A name that does not exist, or
has no address, trusts nobody from that moment on. While the DNS fails, the addresses of its last
good answer hold for a day, so that a name server that is down for a night stops no mail.

Only names are turned into addresses, never a peer's address into its name: whoever owns an address
writes its reverse name.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .failures import told
from .trust import EXCHANGERS, UNRESOLVED, IpAddress, Resolved, plain_address

LOOK_S = 5.0
"""Between two looks for names whose time has come."""
SHORTEST_MEMORY_S = 30.0
"""Also of a name that has no address. A TTL of 0 would ask without end."""
LONGEST_MEMORY_S = 3600.0
RETRY_S = 5.0
"""After a look-up that failed."""
LONGEST_WITHOUT_DNS_S = 24 * 3600.0
LONGEST_LOOKUP_S = 20.0
LONGEST_QUESTION_S = 5.0
MOST_HOSTS = 20
"""Of one domain's MX; whoever writes the zone could list thousands."""

Ask = Callable[[str, str, float], tuple[Iterable[str], float]]
"""The records of a name, by type (A, AAAA: addresses; MX: hosts) and within so many seconds, and
for how many seconds they hold; none if there are none, an exception if nobody can tell."""

_ANSWERS, _EMPTY, _FAILS = "trusted-name-answers", "trusted-name-empty", "trusted-name-fails"
"""In the log, when it comes to be so."""


@dataclass(slots=True)
class _Entry:
    resolved: Resolved = UNRESOLVED
    last_good: frozenset[IpAddress] = frozenset()
    last_good_s: float = -math.inf
    due_s: float = -math.inf
    state: str = _ANSWERS


class TrustedNames:
    """What is known of each name that was ever asked for; for one thread, or greenlets."""

    def __init__(
        self,
        ask: Ask,
        spawn: Callable[..., object],
        repeat: Callable[[float, Callable[[], object]], object],
        report: Callable[..., object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is asked yet.

        Args:
            ask: asks the DNS.
            spawn: `spawn(function, *arguments)` runs a look-up that nobody waits for.
            repeat: calls a function every so many seconds.
            report: writes a line of the log, as Log.line does.
            clock: monotonic seconds.
        """
        self._ask = ask
        self._spawn = spawn
        self._repeat = repeat
        self._report = report
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    def resolved(self, name: str) -> Resolved:
        """What is known of a name of a TrustPolicy; the first call has it looked up from now on."""
        entry = self._entries.get(name)
        if entry is None:
            if not self._entries:
                self._repeat(LOOK_S, self._refresh)
            entry = self._entries[name] = _Entry()
            self._refresh()
        return entry.resolved

    def _refresh(self) -> None:
        now = self._clock()
        for name, entry in list(self._entries.items()):
            if entry.due_s <= now:
                entry.due_s = math.inf  # no second look-up beside the first
                self._spawn(self._look_up, name, entry)

    def _look_up(self, name: str, entry: _Entry) -> None:
        """However it ends, killed too, there will be another."""
        memory_s = RETRY_S
        try:
            look_up = _LookUp(self._ask, self._clock)
            look_up.follow(name)
            memory_s = self._keep(entry, look_up)
            self._tell(name, entry, look_up.fault)
        finally:
            entry.due_s = self._clock() + memory_s

    def _keep(self, entry: _Entry, look_up: _LookUp) -> float:
        """Take over what was found; how many seconds it holds."""
        now, found = self._clock(), frozenset(look_up.addresses)
        if look_up.fault:
            is_old = now - entry.last_good_s > LONGEST_WITHOUT_DNS_S
            entry.resolved = Resolved(found if is_old else found | entry.last_good)
            return RETRY_S
        entry.last_good, entry.last_good_s = found, now
        entry.resolved = Resolved(found, is_certain=True)
        if not found:
            return SHORTEST_MEMORY_S
        return min(max(SHORTEST_MEMORY_S, look_up.ttl_s), LONGEST_MEMORY_S)

    def _tell(self, name: str, entry: _Entry, fault: Exception | None) -> None:
        state, cause = _ANSWERS, ""
        if fault:
            state, cause = _FAILS, f"cannot be resolved: {told(fault)}"
        elif not entry.resolved.addresses:
            state, cause = _EMPTY, "has no address, and so trusts nobody"
        if state != entry.state:
            entry.state = state
            self._report(state, name=name, cause=cause)


class _LookUp:
    """The questions of one name: A and AAAA, for `mx:` of each host in its MX.

    A domain without MX has no host here: that it would get its mail itself (RFC 5321 5.1) does not
    say that it sends any (RFC 7208 5.4 for SPF).
    """

    def __init__(self, ask: Ask, clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock
        self._ends_s = clock() + LONGEST_LOOKUP_S
        self.addresses: set[IpAddress] = set()
        self.ttl_s = math.inf
        self.fault: Exception | None = None
        """Why something is missing, perhaps."""

    def follow(self, name: str) -> None:
        domain = name.removeprefix(EXCHANGERS)
        hosts = [domain] if domain == name else self._records(domain, "MX")[:MOST_HOSTS]
        for host in hosts:
            for kind in ("A", "AAAA"):
                self.addresses.update(map(plain_address, self._records(host, kind)))

    def _records(self, name: str, kind: str) -> list[str]:
        seconds = min(LONGEST_QUESTION_S, self._ends_s - self._clock())
        try:
            records, ttl_s = self._ask(name, kind, seconds)
        except Exception as error:  # noqa: BLE001 - of dnspython, or nobody's: it cannot be told
            self.fault = error
            return []
        self.ttl_s = min(self.ttl_s, ttl_s)
        return list(records)
