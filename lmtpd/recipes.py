"""The lines by which an MTA delivers to lmtpd: what `setup` prints and docs/mta/ shows.

They stand here and nowhere else; the tests deliver through real MTAs that are configured with the
blocks of the pages, which `make docs` prints from here.

A line that begins with a word in brackets is meant for some configurations only: `[tcp]` and
`[unix]` by how the MTA reaches lmtpd, and over TCP `[tls]` where a certificate is set,
`[implicit]` where TLS is from the first octet, and `[client]` where the MTA has to show a
certificate too. The rest is filled in as by str.format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from .settings import Config

_CONDITION = re.compile(r"\[(tcp|unix|tls|implicit|client)\] ")
_IMPLICIT = re.compile(r"\[implicit\]|\{bridge_tls\}")
_ANY_HOST = {"0.0.0.0": "127.0.0.1"}  # noqa: S104 - read, not bound

_POSTFIX = """\
# main.cf
virtual_mailbox_domains = {domain}
[tcp] virtual_transport = lmtp:[{host}]:{port}
[unix] virtual_transport = lmtp:unix:{path}
smtpd_recipient_restrictions = reject_unverified_recipient
unverified_recipient_reject_code = 550
lmtp_send_xforward_command = yes
[tls] lmtp_tls_security_level = encrypt
[implicit] lmtp_tls_wrappermode = yes
[client] lmtp_tls_cert_file = /etc/postfix/client.crt
[client] lmtp_tls_key_file = /etc/postfix/client.key
"""

# The callout is for our domains only, and asked last: `domains` stands first.
_EXIM = """\
# main section
domainlist local_domains = {domain}

# begin acl, in the ACL of acl_smtp_rcpt, before it accepts
deny
  domains = +local_domains
  !verify = recipient/callout=no_cache

# begin routers
to_lmtp:
  driver = manualroute
  domains = +local_domains
  transport = lmtp_tcp
  route_list = "* {host} byname"
  self = send

# begin transports
lmtp_tcp:
  driver = smtp
  protocol = lmtp
  port = {port}
  rcpt_include_affixes
