"""Settings: who says which recipients exist, and how long that holds."""

# ruff: noqa: RUF009 - `setting` is dataclasses.field by another name, and calls nothing early

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lmtpd import values
from lmtpd.settings.setting import setting
from lmtpd.values import between, optional

_DAY_S = 86400.0
_RECIPIENTS = "Recipients"


@dataclass(frozen=True)
class RecipientSettings:
    """A part of Config."""

    lmtp_recipient_hooks: tuple[str, ...] = setting(
        "maildirs",
        values.hooks,
        "Who says which recipients exist, asked in this order, separated by semicolons:"
        " `maildirs`, `table`, `passwd`, `sql`, `ldap`, `http`, `socketmap`, `tcp_table`, `exec`,"
        " `dns`, `callout`, an entry point's name or `package.module:Verifier`.",
        _RECIPIENTS,
    )
    lmtp_recipient_table: Path | None = setting(
        "none",
        optional(values.path),
        "File of addresses that the hook `table` reads, and reads again when it changes.",
        _RECIPIENTS,
    )
    lmtp_recipient_delimiter: str = setting(
        "+",
        values.delimiters,
        "Each of these characters separates user from detail: mail for `alice+news` reaches"
        " `alice`. Empty or `none`: addresses have no detail.",
        _RECIPIENTS,
    )
    lmtp_case_sensitive: bool = setting(
        "false", values.switch, "`true`: `Alice` and `alice` are two mailboxes.", _RECIPIENTS
    )
    lmtp_hook_timeout: float = setting(
        "10",
        between(0.1, 29.9, values.seconds),
        "How long one hook may take; a late one is a 451, never a refusal.",
        _RECIPIENTS,
    )
    lmtp_verify_timeout: float = setting(
        "25",
        between(0.1, 29.9, values.seconds, "Exim gives up a callout after 30 seconds"),
        "How long all hooks together may take for one recipient; under 30 seconds.",
        _RECIPIENTS,
    )
    lmtp_verify_positive_ttl: float = setting(
        "5m",
        between(0.0, 31 * _DAY_S, values.seconds),
        "How long the acceptance of a recipient holds; 0: each is asked for. A hook may say"
        " otherwise: `maildirs` has 3 seconds.",
        _RECIPIENTS,
    )
    lmtp_verify_negative_ttl: float = setting(
        "10s",
        between(0.0, 3 * 3600.0, values.seconds, "Postfix itself asks again after 3 hours"),
        "How long every other opinion of a hook holds: a new mailbox may be unknown so long."
        " `maildirs` keeps none.",
        _RECIPIENTS,
    )
    lmtp_verify_stale: float = setting(
        "1h",
        between(0.0, 31 * _DAY_S, values.seconds),
        "While a hook is down, what it accepted is accepted so long after its time. 0: never.",
        _RECIPIENTS,
    )
    lmtp_verify_cache_size: int = setting(
        "10000",
        between(0, 10_000_000, values.number),
        "Accepted addresses that each worker keeps for each hook, and as many others; half a"
        " kilobyte each. 0: none is kept.",
        _RECIPIENTS,
    )
    lmtp_verify_jitter: int = setting(
        "10",
        between(0, 90, values.number),
        "Up to so many hundredths are taken off the time that an answer holds, at random, so that"
        " not all of them end together.",
        _RECIPIENTS,
    )
    lmtp_hook_faults: int = setting(
        "5",
        between(1, 1_000_000, values.number),
        "After so many errors and late answers in a row a hook is down: recipients get 451 at once,"
        " and one question at a time tries whether it is back.",
        _RECIPIENTS,
    )
    lmtp_hook_pause: float = setting(
        "60",
        between(1.0, 3600.0, values.seconds),
        "Longest time between two such tries; the first comes after 1 second, each later one after"
        " twice the time.",
        _RECIPIENTS,
    )
    lmtp_fail_open_domains: frozenset[str] = setting(
        "none",
        values.domains,
        "Dangerous. Domains, separated by semicolons, in which every address is accepted while a"
        " hook is down, for the mailbox of that name, which is made if it is not there: invented"
        " addresses too, and aliases as mailboxes that nobody reads.",
        _RECIPIENTS,
    )
