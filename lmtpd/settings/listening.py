"""Settings: where lmtpd listens."""

# ruff: noqa: RUF009 - `setting` is dataclasses.field by another name, and calls nothing early

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lmtpd import values
from lmtpd.accounts import Account
from lmtpd.settings.setting import setting
from lmtpd.values import optional

_LISTENING = "Listening"


@dataclass(frozen=True)
class ListeningSettings:
    """A part of Config."""

    lmtp_bind_addr: str = setting(
        "127.0.0.1",
        values.bind_address,
        "Address to listen on; `0.0.0.0` or `::` for every interface. Any other than loopback"
        " needs `lmtp-trusted-ips`, and should have `lmtp-cert-path`. `none`: no TCP, but for what"
        " systemd hands over.",
        _LISTENING,
    )
    lmtp_port: int = setting(
        "11200", values.port, "TCP port. 25 is refused (RFC 2033 section 5).", _LISTENING
    )
    lmtp_socket_path: Path | None = setting(
        "none",
        optional(values.path),
        "Unix socket to listen on as well. What a server has left there is replaced, unless it"
        " still listens; the file goes when lmtpd stops.",
        _LISTENING,
    )
    lmtp_socket_mode: int = setting(
        "0660",
        values.mode,
        "Mode of the unix socket, octal. Whoever may write to it may deliver, unless"
        " `lmtp-trusted-users` says otherwise.",
        _LISTENING,
    )
    lmtp_socket_owner: Account | None = setting(
        "none",
        optional(values.user),
        "Who shall own the unix socket, by name or number; only root may give it away. `none`:"
        " who runs lmtpd.",
        _LISTENING,
    )
    lmtp_socket_group: Account | None = setting(
        "none",
        optional(values.group),
        "The group of the unix socket, by name or number; one that lmtpd is not a member of only"
        " root may choose. `none`: that of who runs lmtpd.",
        _LISTENING,
    )
