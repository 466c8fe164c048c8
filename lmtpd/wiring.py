"""From a Config to Services: the only file that names concrete classes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .client.dialogue import Hello
from .client.tls import Tls, TlsMode
from .config import Config, ConfigError
from .delivery.agent import DeliveryAgent, Job, Outcome
from .delivery.commit import CommitMode, GroupCommit
from .delivery.disk import Disk
from .delivery.duplicates import Duplicates, Unconfirmed
from .delivery.homes import Homes, HomeStore
from .delivery.layout import Layout, is_home
from .delivery.maildir import MaildirStore
from .delivery.message import Message
from .delivery.rights import Rights
from .delivery.store import MailboxStore
from .delivery.tree import MaildirTree
from .delivery.users import Users
from .protocol import replies
from .protocol.extensions import Extensions
from .protocol.limits import Limits
from .recipients.answer import AnswerReader
from .recipients.callout import CalloutVerifier
from .recipients.chain import AddressRules, Link, VerifierChain
from .recipients.exec import ExecVerifier
from .recipients.extra import extra, secret
from .recipients.fail_open import FailOpen
from .recipients.guard import GuardedHook
from .recipients.loader import HookError, load_hooks
from .recipients.maildirs import MaildirsVerifier
from .recipients.memory import Memory
from .recipients.passwd import PasswdVerifier
from .recipients.policy import Policy
from .recipients.postfix_map import PostfixMap
from .recipients.process import Deadline, Event, Process, Report
from .recipients.socketmap import Socketmap
from .recipients.table_file import LOOK_S, TableFile
from .recipients.tcp_table import TcpTable
from .recipients.verdict import RecipientVerifier
from .services import Runtime, Services

T = TypeVar("T")

_Deliver = Callable[[Job], tuple[Outcome, ...]]


def tree(config: Config, disk: Disk | None = None) -> MaildirTree:
    """The directories of the store.

    Raises:
        ConfigError: the root cannot be opened.
    """
    try:
        return MaildirTree(config.lmtp_maildir_root, disk or Disk())
    except OSError as error:
        raise ConfigError([f"lmtp-maildir-root: {error}"]) from error


def store(config: Config, directories: MaildirTree) -> MaildirStore:
    """The mailboxes."""
    return MaildirStore(Layout(config.lmtp_maildir_path), directories, config.lmtp_hostname)


def homes(config: Config) -> Homes | None:
    """Those of the system's users, if they get mail."""
    return _homes(config) if "passwd" in config.lmtp_recipient_hooks else None


def _homes(config: Config) -> Homes:
    users = Users(config.lmtp_passwd_minimum_uid)
    return Homes(users, config.lmtp_passwd_maildir, Rights())


def folder(config: Config, mailbox: str) -> Path:
    """Where delivery to a mailbox goes, for people.

    Raises:
        OSError, StoreError: it cannot be told, or there is no such place.
    """
    private = homes(config)
    if private and is_home(mailbox):
        return private.folder(mailbox)
    return config.lmtp_maildir_root.joinpath(*Layout(config.lmtp_maildir_path).parts(mailbox))


def process(within: Deadline, new_event: Callable[[], Event], report: Report) -> Process:
    """What hooks are asked with, by the real clock and real dice."""
    return Process(within, new_event, time.monotonic, random.random, report)