[tls]   hosts_require_tls = *
[tls]   tls_verify_certificates =
[client]   tls_certificate = /etc/exim4/client.crt
[client]   tls_privatekey = /etc/exim4/client.key
"""

# `@` is every address of the domain; the user only runs the program that carries the mail to us.
# Without the wrapper that program dies by SIGPIPE when lmtpd does, and OpenSMTPD bounces the mail.
_OPENSMTPD = """\
# smtpd.conf
table mailboxes {{ "@" = "vmail" }}
mda wrapper "patient" "trap '' PIPE; exec %{{mda}}"
[tcp] action "lmtpd" lmtp "{host}:{port}" rcpt-to virtual <mailboxes> wrapper "patient"
[unix] action "lmtpd" lmtp "{path}" rcpt-to virtual <mailboxes> wrapper "patient"
match from any for domain "{domain}" action "lmtpd"
"""

# `z` is LMTP, `m` many recipients, `X` dots, `k` no fear of a loop; without `s` a local part keeps
# the quotes that it needs. Two rules, for a domain with and without its dot: one that ends in $*
# would take example.org.example.net as well.
_SENDMAIL = """\
dnl sendmail.mc
[client] define(`confCLIENT_CERT', `/etc/mail/client.crt')
[client] define(`confCLIENT_KEY', `/etc/mail/client.key')
RELAY_DOMAIN(`{domain}')
MAILER(`smtp')
LOCAL_RULE_0
R$+ < @ {domain} . >\t$#lmtp $@ [{host}] $: $1 < @ {domain} . >
R$+ < @ {domain} >\t$#lmtp $@ [{host}] $: $1 < @ {domain} >
MAILER_DEFINITIONS
Mlmtp,\tP=[IPC], F=lDFMnqXzA:@/|mk,
\tS=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP/HdrFromSMTP, E=\\r\\n,
[tcp] \tT=DNS/RFC822/SMTP, A=TCP [{host}] {port}
[unix] \tT=DNS/RFC822/SMTP, A=FILE {path}
[tls] LOCAL_TLS_SERVER
[tls] R$*\t$: $1 $| $&{{server_addr}}
[tls] RNONE $| {host}\t$#error $@ 4.7.0 $: "454 4.7.0 STARTTLS is not offered"
"""

# All mail of the domain by way of one user, who runs the bridge for each recipient.
_QMAIL = """\
# control/virtualdomains
{domain}:lmtp

# users/assign, with the ids of vmail; then run qmail-newu
+lmtp-:vmail:5000:5000:/var/qmail/vmail:-::
.

# /var/qmail/vmail/.qmail-default, with the place of lmtpd
[tcp] |{bridge} qmail --to {host}:{port}{bridge_tls}
[unix] |{bridge} qmail --to {path}
"""

_BRIDGE = "/opt/lmtpd/.venv/bin/python /opt/lmtpd/lmtpd.py bridge"

RECIPES: Mapping[str, str] = {
    "postfix": _POSTFIX,
    "exim": _EXIM,
    "opensmtpd": _OPENSMTPD,
    "sendmail": _SENDMAIL,
    "qmail": _QMAIL,
}


class RecipeError(ValueError):
    """This MTA cannot reach lmtpd as it is configured; the text names the setting."""


def lines(mta: str, config: Config) -> str:
    """What an MTA needs in its configuration to deliver the mail of `lmtp-default-domain` to us.

    Args:
        mta: a key of RECIPES.
        config: how lmtpd is reached: by its unix socket where it has one and the MTA can, else by
            TCP on this machine; with TLS where a certificate is set and the MTA can.

    Raises:
        RecipeError: the MTA has no TLS from the first octet or no certificate to show, the address
            is of IPv6, or there is none.
    """
    recipe = RECIPES[mta]
    kinds = set(_kinds(recipe, config))
    if "implicit" in kinds and not _IMPLICIT.search(recipe):
        raise RecipeError(f"{mta} knows no TLS from the first octet: set lmtp-tls-only = false")
    if "client" in kinds and "[client]" not in recipe:
        raise RecipeError(f"{mta} shows no certificate: set lmtp-client-certificate = none")
    if "tcp" in kinds and not config.lmtp_bind_addr:
        raise RecipeError(f"{mta} comes over TCP: set lmtp-bind-addr")
    if "tcp" in kinds and ":" in config.lmtp_bind_addr:
        raise RecipeError("lmtp-bind-addr is of IPv6: name an address of IPv4, or lmtp-socket-path")
    return "".join(_chosen(recipe, kinds)).format(
        domain=config.lmtp_default_domain,
        host=_ANY_HOST.get(config.lmtp_bind_addr, config.lmtp_bind_addr),
        port=config.lmtp_port,
        path=config.lmtp_socket_path,
        bridge=_BRIDGE,
        bridge_tls=_bridge_tls(kinds),
    )


def _kinds(recipe: str, config: Config) -> Iterator[str]:
    if config.lmtp_socket_path and "[unix]" in recipe:
        yield "unix"
        return
    yield "tcp"
    if config.lmtp_cert_path:
        yield "tls"
    if config.lmtp_tls_only:
        yield "implicit"
    if config.lmtp_client_certificate == "required":
        yield "client"


def _bridge_tls(kinds: set[str]) -> str:
    if "implicit" in kinds:
        return " --tls implicit"
    return " --tls encrypt" if "tls" in kinds else ""


def _chosen(recipe: str, kinds: set[str]) -> Iterator[str]:
    for line in recipe.splitlines(keepends=True):
        condition = _CONDITION.match(line)
        if condition is None:
            yield line
        elif condition[1] in kinds:
            yield line[condition.end() :]
