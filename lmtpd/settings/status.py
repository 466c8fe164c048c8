"""Settings: metrics, health and the status page."""

from __future__ import annotations

from dataclasses import dataclass

from lmtpd import values
from lmtpd.settings.setting import setting
from lmtpd.values import optional


@dataclass(frozen=True)
class StatusSettings:
    """A part of Config."""

    lmtp_status_addr: tuple[str, int] | None = setting(
        "none",
        optional(values.endpoint),
        "Address and port, such as `127.0.0.1:11280`, where `/` is the status page, `/metrics` is"
        " for Prometheus, `/healthz` says whether lmtpd works and `/readyz` whether it can deliver."
        " Whoever reaches it reads addresses of senders and recipients. `none`: nowhere.",
        "Status",
    )
