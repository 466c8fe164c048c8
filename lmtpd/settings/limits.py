"""Settings: what bounds a client, and a server."""

from __future__ import annotations

from dataclasses import dataclass

from lmtpd import values
from lmtpd.protocol.limits import FEWEST_RECIPIENTS, SMALLEST_MESSAGE_SIZE
from lmtpd.settings.setting import setting
from lmtpd.values import between

_DAY_S = 86400.0
_LIMITS = "Limits"


@dataclass(frozen=True)
class LimitSettings:
    """A part of Config."""

    lmtp_max_message_size: int = setting(
        "52428800",
        between(
            SMALLEST_MESSAGE_SIZE, 2**50, values.octets, "RFC 5321 section 4.5.3.1.7 asks for 64K"
        ),
        "Octets of the largest message; suffixes K, M and G. At least 64K"
        " (RFC 5321 section 4.5.3.1.7).",
        _LIMITS,
    )
    lmtp_max_recipients: int = setting(
        "1000",
        between(
            FEWEST_RECIPIENTS, 1_000_000, values.number, "RFC 5321 section 4.5.3.1.8 asks for 100"
        ),
        "Recipients of one message. At least 100 (RFC 5321 section 4.5.3.1.8).",
        _LIMITS,
    )
    lmtp_workers: int = setting(
        "auto",
        between(1, 256, values.processes),
        "Processes that serve side by side. `auto`: as many as there are processors.",
        _LIMITS,
    )
    lmtp_idle_timeout: float = setting(
        "300",
        between(1.0, _DAY_S, values.seconds),
        "Silence after which a connection is closed; suffixes s, m and h. RFC 5321 section"
        " 4.5.3.2.7 asks for 5 minutes.",
        _LIMITS,
    )
    lmtp_drain_timeout: float = setting(
        "30",
        between(0.0, _DAY_S, values.seconds),
        "How long transactions may go on after the order to stop.",
        _LIMITS,
    )
    lmtp_memory_budget: int | None = setting(
        "256M",
        values.optional(between(1024**2, 2**50, values.octets)),
        "What all messages together may hold in memory, in equal shares for the workers. When half"
        " of it is held, messages move to the disk from 64K on instead of 256K; when all of it is,"
        " new transactions hear 452 4.3.1, and those that are running finish. `none`: no limit.",
        _LIMITS,
    )
    lmtp_disk_reserve: int | None = setting(
        "100M",
        values.optional(between(0, 2**60, values.octets)),
        "What MAIL leaves free on the file system of lmtp-maildir-root, less the SIZE that it"
        " names: below that, or below 100 files, it hears 452 4.3.1. `none`: the disk may be"
        " filled to the end.",
        _LIMITS,
    )
