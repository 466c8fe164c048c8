"""The settings of lmtpd: one row for each, which is also a field of Config.

A row holds the default as an administrator would write it, the function that reads a value, and
the help. docs/CONFIG.md and `--help` are printed from these rows, so nothing about a setting is
said twice. A new setting is a new row. Where values come from, and whether they go together, is
lmtpd.config's matter; nothing here looks at a disk but for the place of the default root.
"""

# ruff: noqa: RUF009 - `setting` is dataclasses.field by another name, and calls nothing early

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from lmtpd import values
from lmtpd.client.target import Target
from lmtpd.protocol.limits import FEWEST_RECIPIENTS, SMALLEST_MESSAGE_SIZE
from lmtpd.trust import TrustPolicy
from lmtpd.values import between, optional

T = TypeVar("T")

_DAY_S = 86400.0
_LISTENING = "Listening"
_TLS = "TLS and trust"
_NAMES = "Names"
_STORE = "Mailboxes"
_RECIPIENTS = "Recipients"
_HOMES = "Hook passwd"
_HTTP = "Hook http"
_EXEC = "Hook exec"
_DNS = "Hook dns"
_CALLOUT = "Hook callout"
_MAPS = "Hooks socketmap and tcp_table"
_SQL = "Hook sql"
_LDAP = "Hook ldap"
_PROTOCOL = "Protocol"
_LIMITS = "Limits"


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table."""

    parse: Callable[[str], object]
    default: str
    help: str
    group: str
    key: str = ""

    @property
    def attribute(self) -> str:
        """The field of Config: `lmtp_port`."""
        return self.key.replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment variable: `LMTP_PORT`."""
        return self.attribute.upper()

    @property
    def option(self) -> str:
        """On the command line: `--lmtp-port`."""
        return f"--{self.key}"

    @property
    def kind(self) -> str:
        """What a value looks like, in a word: `port`, `path`, `seconds`."""
        return self.parse.__name__.replace("_", "-")


def setting(default: str, parse: Callable[[str], T], meaning: str, group: str) -> T:
    """A field of Config and its row at once; the field's type is what `parse` returns."""
    row = Setting(parse, default, meaning, group)
    return field(default_factory=lambda: parse(default), metadata={"setting": row})


def folder(text: str) -> Path:
    """The root of the mailboxes; not set: `maildirs` beside the launcher."""
    return default_root(Path(__file__).parent) if values.is_none(text) else values.path(text)


def default_root(package: Path) -> Path:
    """`maildirs` in the source tree; for an installed package, in the working directory."""
    tree = package.parent
    return (tree if (tree / "lmtpd.py").is_file() else Path.cwd()) / "maildirs"


