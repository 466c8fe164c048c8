"""The machine: its clock, and our name."""

from __future__ import annotations

import ctypes
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..config import Config
from ..libc import libc
from .finding import Findings, note, ok, warn

_TIMEX_OCTETS = 512
"""More than struct timex has anywhere; all zero it asks, and sets nothing (adjtimex(2))."""
_TIME_ERROR = 5
"""The clock is not synchronised."""
_DAY = timedelta(days=1)


def clock() -> Findings:
    """Is it right, as far as it can be known?"""
    now = datetime.now(UTC)
    installed = Path(__file__).stat().st_mtime
    if now < datetime.fromtimestamp(installed, UTC) - _DAY:
        yield warn(
            f"it is {now:%Y-%m-%d %H:%M} UTC here, before lmtpd was installed",
            "set it: timedatectl set-ntp true, or date --set ...",
        )
    state = libc().adjtimex(ctypes.create_string_buffer(_TIMEX_OCTETS))
    if state < 0:
        yield note(f"cannot be asked: {os.strerror(ctypes.get_errno())} (adjtimex)")
    elif state == _TIME_ERROR:
        yield warn(
            f"{now:%Y-%m-%d %H:%M:%S} UTC, and nothing keeps it so: dates of mail may be wrong",
            "timedatectl set-ntp true, or: apt install chrony",
        )
    else:
        yield ok(f"{now:%Y-%m-%d %H:%M:%S} UTC, synchronised")


def host_name(settings: Config) -> Findings:
    """Will others know it?"""
    name = settings.lmtp_hostname
    if "." not in name:
        yield warn(
            f"{name} is not fully qualified: it stands in the greeting and in Received",
            "lmtp-hostname = mail.example.org, or: hostnamectl hostname mail.example.org",
        )
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        yield warn(
            f"{name} has no address: {error.strerror or error}",
            f"give it one in the DNS, or a line in /etc/hosts: 127.0.1.1 {name}",
        )
        return
    addresses = dict.fromkeys(str(one[4][0]) for one in found)
    yield ok(f"{name} is {', '.join(addresses)}")
