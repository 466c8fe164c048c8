"""Do the values of a Config go together, and with this machine?

A check is a row: the keys that it compares, and a function from Config to what is wrong, in words
for the administrator, mostly nothing. lmtpd.config runs them and knows where the values stood.
Files are looked at and never changed; certificates are not parsed, for that needs ssl, which
gevent has to patch first.
"""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from lmtpd.delivery.rights import Ids
from lmtpd.hostname import is_host_name
from lmtpd.settings import Config
from lmtpd.trust import TrustPolicy
from lmtpd.worker_rights import ids_of, rights_of_workers, why_unreadable

_SOCKET_PATH_OCTETS = 107
"""sun_path of unix(7), less its NUL."""

_OVERFLOW_USER = 65534
"""What stands for users of other namespaces (user_namespaces(7)): /proc/sys/kernel/overflowuid."""

_WAL = bytes((2, 2))
"""In SQLite's header: the versions for writers and for readers (sqlite.org/fileformat.html)."""

_WORKER_S_LEAST = 1024**2
"""Octets of memory: less would refuse what comes while a few messages are under way."""
_WORKER_S_FILES = 1000
"""Open files beside the connections: the mailboxes of a moment ago, messages, hooks."""


class Check(NamedTuple):
    """The keys that are compared, the one to blame first, and what is to be said; mostly ""."""

    keys: tuple[str, ...]
    says: Callable[[Config], str]


def _certificate_alone(config: Config) -> str:
    alone = config.lmtp_cert_path and not config.lmtp_key_path
    return "needs the certificate's private key: set lmtp-key-path" if alone else ""


def _key_alone(config: Config) -> str:
    alone = config.lmtp_key_path and not config.lmtp_cert_path
    return "needs the key's certificate: set lmtp-cert-path" if alone else ""


def _tls_without_certificate(config: Config) -> str:
    lacking = config.lmtp_tls_only and not config.lmtp_cert_path
    return "needs a certificate: set lmtp-cert-path and lmtp-key-path" if lacking else ""


def _keys_lacking(config: Config) -> str:
    certificates, keys = len(config.lmtp_cert_path), len(config.lmtp_key_path)
    if not certificates or not keys or certificates == keys:
        return ""
    return f"needs a key for each certificate, in their order: {certificates} and {keys} are set"


def _exposed_key(config: Config) -> str:
    """As PostgreSQL judges: ours alone, or root's and a group's to read."""
    group = ids.gid if (ids := _workers(config)) else None
    exposed = [str(path) for path in config.lmtp_key_path if _is_exposed_file(path, group)]
    if not exposed:
        return ""
    return f"{', '.join(exposed)} can be read by others: chmod 0600, or root's own and chmod 0640"


def _is_exposed_file(path: Path, group: int | None) -> bool:
    try:
        info = path.stat()
    except OSError:
        return False  # said already: it cannot be read
    may_group_read = info.st_uid == 0 or info.st_gid == group
    return bool(info.st_mode & (0o037 if may_group_read else 0o077))


def _versions_crossed(config: Config) -> str:
    least, most = config.lmtp_tls_min_version, config.lmtp_tls_max_version
    crossed = most is not None and least > most
    return f"{least} is beyond lmtp-tls-max-version = {most}" if crossed else ""


def _clients_without_authority(config: Config) -> str:
    lacking = config.lmtp_client_certificate != "none" and not config.lmtp_ca_path
    return "needs to know whose certificates are good: set lmtp-ca-path" if lacking else ""


def _clients_without_tls(config: Config) -> str:
    lacking = config.lmtp_client_certificate != "none" and not config.lmtp_cert_path
    return "needs TLS: set lmtp-cert-path and lmtp-key-path" if lacking else ""


def _clients_not_asked(key: str) -> Check:
    """A setting of clients' certificates, where none is asked for."""

    def says(config: Config) -> str:
        unused = _value(config, key) and config.lmtp_client_certificate == "none"
        return "is not read, for lmtp-client-certificate is none" if unused else ""

    return Check((key, "lmtp-client-certificate"), says)


def _readable(key: str) -> Check:
    """A file that is named can be read. Opened, for os.access is wrong for some file systems."""

    def says(config: Config) -> str:
        value = _value(config, key)
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, Path) and (why := why_unreadable(path)):
                return f"{path} cannot be read: {why}"
        return ""

    return Check((key,), says)


