"""Shipped: from a Config to each of the hooks that come with lmtpd.

What only one hook needs is imported where that hook is built: packages are optional, and slow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from .client.dialogue import Hello
from .client.tls import Tls, TlsMode
from .config import Config
from .delivery.homes import Homes
from .delivery.layout import Layout
from .delivery.rights import Rights
from .delivery.tree import MaildirTree
from .delivery.users import Users
from .recipients.answer import AnswerReader
from .recipients.callout import CalloutVerifier
from .recipients.chain import AddressRules
from .recipients.exec import ExecVerifier
from .recipients.extra import extra, secret
from .recipients.loader import HookError
from .recipients.maildirs import MaildirsVerifier
from .recipients.passwd import PasswdVerifier
from .recipients.postfix_map import PostfixMap
from .recipients.process import Process
from .recipients.socketmap import Socketmap
from .recipients.table_file import TableFile
from .recipients.tcp_table import TcpTable
from .recipients.verdict import RecipientVerifier

T = TypeVar("T")


def homes_of_users(config: Config) -> Homes:
    """The maildirs of the system's users."""
    users = Users(config.lmtp_passwd_minimum_uid)
    return Homes(users, config.lmtp_passwd_maildir, Rights())


def rules_of(config: Config) -> AddressRules:
    """What of an address does not count."""
    return AddressRules(config.lmtp_recipient_delimiter, config.lmtp_case_sensitive)


class Shipped:
    """Builds hooks; each by its name in `lmtp-recipient-hooks`."""

    def __init__(
        self,
        directories: MaildirTree,
        private: Homes | None,
        asking: Process,
        kept_up: Callable[[TableFile], object],
    ) -> None:
        """What the process has for them.

        Args:
            directories: the store.
            private: the homes of users, if delivery knows them already.
            asking: how hooks are waited for.
            kept_up: has a table's file looked at from time to time.
        """
        self._directories = directories
        self._private = private
        self._asking = asking
        self._kept_up = kept_up

    @property
    def hooks(self) -> Mapping[str, Callable[[Config], RecipientVerifier]]:
        """What builds each, by its name; HookError says what a setting lacks."""
        return {
            "maildirs": self._maildirs,
            "table": self._table,
            "passwd": self._passwd,
            "sql": _sql,
            "ldap": _ldap,
            "http": _http,
            "socketmap": _socketmap,
            "tcp_table": _tcp_table,
            "exec": self._exec,
            "dns": _dns,
            "callout": _callout,
        }

    def _maildirs(self, config: Config) -> RecipientVerifier:
        return MaildirsVerifier(Layout(config.lmtp_maildir_path), self._directories)

    def _table(self, config: Config) -> RecipientVerifier:
        path = _given(config.lmtp_recipient_table, "table", "lmtp-recipient-table")
        rules, report = rules_of(config), self._asking.report
        hook = TableFile(path, config.lmtp_default_domain, rules, report)
        self._kept_up(hook)
        return hook

    def _passwd(self, config: Config) -> RecipientVerifier:
        domains = config.lmtp_passwd_domains or {config.lmtp_default_domain}
        return PasswdVerifier(domains, self._private or homes_of_users(config))

    def _exec(self, config: Config) -> RecipientVerifier:
        command = _given(config.lmtp_exec_command, "exec", "lmtp-exec-command")
        report, clock = self._asking.report, self._asking.clock
        return ExecVerifier(command, config.lmtp_hook_timeout, _reader(config), report, clock)


def _sql(config: Config) -> RecipientVerifier:
    with extra("sql"):
        from .recipients.sql import SqlVerifier

        return SqlVerifier(
            config.lmtp_sql_url,
            config.lmtp_sql_query,
            secret(config.lmtp_sql_password_file),
            config.lmtp_sql_ca_file,
            config.lmtp_hook_timeout,
            _reader(config),
        )


def _ldap(config: Config) -> RecipientVerifier:
    with extra("ldap"):
        from .recipients.ldap import LdapVerifier, Search

        search = Search(
            config.lmtp_ldap_base,
            config.lmtp_ldap_scope,
            config.lmtp_ldap_filter,
            config.lmtp_ldap_attributes,
            config.lmtp_ldap_word_attribute,
        )
        return LdapVerifier(
            config.lmtp_ldap_url,
            search,
            (config.lmtp_ldap_bind_dn, secret(config.lmtp_ldap_password_file)),
            config.lmtp_ldap_ca_file,
            config.lmtp_hook_timeout,
            _reader(config),
            starttls=config.lmtp_ldap_starttls,
        )


def _http(config: Config) -> RecipientVerifier:
    url = _given(config.lmtp_http_url, "http", "lmtp-http-url")
    with extra("http"):
        from .recipients.http import HttpVerifier, bearer_token

    token = bearer_token(config.lmtp_http_token_file)
    seconds = config.lmtp_hook_timeout
    return HttpVerifier(url, token, config.lmtp_http_ca_path, seconds, _reader(config))


def _socketmap(config: Config) -> RecipientVerifier:
    target, name = _given(config.lmtp_socketmap, "socketmap", "lmtp-socketmap")
    has_addresses = config.lmtp_socketmap_result == "addresses"
    wire = Socketmap(target, name, config.lmtp_hook_timeout)
    return PostfixMap(wire, _reader(config) if has_addresses else None)


def _tcp_table(config: Config) -> RecipientVerifier:
    target = _given(config.lmtp_tcp_table, "tcp_table", "lmtp-tcp-table")
    has_addresses = config.lmtp_tcp_table_result == "addresses"
    wire = TcpTable(target, config.lmtp_hook_timeout)
    return PostfixMap(wire, _reader(config) if has_addresses else None)


def _dns(config: Config) -> RecipientVerifier:
    from .recipients.dns import DnsVerifier

    hosts, text = config.lmtp_dns_mx, config.lmtp_dns_txt
    _given(hosts or text or None, "dns", "lmtp-dns-mx")
    return DnsVerifier(hosts, text, config.lmtp_dns_server, config.lmtp_hook_timeout)


def _callout(config: Config) -> RecipientVerifier:
    target = _given(config.lmtp_callout_server, "callout", "lmtp-callout-server")
    hello = Hello.SMTP if config.lmtp_callout_protocol == "smtp" else Hello.LMTP
    mode = TlsMode.ENCRYPT if config.lmtp_callout_starttls else TlsMode.NONE
    tls = Tls(mode, str(config.lmtp_callout_ca_file or ""), is_checked=True)
    seconds, rules = config.lmtp_hook_timeout, rules_of(config)
    return CalloutVerifier(target, tls, hello, config.lmtp_hostname, seconds, rules)


def _given(value: T | None, hook: str, key: str) -> T:
    if value is None:
        raise HookError(f"hook {hook}: {key} is not set")
    return value


def _reader(config: Config) -> AnswerReader:
    return AnswerReader(config.lmtp_default_domain, rules_of(config))