def verifier(
    config: Config,
    directories: MaildirTree,
    asking: Process,
    watched: Callable[[GuardedHook], Link] = lambda hook: hook,
    kept_up: Callable[[TableFile], object] = lambda _: None,
    private: Homes | None = None,
) -> VerifierChain:
    """The chain of `lmtp-recipient-hooks`.

    Args:
        config: the settings.
        directories: the store.
        asking: how hooks are waited for.
        watched: puts something between the chain and a hook.
        kept_up: has a table's file looked at from time to time.
        private: the homes of users, if they get mail and delivery knows the same.

    Raises:
        ConfigError: a hook cannot be had.
    """
    layout = Layout(config.lmtp_maildir_path)
    rules = _rules(config)
    private = private or homes(config)

    def maildirs(_: Config) -> RecipientVerifier:
        return MaildirsVerifier(layout, directories)

    def table(_: Config) -> RecipientVerifier:
        path = _given(config.lmtp_recipient_table, "table", "lmtp-recipient-table")
        hook = TableFile(path, config.lmtp_default_domain, rules, asking.report)
        kept_up(hook)
        return hook

    def passwd(_: Config) -> RecipientVerifier:
        domains = config.lmtp_passwd_domains or {config.lmtp_default_domain}
        return PasswdVerifier(domains, private or _homes(config))

    seconds = config.lmtp_hook_timeout
    reader = _reader(config)

    def http(_: Config) -> RecipientVerifier:
        url = _given(config.lmtp_http_url, "http", "lmtp-http-url")
        with extra("http"):
            from .recipients.http import HttpVerifier, bearer_token

        token = bearer_token(config.lmtp_http_token_file)
        return HttpVerifier(url, token, config.lmtp_http_ca_path, seconds, reader)

    def socketmap(_: Config) -> RecipientVerifier:
        target, name = _given(config.lmtp_socketmap, "socketmap", "lmtp-socketmap")
        has_addresses = config.lmtp_socketmap_result == "addresses"
        return PostfixMap(Socketmap(target, name, seconds), reader if has_addresses else None)

    def tcp_table(_: Config) -> RecipientVerifier:
        target = _given(config.lmtp_tcp_table, "tcp_table", "lmtp-tcp-table")
        has_addresses = config.lmtp_tcp_table_result == "addresses"
        return PostfixMap(TcpTable(target, seconds), reader if has_addresses else None)

    def program(_: Config) -> RecipientVerifier:
        command = _given(config.lmtp_exec_command, "exec", "lmtp-exec-command")
        return ExecVerifier(command, seconds, reader, asking.report, asking.clock)

    def dns(_: Config) -> RecipientVerifier:
        from .recipients.dns import DnsVerifier  # with it comes dnspython, see `names`

        hosts, text = config.lmtp_dns_mx, config.lmtp_dns_txt
        _given(hosts or text or None, "dns", "lmtp-dns-mx")
        return DnsVerifier(hosts, text, config.lmtp_dns_server, seconds)

    def callout(_: Config) -> RecipientVerifier:
        target = _given(config.lmtp_callout_server, "callout", "lmtp-callout-server")
        hello = Hello.SMTP if config.lmtp_callout_protocol == "smtp" else Hello.LMTP
        mode = TlsMode.ENCRYPT if config.lmtp_callout_starttls else TlsMode.NONE
        tls = Tls(mode, str(config.lmtp_callout_ca_file or ""), is_checked=True)
        return CalloutVerifier(target, tls, hello, config.lmtp_hostname, seconds, rules)

    shipped = {
        "maildirs": maildirs,
        "table": table,
        "passwd": passwd,
        "sql": _sql,
        "ldap": _ldap,
        "http": http,
        "socketmap": socketmap,
        "tcp_table": tcp_table,
        "exec": program,
        "dns": dns,
        "callout": callout,
    }

    def check(mailbox: str) -> object:
        place = private.layout if private and is_home(mailbox) else layout
        return place.parts(mailbox)

    policy = Policy(
        deadline_s=config.lmtp_hook_timeout,
        positive_ttl_s=config.lmtp_verify_positive_ttl,
        negative_ttl_s=config.lmtp_verify_negative_ttl,
        stale_s=config.lmtp_verify_stale,
        cache_size=config.lmtp_verify_cache_size,
        jitter=config.lmtp_verify_jitter / 100,
        faults=config.lmtp_hook_faults,
        longest_pause_s=config.lmtp_hook_pause,
    )
    try:
        hooks = load_hooks(config.lmtp_recipient_hooks, shipped, config)
        links = [
            watched(GuardedHook(name, hook, asking, check, policy.of(name, hook)))
            for name, hook in hooks
        ]
    except HookError as error:
        raise ConfigError([str(error)]) from error
    domains = config.lmtp_fail_open_domains
    fail_open = FailOpen(domains, layout.parts, asking.report) if domains else None
    return VerifierChain(links, rules, config.lmtp_verify_timeout, asking.clock, fail_open)


def _given(value: T | None, hook: str, key: str) -> T:
    if value is None:
        raise HookError(f"hook {hook}: {key} is not set")
    return value