def _workers(config: Config) -> Ids | None:
    """Of lmtp-user, which is said already if there is none such."""
    try:
        return ids_of(config)
    except LookupError:
        return None


def _no_account(config: Config) -> str:
    try:
        ids = ids_of(config)
    except LookupError as error:
        return str(error)
    return f"{config.lmtp_user} is root, who may do everything" if ids and not ids.uid else ""


def _group_alone(config: Config) -> str:
    alone = config.lmtp_group and not config.lmtp_user
    return "is the group of workers that become lmtp-user: set that too" if alone else ""


def _refused_to_workers(config: Config) -> str:
    """What hooks read is read by lmtp-user. What certificates need is read before."""
    with rights_of_workers(config) as are_theirs:
        for key in _FILES if are_theirs else ():
            path = _value(config, key)
            if key not in _TLS_FILES and isinstance(path, Path) and (why := why_unreadable(path)):
                return f"{config.lmtp_user} cannot read {path} ({key}): {why}"
    return ""


def _renewal_refused(config: Config) -> str:
    """A certificate is read again when it is renewed, and by then we are not root any more."""
    with rights_of_workers(config) as are_theirs:
        paths = [*config.lmtp_cert_path, *config.lmtp_key_path, config.lmtp_ca_path]
        refused = [str(one) for one in paths if are_theirs and one and why_unreadable(one)]
    if not refused:
        return ""
    return (
        f"the renewal of {', '.join(refused)} needs a restart, for {config.lmtp_user} cannot read"
        f" it: give it group {config.lmtp_group or config.lmtp_user} and mode 0640"
    )


def _root_refused(config: Config) -> str:
    """Messages that are too large for memory wait in a file there."""
    with rights_of_workers(config) as are_theirs:
        root = config.lmtp_maildir_root
        refused = are_theirs and not os.access(root, os.W_OK | os.X_OK, effective_ids=True)
    return f"{config.lmtp_user} may not write in {root}" if refused else ""


def _sandbox_lacking(config: Config) -> str:
    lacking = [str(path) for path in config.lmtp_sandbox_writable if not path.exists()]
    return f"{', '.join(lacking)}: no such file or folder" if lacking else ""


def _no_root(config: Config) -> str:
    """A root that is made here would hide a file system that is not mounted, and take its mail."""
    root = config.lmtp_maildir_root
    try:
        is_folder = stat.S_ISDIR(root.stat().st_mode)
    except OSError as error:
        return f"{root}: {error.strerror}; create it, or is its file system not mounted?"
    return "" if is_folder else f"{root} is not a folder"


def _no_marker(config: Config) -> str:
    """The mailboxes may lie there and not be seen now; nothing but a plain answer will do."""
    if config.lmtp_maildir_marker is None:
        return ""
    path = config.lmtp_maildir_root / config.lmtp_maildir_marker
    try:
        path.stat()
    except OSError as error:
        return (
            f"{path}: {error.strerror}; is its file system not mounted? If it is, and new, make the"
            f" file: touch {shlex.quote(str(path))}"
        )
    return ""


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


def _needs(hook: str, key: str) -> Check:
    """A hook that is named must have this setting."""

    def says(config: Config) -> str:
        lacking = hook in config.lmtp_recipient_hooks and not _value(config, key)
        return f"the hook {hook} needs {key}" if lacking else ""

    return Check(("lmtp-recipient-hooks", key), says)


def _idle(hook: str, key: str) -> Check:
    """A setting without its hook."""

    def says(config: Config) -> str:
        unused = _value(config, key) and hook not in config.lmtp_recipient_hooks
        return f"is not read, for lmtp-recipient-hooks does not name {hook}" if unused else ""

    return Check((key, "lmtp-recipient-hooks"), says)


def _value(config: Config, key: str) -> object:
    return getattr(config, key.replace("-", "_"))


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


def _little_memory(config: Config) -> str:
    least = config.lmtp_workers * _WORKER_S_LEAST
    if config.lmtp_memory_budget is None or config.lmtp_memory_budget >= least:
        return ""
    return f"is less than 1M for each of the {config.lmtp_workers} workers (lmtp-workers)"