@dataclass(frozen=True, slots=True)
class Config:
    """The value of every setting: the key, with `-` as `_`. `Config()` is all defaults."""

    lmtp_bind_addr: str = setting(
        "127.0.0.1",
        values.address,
        "Address to listen on; `0.0.0.0` or `::` for every interface. Any other than loopback"
        " needs `lmtp-trusted-ips`, and should have `lmtp-cert-path`.",
        _LISTENING,
    )
    lmtp_port: int = setting(
        "11200", values.port, "TCP port. 25 is refused (RFC 2033 section 5).", _LISTENING
    )
    lmtp_socket_path: Path | None = setting(
        "none", optional(values.path), "Unix socket to listen on as well.", _LISTENING
    )
    lmtp_socket_mode: int = setting(
        "0660",
        values.mode,
        "Mode of the unix socket, octal. Whoever may write to it may deliver.",
        _LISTENING,
    )
    lmtp_cert_path: Path | None = setting(
        "none",
        optional(values.path),
        "Certificate chain, PEM. With it and the key STARTTLS is offered.",
        _TLS,
    )
    lmtp_key_path: Path | None = setting(
        "none", optional(values.path), "Private key of the certificate, PEM.", _TLS
    )
    lmtp_tls_only: bool = setting(
        "false",
        values.switch,
        "`true`: every TCP connection is TLS from its first byte. `false`: clear text, and"
        " STARTTLS where a certificate is set.",
        _TLS,
    )
    lmtp_trusted_ips: TrustPolicy = setting(
        "none",
        values.networks,
        "Addresses and networks that may connect, separated by semicolons, such as"
        " `127.0.0.1;10.0.0.0/8;2001:db8::/32`; everyone else is refused. `none`: loopback only."
        " A list replaces that, so name loopback in it if it shall stay.",
        _TLS,
    )
    lmtp_hostname: str = setting(
        "none",
        values.host_name,
        "Our name in the greeting, in Received and in file names. `none`: the machine's.",
        _NAMES,
    )
    lmtp_default_domain: str = setting(
        "none",
        values.domain,
        "Domain of a recipient that has none (`<postmaster>`). `none`: `lmtp-hostname`.",
        _NAMES,
    )
    lmtp_dns: bool = setting(
        "true",
        values.switch,
        "Look up the clients' names for Received. Nothing waits for it.",
        _NAMES,
    )
    lmtp_dns_server: tuple[str, int] | None = setting(
        "none",
        optional(values.server),
        "Name server for that, and for the hook `dns`: an address, `192.0.2.53:5353` or"
        " `[2001:db8::53]:5353`. `none`: as in resolv.conf.",
        _NAMES,
    )
    lmtp_maildir_root: Path = setting(
        "none",
        folder,
        "Folder below which all maildirs lie; it must exist. `none`: `maildirs` beside"
        " `lmtpd.py`, or in the working directory where lmtpd is installed as a package.",
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
    lmtp_passwd_domains: frozenset[str] = setting(
        "none",
        values.domains,
        "Domains, separated by semicolons, in which the users of the system are recipients."
        " `none`: `lmtp-default-domain`.",
        _HOMES,
    )
    lmtp_passwd_maildir: str = setting(
        "Maildir",
        values.inner_path,
        "Place of a user's maildir below the home; it is made if it is not there.",
        _HOMES,
    )
    lmtp_passwd_minimum_uid: int = setting(
        "1000",
        between(1, 999_999_999, values.number, "root gets no mail this way"),
        "Smallest number of a user who gets mail. Below 1000 are accounts of the system, which are"
        " unknown.",
        _HOMES,
    )
    lmtp_http_url: str | None = setting(
        "none",
        optional(values.url),
        "Web service that the hook `http` asks, such as `http://127.0.0.1:8080/recipients`.",
        _HTTP,
    )
    lmtp_http_token_file: Path | None = setting(
        "none",
        optional(values.path),
        "File whose one line is the bearer token for that service. Nobody but lmtpd should be able"
        " to read it.",
        _HTTP,
    )
    lmtp_http_ca_path: Path | None = setting(
        "none",
        optional(values.path),
        "Certificates that sign the service's, PEM. `none`: those that the system trusts.",
        _HTTP,
    )
    lmtp_socketmap: tuple[Target, str] | None = setting(
        "none",
        optional(values.socketmap),
        "Server and name of the map that the hook `socketmap` asks, as Postfix writes them:"
        " `inet:127.0.0.1:7777:virtual` or `unix:/run/maps.sock:virtual`.",
        _MAPS,
    )
    lmtp_socketmap_result: str = setting(
        "addresses",
        values.map_result,
        "What its values are: `addresses` to deliver to, as in virtual_alias_maps, or `exists`: to"
        " be in the map is all, as in virtual_mailbox_maps and relay_recipient_maps.",
        _MAPS,
    )
    lmtp_tcp_table: Target | None = setting(
        "none",
        optional(values.target),
        "Server that the hook `tcp_table` asks: `127.0.0.1:7778`.",
        _MAPS,
    )
    lmtp_tcp_table_result: str = setting(
        "addresses", values.map_result, "What its values are, likewise.", _MAPS
    )
    lmtp_exec_command: tuple[str, ...] | None = setting(
        "none",
        optional(values.command),
        "Program that the hook `exec` asks, and its arguments; no shell takes part. It is found"
        " along PATH if its name has no slash.",
        _EXEC,
    )
    lmtp_dns_mx: frozenset[str] = setting(
        "none",
        values.domains,
        "Our hosts, separated by semicolons: for the hook `dns` a domain is ours if its MX names"
        " one of them.",
        _DNS,
    )
    lmtp_dns_txt: str = setting(
        "none",
        values.words,
        "Text of ours, such as `lmtpd=mail.example.org`: for the hook `dns` a domain is ours if it"
        " is one of its TXT.",
        _DNS,
    )
    lmtp_callout_server: Target | None = setting(
        "none",
        optional(values.target),
        "Server that the hook `callout` asks with RCPT: `192.0.2.1:24`, `[2001:db8::1]:25` or the"
        " path of a unix socket.",
        _CALLOUT,
    )
    lmtp_callout_protocol: str = setting(
        "lmtp", values.call_protocol, "What that server speaks: `lmtp` or `smtp`.", _CALLOUT
    )
    lmtp_callout_starttls: bool = setting(
        "false",
        values.switch,
        "Ask nothing before STARTTLS. The server's certificate and name are always checked.",
        _CALLOUT,
    )
    lmtp_callout_ca_file: Path | None = setting(
        "none",
        optional(values.path),
        "Certificates, PEM, by one of which the server's must be signed. `none`: the system's.",
        _CALLOUT,
    )
    lmtp_sql_url: str = setting(
        "none",
        values.service_url,
        "Data base that the hook `sql` asks: `postgresql://lmtpd@db.example.org/mail`,"
        " `mariadb://...`, `mysql://...` or `sqlite:////var/lib/mail.db`. No password stands here.",
        _SQL,
    )
    lmtp_sql_password_file: Path | None = setting(
        "none", optional(values.path), "File with that user's password.", _SQL
    )
    lmtp_sql_ca_file: Path | None = setting(
        "none",
        optional(values.path),
        "Certificates, PEM, by one of which the server's must be signed: with them TLS is a must,"
        " and the server's name is checked. `none`: no TLS.",
        _SQL,
    )
    lmtp_sql_query: str = setting(
        "none",
        values.text,
        "One SELECT with `:address`, `:local`, `:domain`, such as `SELECT mailbox FROM recipients"
        " WHERE address = :address`. docs/RECIPIENTS.md says what its rows mean.",
        _SQL,
    )
    lmtp_ldap_url: str = setting(
        "none",
        values.service_url,
        "Directory that the hook `ldap` asks: `ldaps://ldap.example.org`, `ldap://...` or"
        " `ldapi://%2Frun%2Fslapd%2Fldapi`.",
        _LDAP,
    )
    lmtp_ldap_starttls: bool = setting(
        "false", values.switch, "Begin TLS on an `ldap://` connection, or do without.", _LDAP
    )
    lmtp_ldap_ca_file: Path | None = setting(
        "none",
        optional(values.path),
        "Certificates, PEM, by one of which the server's must be signed. `none`: the system's."
        " The server's certificate and name are always checked.",
        _LDAP,
    )
    lmtp_ldap_bind_dn: str = setting(
        "none", values.text, "Who we are to the directory. `none`: nobody.", _LDAP
    )
    lmtp_ldap_password_file: Path | None = setting(
        "none", optional(values.path), "File with the password of `lmtp-ldap-bind-dn`.", _LDAP
    )
    lmtp_ldap_base: str = setting(
        "none", values.text, "DN below which entries are looked for.", _LDAP
    )
    lmtp_ldap_scope: str = setting(
        "sub",
        values.ldap_scope,
        "`sub`: the base and all below it; `one`: its children; `base`: the base alone.",
        _LDAP,
    )
    lmtp_ldap_filter: str = setting(
        "none",
        values.ldap_filter,
        "Which entries are meant, with `{address}`, `{local}` and `{domain}`, such as"
        " `(&(objectClass=inetOrgPerson)(mail={address}))`.",
        _LDAP,
    )
    lmtp_ldap_attributes: tuple[str, ...] = setting(
        "mail",
        values.ldap_attributes,
        "Attributes whose values are the mailboxes, separated by semicolons; several values are a"
        " list.",
        _LDAP,
    )
    lmtp_ldap_word_attribute: str = setting(
        "none",
        values.text,
        "Attribute that may say `catch-all`, `unknown`, `reject` or `full` of an entry;"
        " docs/RECIPIENTS.md says what they mean.",
        _LDAP,
    )
    lmtp_vrfy: bool = setting(
        "true", values.switch, "VRFY and EXPN answer truly; `false`: always 252.", _PROTOCOL
    )
    lmtp_xforward: bool = setting(
        "true", values.switch, "Offer XFORWARD, by which Postfix names the first client.", _PROTOCOL
    )
    lmtp_dsn: bool = setting(
        "false", values.switch, "Offer DSN, and take its parameters (RFC 3461).", _PROTOCOL
    )
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
    lmtp_workers: int = setting(
        "auto",
        between(1, 256, values.processes),
        "Processes that serve side by side. `auto`: as many as there are processors.",
        _LIMITS,
    )
    lmtp_idle_timeout: float = setting(
        "300",
        between(1.0, _DAY_S, values.seconds),
        "Silence after which a connection is closed; suffixes s, m and h. RFC 5321 section"
        " 4.5.3.2.7 asks for 5 minutes.",
        _LIMITS,
    )
    lmtp_drain_timeout: float = setting(
        "30",
        between(0.0, _DAY_S, values.seconds),
        "How long transactions may go on after the order to stop.",
        _LIMITS,
    )
    warnings: tuple[str, ...] = ()
    """Not a setting: what the operator should hear at start."""

    def __post_init__(self) -> None:
        """Recipients without a domain are in ours, unless told otherwise."""
        domain = self.lmtp_default_domain or self.lmtp_hostname.lower()
        object.__setattr__(self, "lmtp_default_domain", domain)

    @staticmethod
    def settings() -> tuple[Setting, ...]:
        """The table: all rows, in the order of the documentation."""
        return tuple(
            replace(row.metadata["setting"], key=row.name.replace("_", "-"))
            for row in dataclasses.fields(Config)
            if "setting" in row.metadata
        )