def _rules(config: Config) -> AddressRules:
    return AddressRules(config.lmtp_recipient_delimiter, config.lmtp_case_sensitive)


def _reader(config: Config) -> AnswerReader:
    return AnswerReader(config.lmtp_default_domain, _rules(config))


# Their packages are optional, and imported only where they are used.


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


def names(config: Config, spawn: Callable[..., object]) -> Callable[[str], str]:
    """The look-up of clients' names."""
    if not config.lmtp_dns:
        return lambda _: ""
    # Here, not above: dnspython is slow to import, and only a server needs it.
    from .dns import PeerNames

    return PeerNames(spawn, config.lmtp_dns_server).name_of


def _agent(config: Config, mailboxes: MailboxStore, unconfirmed: Unconfirmed) -> DeliveryAgent:
    quota = replies.MAILBOX_FULL if config.lmtp_quota_tempfail else replies.QUOTA_EXCEEDED
    return DeliveryAgent(
        mailboxes,
        GroupCommit(CommitMode(config.lmtp_commit)),
        Duplicates(mailboxes, unconfirmed, config.lmtp_repetition_window),
        config.lmtp_hostname,
        quota,
        has_delivered_to=config.lmtp_delivered_to,
    )


def _checked(private: Homes) -> Homes:
    try:
        private.check()
    except OSError as error:
        text = (
            "lmtp-recipient-hooks: passwd delivers with the rights of each user, and lmtpd may not"
            f" take them: {error}; run it as root, or add AmbientCapabilities=CAP_SETUID CAP_SETGID"
            " to its unit"
        )
        raise ConfigError([text]) from error
    return private


def _apart(deliver: _Deliver, deliver_to_homes: _Deliver) -> _Deliver:
    """Homes have a thread of their own: one that hangs, or NSS, stops no other mail."""

    def chosen(job: Job) -> tuple[Outcome, ...]:
        mailboxes = (mailbox for one in job.envelope.recipients for mailbox in one.mailboxes)
        return deliver_to_homes(job) if any(map(is_home, mailboxes)) else deliver(job)

    return chosen


def services(
    config: Config, runtime: Runtime, unconfirmed: Unconfirmed, disk: Disk | None = None
) -> Services:
    """Everything that a session touches.

    Args:
        config: the settings.
        runtime: what the process offers.
        unconfirmed: the deliveries of which clients may not know.
        disk: the operating system, unless it shall be another.

    Raises:
        ConfigError: a part cannot be made.
    """

    def kept_up(table: TableFile) -> None:
        runtime.repeat(LOOK_S, lambda: table.refresh(runtime.offload))

    guarded: list[GuardedHook] = []

    def noted(hook: GuardedHook) -> GuardedHook:
        guarded.append(hook)
        return hook

    directories, private = tree(config, disk), homes(config)
    asking = process(runtime.within, runtime.new_event, runtime.log.line)
    chain = verifier(config, directories, asking, noted, kept_up, private)
    agent = _agent(config, store(config, directories), unconfirmed)
    deliver = runtime.delivering(agent)
    if private:
        in_homes = HomeStore(_checked(private), store(config, directories), config.lmtp_hostname)
        deliver = _apart(deliver, runtime.delivering(_agent(config, in_homes, unconfirmed)))
    return Services(
        host=config.lmtp_hostname,
        default_domain=config.lmtp_default_domain,
        limits=Limits(config.lmtp_max_message_size, config.lmtp_max_recipients),
        extensions=Extensions(
            starttls=config.lmtp_cert_path is not None,
            vrfy=config.lmtp_vrfy,
            dsn=config.lmtp_dsn,
            xforward=config.lmtp_xforward,
        ),
        trust=config.lmtp_trusted_ips,
        verifier=chain,
        memory=Memory(guarded, _rules(config)),
        agent=agent,
        deliver=deliver,
        unconfirmed=unconfirmed,
        new_message=lambda is_binary, lead: Message(directories, lead, is_binary=is_binary),
        # To be unique is enough, and it costs no system call; seeded anew in each worker.
        new_id=lambda: f"{random.getrandbits(64):016x}",
        name_of=names(config, runtime.spawn),
        offload=runtime.offload,
        log=runtime.log,
        is_stopping=runtime.is_stopping,
    )