def _few_descriptors(config: Config) -> str:
    _, may_open = resource.getrlimit(resource.RLIMIT_NOFILE)
    if config.lmtp_max_connections is None or may_open == resource.RLIM_INFINITY:
        return ""
    needs = config.lmtp_max_connections // config.lmtp_workers + _WORKER_S_FILES
    if needs <= may_open:
        return ""
    return f"needs {needs} open files in each worker, which may have {may_open}: raise LimitNOFILE"


def _socket_path_too_long(config: Config) -> str:
    octets = len(os.fsencode(config.lmtp_socket_path or ""))
    if octets <= _SOCKET_PATH_OCTETS:
        return ""
    return f"the path of a socket has at most {_SOCKET_PATH_OCTETS} octets, this one {octets}"


def shares_port(one: Config, other: Config) -> bool:
    """Could only one of two listeners have its port?"""
    addresses = {one.lmtp_bind_addr, other.lmtp_bind_addr}
    if one.lmtp_port != other.lmtp_port or "" in addresses:
        return False
    has_ipv6 = any(":" in address for address in addresses)
    # The one takes IPv4 as well, the other nothing else.
    return len(addresses) == 1 or ("::" if has_ipv6 else "0.0.0.0") in addresses  # noqa: S104


def shares_path(one: Config, other: Config) -> bool:
    """Do two listeners have one unix socket?"""
    paths = [os.path.normpath(each.lmtp_socket_path or "") for each in (one, other)]
    return bool(one.lmtp_socket_path) and paths[0] == paths[1]


def _is_exposed(config: Config) -> bool:
    """Can other machines reach the port?"""
    return not TrustPolicy().trusts(config.lmtp_bind_addr)


def _clear_text(config: Config) -> str:
    if not _is_exposed(config) or config.lmtp_cert_path:
        return ""
    return f"clear text on {config.lmtp_bind_addr}: set lmtp-cert-path and lmtp-key-path"


def _nobody_trusted(config: Config) -> str:
    if not _is_exposed(config) or config.lmtp_trusted_ips.networks is not None:
        return ""
    return (
        f"{config.lmtp_bind_addr} is open to other machines, but only loopback peers are"
        " trusted: name the MTA's address in lmtp-trusted-ips"
    )


def _status_for_all(config: Config) -> str:
    if config.lmtp_status_addr is None or TrustPolicy().trusts(config.lmtp_status_addr[0]):
        return ""
    return "other machines may read there who writes to whom; nobody is asked for a password"


def _status_in_the_way(config: Config) -> str:
    is_same = config.lmtp_status_addr == (config.lmtp_bind_addr, config.lmtp_port)
    return "is where lmtpd takes mail: it needs a port of its own" if is_same else ""


def _proxied_alone(config: Config) -> str:
    """Trust is for the client behind the proxy, which is seldom on loopback."""
    if not config.lmtp_proxy_ips or config.lmtp_trusted_ips.networks is not None:
        return ""
    return (
        "lets proxies speak for their clients, but of these only loopback ones are trusted: name"
        " the MTA's address in lmtp-trusted-ips"
    )


def _anybody_a_proxy(config: Config) -> str:
    if all(network.prefixlen for network in config.lmtp_proxy_ips):
        return ""
    return "lets every machine pass for any other: name the proxies alone"


def _anybody_trusted(config: Config) -> str:
    if _OVERFLOW_USER not in {account.number for account in config.lmtp_trusted_users}:
        return ""
    return f"{_OVERFLOW_USER} is not one user: so the kernel calls all that it cannot tell here"


def _nameless_machine(config: Config) -> str:
    name = socket.gethostname()
    if is_host_name(name) or config.lmtp_hostname != "localhost":
        return ""
    return f"this machine calls itself {name!r}, which is no host name; localhost is used"


_FILES = (
    "lmtp-cert-path",
    "lmtp-key-path",
    "lmtp-ca-path",
    "lmtp-recipient-table",
    "lmtp-http-token-file",
    "lmtp-http-ca-path",
    "lmtp-sql-password-file",
    "lmtp-sql-ca-file",
    "lmtp-ldap-password-file",
    "lmtp-ldap-ca-file",
    "lmtp-callout-ca-file",
)
"""Settings that name a file to read."""
_TLS_FILES = frozenset({"lmtp-cert-path", "lmtp-key-path", "lmtp-ca-path"})
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

