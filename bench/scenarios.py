"""What is measured: one row for a scenario, with the figures it is to reach.

Promises: nothing but data. A new scenario is a new row. Targets are ratios: the rate and the CPU
for each delivery against Dovecot's, and the rate against the floor's, all of the same run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAILBOXES = 100
"""Mailboxes of every scenario, served round-robin."""

PEERS = ("lmtpd", "dovecot", "aiosmtpd", "floor")
"""Every server that can be measured, by the name that the command line knows."""

_CLEAR_ONLY = ("floor",)


@dataclass(frozen=True, slots=True)
class Targets:
    """Ratios to reach; None where none is asked for."""

    rate_to_dovecot: float | None = None
    cpu_to_dovecot: float | None = None
    rate_to_floor: float | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load: so many connections, of this kind, with such messages."""

    name: str
    title: str
    connections: int
    octets: int = 4096
    recipients: int = 1
    is_new_each: bool = False
    is_tls: bool = False
    idle: int = 0
    is_probe: bool = False
    """Whether recipients are asked for and no message is sent (bench/verified.py)."""
    linked: bool = False
    """Whether lmtpd is told to write no Delivered-To, so that copies can share one inode."""
    counts_syncs: bool = False
    stretch: float = 1.0
    """How many times longer than others it is measured, where deliveries are few."""
    only: tuple[str, ...] = PEERS
    targets: Targets = field(default_factory=Targets)

    def peers(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the wanted peers that take part."""
        able = (peer for peer in wanted if peer in self.only)
        return tuple(peer for peer in able if not (self.is_tls and peer in _CLEAR_ONLY))


_4_KIB = 4096
_100_KIB = 100 * 1024
_25_MIB = 25 * 1024 * 1024

SCENARIOS = (
    Scenario(
        "each",
        "new connection each, 20 at a time, 4 KiB",
        connections=20,
        is_new_each=True,
        targets=Targets(1.5, 0.45),
    ),
    Scenario(
        "kept-1",
        "1 kept, 4 KiB",
        connections=1,
        counts_syncs=True,
        targets=Targets(3, 0.25, 0.7),
    ),
    Scenario(
        "kept-20",
        "20 kept, 4 KiB",
        connections=20,
        counts_syncs=True,
        targets=Targets(4.5, 0.15, 0.45),
    ),
    Scenario(
        "kept-100",
        "100 kept, 4 KiB",
        connections=100,
        counts_syncs=True,
        targets=Targets(6, 0.13, 0.6),
    ),
    Scenario(
        "kept-20-100k",
        "20 kept, 100 KiB",
        connections=20,
        octets=_100_KIB,
        targets=Targets(4, 0.25, 0.45),
    ),
    Scenario(
        "25m",
        "4 kept, 25 MiB",
        connections=4,
        octets=_25_MIB,
        stretch=2,
        targets=Targets(2.5, 0.3, 0.4),
    ),
    Scenario(
        "rcpt50-linked",
        "50 recipients, linked, 4 kept, 4 KiB",
        connections=4,
        recipients=50,
        linked=True,
        counts_syncs=True,
        targets=Targets(6, 0.08, 0.6),
    ),
    Scenario(
        "rcpt50-own",
        "50 recipients, own headers, 4 kept, 4 KiB",
        connections=4,
        recipients=50,
        counts_syncs=True,
        # The floor has no headers, so its copies are always linked.
        only=("lmtpd", "dovecot", "aiosmtpd"),
        targets=Targets(4, 0.2),
    ),
    Scenario("idle-1000", "1,000 idle and 1 at work, 4 KiB", connections=1, idle=1000),
    Scenario(
        "idle-1000-tls",
        "1,000 idle under TLS and 1 at work, 4 KiB",
        connections=1,
        idle=1000,
        is_tls=True,
        # A process each under TLS takes Dovecot longer than it is worth.
        only=("lmtpd",),
    ),
    Scenario(
        "tls-kept",
        "TLS, 20 kept, 4 KiB",
        connections=20,
        is_tls=True,
        targets=Targets(3, 0.3),
    ),
    Scenario(
        "starttls-each",
        "STARTTLS anew each, 20 at a time, 4 KiB",
        connections=20,
        is_new_each=True,
        is_tls=True,
        targets=Targets(1.3, 0.6),
    ),
)

PSS_PER_WORKER_MIB = 40.0
"""Peak of one lmtpd process in the scenario `25m`."""

IDLE_KIB = {"idle-1000": 12.0, "idle-1000-tls": 28.0}
"""Memory of an idle connection, by scenario."""


def named(name: str) -> Scenario:
    """The scenario of this name; KeyError if there is none."""
    return {scenario.name: scenario for scenario in SCENARIOS}[name]
