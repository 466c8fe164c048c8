"""Hooks and what they ask: what they cannot do without, and what nobody reads."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlsplit

from lmtpd.checks.check import Check, value
from lmtpd.settings import Config

BACK_ENDS = {
    "table": ("lmtp-recipient-table",),
    "sql": ("lmtp-sql-url", "lmtp-sql-query"),
    "ldap": ("lmtp-ldap-url", "lmtp-ldap-base", "lmtp-ldap-filter", "lmtp-ldap-attributes"),
    "http": ("lmtp-http-url",),
    "socketmap": ("lmtp-socketmap",),
    "tcp_table": ("lmtp-tcp-table",),
    "exec": ("lmtp-exec-command",),
    "callout": ("lmtp-callout-server",),
}
"""The settings that a hook cannot do without; the first says whom it asks."""

_WAL = bytes((2, 2))
"""In SQLite's header: the versions for writers and for readers (sqlite.org/fileformat.html)."""


def _needs(hook: str, key: str) -> Check:
    """A hook that is named must have this setting."""

    def says(config: Config) -> str:
        lacking = hook in config.lmtp_recipient_hooks and not value(config, key)
        return f"the hook {hook} needs {key}" if lacking else ""

    return Check(("lmtp-recipient-hooks", key), says)


def _idle(hook: str, key: str) -> Check:
    """A setting without its hook."""

    def says(config: Config) -> str:
        unused = value(config, key) and hook not in config.lmtp_recipient_hooks
        return f"is not read, for lmtp-recipient-hooks does not name {hook}" if unused else ""

    return Check((key, "lmtp-recipient-hooks"), says)


def _no_mark(config: Config) -> str:
    lacking = "dns" in config.lmtp_recipient_hooks and not _has_mark(config)
    return "the hook dns needs to know ours: set lmtp-dns-mx or lmtp-dns-txt" if lacking else ""


def _mark_unused(config: Config) -> str:
    unused = _has_mark(config) and "dns" not in config.lmtp_recipient_hooks
    return "is not read, for lmtp-recipient-hooks does not name dns" if unused else ""


def _has_mark(config: Config) -> bool:
    """By which the zone of a domain says that it is ours."""
    return bool(config.lmtp_dns_mx or config.lmtp_dns_txt)


def _no_program(config: Config) -> str:
    """A warning only: its file system may come later than we, and its mail can wait."""
    command = config.lmtp_exec_command
    if not command or shutil.which(command[0]):
        return ""
    return f"{command[0]} is not there, or is no program that we may run"


def _bind_without_password(config: Config) -> str:
    lacking = config.lmtp_ldap_bind_dn and not config.lmtp_ldap_password_file
    return "needs its password: set lmtp-ldap-password-file" if lacking else ""


def _password_without_bind(config: Config) -> str:
    lacking = config.lmtp_ldap_password_file and not config.lmtp_ldap_bind_dn
    return "is whose password? Set lmtp-ldap-bind-dn" if lacking else ""


def _tls_twice(config: Config) -> str:
    twice = config.lmtp_ldap_starttls and not config.lmtp_ldap_url.startswith("ldap://")
    return "begins TLS on ldap:// connections alone" if twice else ""


def _directory_in_clear(config: Config) -> str:
    is_clear = config.lmtp_ldap_url.startswith("ldap://") and not config.lmtp_ldap_starttls
    remedy = "set lmtp-ldap-starttls, or use ldaps:"
    return _listened_to(urlsplit(config.lmtp_ldap_url).hostname, remedy) if is_clear else ""


def _data_base_in_clear(config: Config) -> str:
    is_clear = not config.lmtp_sql_ca_file
    host = urlsplit(config.lmtp_sql_url).hostname
    return _listened_to(host, "set lmtp-sql-ca-file") if is_clear else ""


def _journal_refused(config: Config) -> str:
    """Who only reads makes files beside SQLite's own in WAL mode (sqlite.org/wal.html)."""
    url = urlsplit(config.lmtp_sql_url)
    file = Path(url.path[1:]).absolute()
    writable = (config.lmtp_maildir_root, *config.lmtp_sandbox_writable)
    is_ours = any(file.is_relative_to(path.absolute()) for path in writable)
    if url.scheme != "sqlite" or config.lmtp_sandbox == "off" or is_ours:
        return ""
    try:
        with file.open("rb") as opened:
            versions = opened.read(20)[18:]
    except OSError:
        return ""  # the hook says so, time and again
    if versions != _WAL:
        return ""
    return f"{file} is in WAL mode: its folder has to stand in lmtp-sandbox-writable"


def _server_in_clear(config: Config) -> str:
    target = config.lmtp_callout_server
    if target is None or target.is_path or config.lmtp_callout_starttls:
        return ""
    return _listened_to(target.host, "set lmtp-callout-starttls")


def _authority_unused(config: Config) -> str:
    unused = config.lmtp_callout_ca_file and not config.lmtp_callout_starttls
    return "is not read without lmtp-callout-starttls" if unused else ""


def _listened_to(host: str | None, remedy: str) -> str:
    if host in (None, "localhost", "127.0.0.1", "::1"):
        return ""
    return f"clear text: whoever is on the way to {host} can change its answers; {remedy}"


def _hook_outlasts_chain(config: Config) -> str:
    if config.lmtp_hook_timeout <= config.lmtp_verify_timeout:
        return ""
    return f"is less than the {config.lmtp_hook_timeout:g} s of one hook (lmtp-hook-timeout)"


def _fails_open(config: Config) -> str:
    names = ", ".join(sorted(config.lmtp_fail_open_domains))
    return f"every address of {names} is accepted while a hook is down" if names else ""


FAULTS = (
    *(_needs(hook, key) for hook, keys in BACK_ENDS.items() for key in keys),
    Check(("lmtp-recipient-hooks", "lmtp-dns-mx", "lmtp-dns-txt"), _no_mark),
    Check(("lmtp-ldap-bind-dn", "lmtp-ldap-password-file"), _bind_without_password),
    Check(("lmtp-ldap-password-file", "lmtp-ldap-bind-dn"), _password_without_bind),
    Check(("lmtp-ldap-starttls", "lmtp-ldap-url"), _tls_twice),
    Check(("lmtp-verify-timeout", "lmtp-hook-timeout"), _hook_outlasts_chain),
)
WARNINGS = (
    *(_idle(hook, keys[0]) for hook, keys in BACK_ENDS.items()),
    _idle("passwd", "lmtp-passwd-domains"),
    Check(("lmtp-dns-mx", "lmtp-dns-txt", "lmtp-recipient-hooks"), _mark_unused),
    Check(("lmtp-exec-command",), _no_program),
    Check(("lmtp-sql-url", "lmtp-sql-ca-file"), _data_base_in_clear),
    Check(("lmtp-sql-url", "lmtp-sandbox", "lmtp-sandbox-writable"), _journal_refused),
    Check(("lmtp-ldap-url", "lmtp-ldap-starttls"), _directory_in_clear),
    Check(("lmtp-callout-server", "lmtp-callout-starttls"), _server_in_clear),
    Check(("lmtp-callout-ca-file", "lmtp-callout-starttls"), _authority_unused),
    Check(("lmtp-fail-open-domains",), _fails_open),
)
