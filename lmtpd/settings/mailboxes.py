"""Settings: where mail lies, and how it gets there."""

# ruff: noqa: RUF009 - `setting` is dataclasses.field by another name, and calls nothing early

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lmtpd import values
from lmtpd.settings.setting import setting
from lmtpd.values import between, optional

_DAY_S = 86400.0
_STORE = "Mailboxes"


def folder(text: str) -> Path:
    """The root of the mailboxes; not set: `maildirs` beside the launcher."""
    package = Path(__file__).parents[1]
    return default_root(package) if values.is_none(text) else values.path(text)


def default_root(package: Path) -> Path:
    """`maildirs` in the source tree; for an installed package, in the working directory."""
    tree = package.parent
    return (tree if (tree / "lmtpd.py").is_file() else Path.cwd()) / "maildirs"


@dataclass(frozen=True)
class MailboxSettings:
    """A part of Config."""

    lmtp_maildir_root: Path = setting(
        "none",
        folder,
        "Folder below which all maildirs lie; it must exist. `none`: `maildirs` beside"
        " `lmtpd.py`, or in the working directory where lmtpd is installed as a package.",
        _STORE,
    )
    lmtp_maildir_marker: str | None = setting(
        "none",
        optional(values.inner_path),
        "File below the root that is there while the right file system is mounted, such as"
        " `.lmtpd-store`; make it once, with `touch`. Without it lmtpd does not start, and one that"
        " runs takes no mail: below an empty mount point it would be hidden by the next mount."
        " `none`: a mount that is lost is noticed only where the root is a mount point itself.",
        _STORE,
    )
    lmtp_maildir_path: str = setting(
        "{domain}/{local}",
        values.template,
        "Place of a maildir below the root. `{domain}`, `{local}` and `{mailbox}` are filled"
        " in and can be cut: `{domain}/{local:.1}/{local}`.",
        _STORE,
    )
    lmtp_delivered_to: bool = setting(
        "true",
        values.switch,
        "Each copy names its recipient in Delivered-To and in Received. `false`: the copies of a"
        " message are the same, and share their octets by hard links.",
        _STORE,
    )
    lmtp_commit: str = setting(
        "auto",
        values.commit_mode,
        "How deliveries that are ready together are made durable: `fsync` for each, `syncfs` for"
        " all (where the file system can), or what costs less at the moment, `auto`.",
        _STORE,
    )
    lmtp_mailbox_concurrency: int | None = setting(
        "20",
        optional(between(1, 1_000_000, values.number)),
        "Deliveries to one mailbox at one time, in each worker; further ones wait for their turn,"
        " so that a flood for one mailbox does not keep others waiting. `none`: no limit.",
        _STORE,
    )
    lmtp_mailbox_patience: float = setting(
        "30",
        between(0.1, _DAY_S, values.seconds),
        "How long one call to the disk may take. After that mail for the mailbox where it hangs"
        " hears 450 4.2.0 at once, until the call returns, and all other mail goes on.",
        _STORE,
    )
    lmtp_repetition_window: float = setting(
        "24h",
        between(0.0, 30 * _DAY_S, values.seconds),
        "How long a message is known again whose final reply the client may not have heard: it"
        " is acknowledged, and not delivered twice. `0`: not at all.",
        _STORE,
    )
    lmtp_quota_tempfail: bool = setting(
        "true",
        values.switch,
        "Disk quota exceeded: `true` answers 452 4.2.2 and the client tries again; `false`"
        " answers 552 5.2.2 and the message bounces.",
        _STORE,
    )
