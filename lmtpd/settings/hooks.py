"""Settings: what each shipped hook asks."""

# ruff: noqa: RUF009 - `setting` is dataclasses.field by another name, and calls nothing early

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lmtpd import values
from lmtpd.client.target import Target
from lmtpd.settings.setting import setting
from lmtpd.values import between, optional

_HOMES = "Hook passwd"
_HTTP = "Hook http"
_MAPS = "Hooks socketmap and tcp_table"
_EXEC = "Hook exec"
_DNS = "Hook dns"
_CALLOUT = "Hook callout"
_SQL = "Hook sql"
_LDAP = "Hook ldap"


@dataclass(frozen=True)
class HookSettings:
    """A part of Config."""

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
