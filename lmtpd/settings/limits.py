"""Settings: what bounds a client, and a server."""

from __future__ import annotations

from dataclasses import dataclass

from lmtpd import values
from lmtpd.protocol.limits import FEWEST_RECIPIENTS, SMALLEST_MESSAGE_SIZE
from lmtpd.settings.setting import setting
from lmtpd.values import between, optional

_DAY_S = 86400.0
_LONGEST_DELIVERY_S = 480.0
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
    lmtp_max_connections: int | None = setting(
        "10000",
        optional(between(1, 1_000_000, values.number)),
        "Connections at one time, of all workers; the surplus hears 421 4.3.2. `none`: as many as"
        " the machine holds.",
        _LIMITS,
    )
    lmtp_max_connections_per_peer: int | None = setting(
        "1000",
        optional(between(1, 1_000_000, values.number)),
        "The same of one address, an IPv6 network /64 counting as one; the surplus hears 421 4.7.0."
        " All MTAs on this machine are one address, and the clients of the unix socket none."
        " `none`: no limit.",
        _LIMITS,
    )
    lmtp_max_errors: int | None = setting(
        "100",
        optional(between(1, 1_000_000, values.number)),
        "Commands in a session that break the protocol; at the next the client hears 421 4.7.0 and"
        " is cut off. A recipient that is refused is no error. `none`: no limit.",
        _LIMITS,
    )
    lmtp_max_noops: int | None = setting(
        "1000",
        optional(between(10, 1_000_000, values.number)),
        "Commands in a row that lead to no mail: NOOP, RSET, LHLO, HELP, VRFY, EXPN and"
        " XFORWARD; MAIL begins a new row. `none`: no limit.",
        _LIMITS,
    )
    lmtp_max_commands: int | None = setting(
        "none",
        optional(between(1000, 2**50, values.number)),
        "Commands in a session, at least 1000. `none`: no limit.",
        _LIMITS,
    )
    lmtp_workers: int = setting(
        "auto",
        between(1, 256, values.processes),
        "Processes that serve side by side. `auto`: as many as there are processors.",
        _LIMITS,
    )
    lmtp_worker_patience: float | None = setting(
        "60",
        optional(between(4.0, _DAY_S, values.seconds)),
        "How long a worker may do nothing at all, because a hook blocks it that should not, say."
        " After that it is killed and replaced; its clients, whom it could not serve, come again."
        " `none`: for ever.",
        _LIMITS,
    )
    lmtp_idle_timeout: float = setting(
        "300",
        between(1.0, _DAY_S, values.seconds),
        "Silence after which a connection is closed; suffixes s, m and h. RFC 5321 section"
        " 4.5.3.2.7 asks for 5 minutes.",
        _LIMITS,
    )
    lmtp_command_timeout: float = setting(
        "300",
        between(1.0, _DAY_S, values.seconds),
        "From the reply to one command to the end of the next, and for a client to read what it is"
        " told. RFC 5321 section 4.5.3.2.7 asks for 5 minutes.",
        _LIMITS,
    )
    lmtp_data_timeout: float = setting(
        "1h",
        between(1.0, _DAY_S, values.seconds),
        "For the text of DATA, or of one BDAT. RFC 5321 section 4.5.3.2.5 lets a client take 3"
        " minutes for each piece of it.",
        _LIMITS,
    )
    lmtp_transaction_timeout: float = setting(
        "2h",
        between(1.0, _DAY_S, values.seconds),
        "From MAIL to the end of the message.",
        _LIMITS,
    )
    lmtp_delivery_timeout: float = setting(
        "200",
        between(1.0, _LONGEST_DELIVERY_S, values.seconds),
        "How long a message may wait for its delivery to begin, be it behind a disk that hangs or"
        " behind others for the same mailbox; then it hears 451 4.3.0, and is not delivered. At"
        " most 8 minutes: clients wait 10 (RFC 5321 section 4.5.3.2.6).",
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
        optional(between(1024**2, 2**50, values.octets)),
        "What all messages together may hold in memory, in equal shares for the workers. When half"
        " of it is held, messages move to the disk from 64K on instead of 256K; when all of it is,"
        " new transactions hear 452 4.3.1, and those that are running finish. `none`: no limit.",
        _LIMITS,
    )
    lmtp_disk_reserve: int | None = setting(
        "100M",
        optional(between(0, 2**60, values.octets)),
        "What MAIL leaves free on the file system of lmtp-maildir-root, less the SIZE that it"
        " names: below that, or below 100 files, it hears 452 4.3.1. `none`: the disk may be"
        " filled to the end.",
        _LIMITS,
    )