FAULTS: tuple[Check, ...] = (
    Check(("lmtp-cert-path", "lmtp-key-path"), _certificate_alone),
    Check(("lmtp-key-path", "lmtp-cert-path"), _key_alone),
    Check(("lmtp-key-path", "lmtp-cert-path"), _keys_lacking),
    Check(("lmtp-tls-only", "lmtp-cert-path"), _tls_without_certificate),
    Check(("lmtp-tls-min-version", "lmtp-tls-max-version"), _versions_crossed),
    Check(("lmtp-client-certificate", "lmtp-cert-path"), _clients_without_tls),
    Check(("lmtp-client-certificate", "lmtp-ca-path"), _clients_without_authority),
    *map(_readable, _FILES),
    *(_needs(hook, key) for hook, keys in BACK_ENDS.items() for key in keys),
    Check(("lmtp-recipient-hooks", "lmtp-dns-mx", "lmtp-dns-txt"), _no_mark),
    Check(("lmtp-ldap-bind-dn", "lmtp-ldap-password-file"), _bind_without_password),
    Check(("lmtp-ldap-password-file", "lmtp-ldap-bind-dn"), _password_without_bind),
    Check(("lmtp-ldap-starttls", "lmtp-ldap-url"), _tls_twice),
    Check(("lmtp-maildir-root",), _no_root),
    Check(("lmtp-maildir-marker", "lmtp-maildir-root"), _no_marker),
    Check(("lmtp-user", "lmtp-group"), _no_account),
    Check(("lmtp-group", "lmtp-user"), _group_alone),
    Check(("lmtp-user", "lmtp-group", *_FILES), _refused_to_workers),
    Check(("lmtp-sandbox-writable",), _sandbox_lacking),
    Check(("lmtp-verify-timeout", "lmtp-hook-timeout"), _hook_outlasts_chain),
    Check(("lmtp-memory-budget", "lmtp-workers"), _little_memory),
    Check(("lmtp-socket-path",), _socket_path_too_long),
    Check(("lmtp-status-addr", "lmtp-bind-addr", "lmtp-port"), _status_in_the_way),
)
"""What keeps lmtpd from starting."""

WARNINGS: tuple[Check, ...] = (
    Check(("lmtp-bind-addr", "lmtp-cert-path"), _clear_text),
    Check(("lmtp-bind-addr", "lmtp-trusted-ips"), _nobody_trusted),
    Check(("lmtp-proxy-ips", "lmtp-trusted-ips"), _proxied_alone),
    Check(("lmtp-proxy-ips",), _anybody_a_proxy),
    Check(("lmtp-trusted-users",), _anybody_trusted),
    Check(("lmtp-key-path", "lmtp-user", "lmtp-group"), _exposed_key),
    Check(
        ("lmtp-key-path", "lmtp-cert-path", "lmtp-ca-path", "lmtp-user", "lmtp-group"),
        _renewal_refused,
    ),
    Check(("lmtp-user", "lmtp-group", "lmtp-maildir-root"), _root_refused),
    *map(_clients_not_asked, ("lmtp-ca-path", "lmtp-client-names", "lmtp-client-fingerprints")),
    *(_idle(hook, keys[0]) for hook, keys in BACK_ENDS.items()),
    Check(("lmtp-dns-mx", "lmtp-dns-txt", "lmtp-recipient-hooks"), _mark_unused),
    Check(("lmtp-exec-command",), _no_program),
    _idle("passwd", "lmtp-passwd-domains"),
    Check(("lmtp-sql-url", "lmtp-sql-ca-file"), _data_base_in_clear),
    Check(("lmtp-sql-url", "lmtp-sandbox", "lmtp-sandbox-writable"), _journal_refused),
    Check(("lmtp-ldap-url", "lmtp-ldap-starttls"), _directory_in_clear),
    Check(("lmtp-callout-server", "lmtp-callout-starttls"), _server_in_clear),
    Check(("lmtp-callout-ca-file", "lmtp-callout-starttls"), _authority_unused),
    Check(("lmtp-fail-open-domains",), _fails_open),
    Check(("lmtp-status-addr",), _status_for_all),
    Check(("lmtp-hostname",), _nameless_machine),
    Check(("lmtp-max-connections", "lmtp-workers"), _few_descriptors),
)
"""What lmtpd says at start, and goes on."""
