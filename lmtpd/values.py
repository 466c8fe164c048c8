"""What the text of a setting means: small functions from text to a value.

Each raises ValueError in words for the administrator, without the key: who calls knows where the
text stood. Nothing here opens a file, resolves a host's name or knows which settings exist. The
name of a function says what kind of value it reads, and is printed in the documentation.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import re
import shlex
import string
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from lmtpd import accounts
from lmtpd.accounts import Account
from lmtpd.client.target import Target
from lmtpd.hostname import is_host_name, machine_name
from lmtpd.mask import masked
from lmtpd.trust import Network, TrustPolicy, parse_networks

T = TypeVar("T")
N = TypeVar("N", int, float)

_SWITCH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_OCTETS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
# As SQLAlchemy reads them: a slash does not end a password, and drivers take one from the query.
_PASSWORD = re.compile(r"//[^/?#]*:.*@|[?&]passw(?:or)?d=", re.DOTALL)
_HOOK = re.compile(r"[A-Za-z0-9_-]+|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.\w+)*", re.A)
_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Filling, width and precision, and no more: `{local:.1}` and `{local:_<2.2}`.
_FORMAT_SPEC = re.compile(r"(?:[^{}/]?[<>^])?[0-9]{0,2}(?:\.[0-9]{1,2})?")
_EXAMPLE = {"domain": "example.org", "local": "alice", "mailbox": "alice@example.org"}


def optional(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    """The same kind of value, or None where the text is empty or `none`."""

    @functools.wraps(parse)
    def parse_unless_none(text: str) -> T | None:
        return None if is_none(text) else parse(text)

    return parse_unless_none


def between(least: N, most: N, parse: Callable[[str], N], why: str = "") -> Callable[[str], N]:
    """The same kind of number, both bounds included."""

    @functools.wraps(parse)
    def parse_within(text: str) -> N:
        number = parse(text)
        if not least <= number <= most:
            reason = f" ({why})" if why else ""
            raise ValueError(f"{text!r} is not between {least:.16g} and {most:.16g}{reason}")
        return number

    return parse_within


def is_none(text: str) -> bool:
    """Does this text say that nothing is set?"""
    return text.lower() in ("", "none")


def switch(text: str) -> bool:
    """true or false, and what people write for them."""
    try:
        return _SWITCH[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is not true or false") from None


def number(text: str) -> int:
    """A whole number; nine digits are enough for anybody."""
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def processes(text: str) -> int:
    """`auto`, or how many."""
    return len(os.sched_getaffinity(0)) if text.lower() == "auto" else number(text)


def commit_mode(text: str) -> str:
    """`auto`, `fsync` or `syncfs`."""
    return _one_of(text, "auto", "fsync", "syncfs")


def seconds(text: str) -> float:
    """`90`, `90s`, `1.5m` or `2h`."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([smh]?)", text)
    if not match:
        raise ValueError(f"{text!r} is not a time in seconds such as 300, 300s, 5m or 1h")
    return float(match[1]) * _SECONDS[match[2]]


def octets(text: str) -> int:
    """`65536`, `64K`, `50M` or `1G`, in powers of 1024."""
    match = re.fullmatch("([0-9]{1,15}) ?([KMG]?)", text.upper())
    if not match:
        raise ValueError(f"{text!r} is not a size in octets such as 52428800, 51200K, 50M or 1G")
    return int(match[1]) * _OCTETS[match[2]]


def port(text: str) -> int:
    """A TCP port; not 25, where the world would take us for SMTP (RFC 2033 5)."""
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ValueError(f"{text!r} is not a port number (1 to 65535)")
    if int(text) == 25:
        raise ValueError("port 25 is for SMTP, never for LMTP (RFC 2033 section 5); use 11200")
    return int(text)


def address(text: str) -> str:
    """An IPv4 or IPv6 address. A name could come to mean another interface over night."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(
            f"{text!r} is not an IPv4 or IPv6 address such as 127.0.0.1 or ::1"
        ) from None


def bind_address(text: str) -> str:
    """An address of this machine; not set: empty."""
    return "" if is_none(text) else address(text)


def server(text: str) -> tuple[str, int]:
    """`192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53` or `[2001:db8::53]:5353`."""
    host, number = _host_and_port(text)
    return host, 53 if number is None else number


def endpoint(text: str) -> tuple[str, int]:
    """`127.0.0.1:11280` or `[::1]:11280`."""
    host, number = _host_and_port(text)
    if number is None:
        raise ValueError(f"{text!r} has no port; such as 127.0.0.1:11280 or [::1]:11280")
    return host, number


def target(text: str) -> Target:
    """`host:port`, `[2001:db8::1]:port`, or the path of a unix socket."""
    return Target.parse(text)


def socketmap(text: str) -> tuple[Target, str]:
    """`inet:host:port:name` or `unix:/path:name`, as Postfix writes it behind `socketmap:`."""
    kind, _, rest = text.partition(":")
    place, _, name = rest.rpartition(":")
    if kind not in ("inet", "unix") or not name or place.startswith("/") != (kind == "unix"):
        raise ValueError(f"{text!r} is not inet:host:port:name or unix:/path:name")
    return Target.parse(place), name


def call_protocol(text: str) -> str:
    """`lmtp` or `smtp`."""
    return _one_of(text, "lmtp", "smtp")


def words(text: str) -> str:
    """Printable ASCII; not set: empty."""
    if is_none(text):
        return ""
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"{text!r} is not printable ASCII")
    return text


def map_result(text: str) -> str:
    """`addresses` or `exists`."""
    return _one_of(text, "addresses", "exists")


def url(text: str) -> str:
    """An address of the web; a password in it would stand in logs."""
    try:
        parts = urlsplit(text)
        is_whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole or "@" in parts.netloc or not re.fullmatch("[!-~]*", text):
        raise ValueError(
            f"{masked(text)!r} is not an address such as http://127.0.0.1:8080/recipients,"
            " without name and password"
        )
    return text


def command(text: str) -> tuple[str, ...]:
    """A program and its arguments, quoted as for a shell; no shell is asked."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"is no command: {error}") from None  # without its arguments: see mask.py
    if not words or "\0" in text:
        raise ValueError("is no command")
    return words


def mode(text: str) -> int:
    """The permissions of a file, as chmod takes them in octal."""
    if not re.fullmatch("0?[0-7]{3}", text):
        raise ValueError(f"{text!r} is not a file mode in octal such as 0660")
    return int(text, 8)


def user(text: str) -> Account:
    """A user of this machine, by name or number."""
    return accounts.user(text)


def group(text: str) -> Account:
    """A group of this machine, by name or number."""
    return accounts.group(text)


def users(text: str) -> tuple[Account, ...]:
    """Users with semicolons between them; not set: none."""
    names = () if is_none(text) else tuple(filter(None, map(str.strip, text.split(";"))))
    if not names and not is_none(text):
        # An empty list would silently mean that there is no list.
        raise ValueError("holds no user")
    return tuple(map(user, names))


def path(text: str) -> Path:
    """A path of the file system; a relative one is for the caller to anchor."""
    if not text or "\0" in text:
        raise ValueError(f"{text!r} is not a path")
    return Path(text)


def account(text: str) -> str:
    """The name of a user or a group, as useradd(8) takes it."""
    if not _ACCOUNT.fullmatch(text):
        raise ValueError(f"{text!r} is not the name of a user or a group")
    return text


def sandbox(text: str) -> str:
    """`auto`, `required` or `off`."""
    return _one_of(text, "auto", "required", "off")


def variables(text: str) -> frozenset[str]:
    """Names of environment variables, with semicolons between them; not set: none."""
    parts = () if is_none(text) else text.split(";")
    names = frozenset(filter(None, (part.strip() for part in parts)))
    wrong = sorted(name for name in names if not _VARIABLE.fullmatch(name))
    if wrong:
        raise ValueError(f"{'; '.join(map(repr, wrong))} is not the name of a variable")
    return names


def paths(text: str) -> tuple[Path, ...]:
    """Paths with semicolons between them; not set: none."""
    parts = () if is_none(text) else text.split(";")
    return tuple(path(part.strip()) for part in parts)


def inner_path(text: str) -> str:
    """`Maildir` or `mail/inbox`: a path below a place that is named elsewhere."""
    parts = text.split("/")
    if {"", ".", ".."} & {*parts} or {*"{}\0"} & {*text}:
        raise ValueError(f"{text!r} is not a relative path without '.', '..' and braces")
    return text


def text(text: str) -> str:
    """Anything; not set: empty."""
    return "" if is_none(text) else text


def service_url(text: str) -> str:
    """`scheme://...`, without a password, which no error repeats; not set: empty."""
    if is_none(text):
        return ""
    if _PASSWORD.search(text):
        raise ValueError("holds a password, which others can read here: it has a file of its own")
    try:
        is_url = re.match(r"[a-z][a-z0-9+]*://", text) and urlsplit(text).port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise ValueError(f"{masked(text)!r} is not a URL such as ldaps://ldap.example.org")
    return text


def tls_version(text: str) -> str:
    """`1.2` or `1.3`; what is older must not be used (RFC 8996)."""
    if text not in ("1.2", "1.3"):
        raise ValueError(f"{text!r} is not 1.2 or 1.3, the versions of TLS that may be used")
    return text


def ciphers(text: str) -> str:
    """A list of ciphers in OpenSSL's words, which OpenSSL judges."""
    if is_none(text):
        raise ValueError("holds no cipher")
    return text


def client_certificate(text: str) -> str:
    """`none`, `optional` or `required`."""
    return _one_of(text, "none", "optional", "required")


def certificate_names(text: str) -> frozenset[str]:
    """Names as certificates have them, with semicolons between them; not set: none."""
    parts = () if is_none(text) else text.split(";")
    return frozenset(filter(None, (part.strip().lower() for part in parts)))


def fingerprints(text: str) -> frozenset[str]:
    """SHA-256 fingerprints in hex, with or without colons; semicolons between them."""
    parts = () if is_none(text) else text.split(";")
    return frozenset(map(_fingerprint, filter(None, (part.strip() for part in parts))))


def log_target(text: str) -> str:
    """`auto`, `stderr`, `journal` or `syslog`."""
    return _one_of(text, "auto", "stderr", "journal", "syslog")


def log_format(text: str) -> str:
    """`logfmt` or `json`."""
    return _one_of(text, "logfmt", "json")


def peers(text: str) -> TrustPolicy:
    """Addresses, networks and names with semicolons between them; not set: loopback only."""
    return TrustPolicy() if is_none(text) else TrustPolicy.parse(text)


def networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks with semicolons between them; not set: none."""
    return () if is_none(text) else parse_networks(text)


def host_name(text: str) -> str:
    """A name of letters, digits, hyphens and dots; not set: what the machine calls itself."""
    if is_none(text):
        return machine_name()
    return domain(text)


def domain(text: str) -> str:
    """A domain in its ASCII form; not set: empty."""
    if is_none(text):
        return ""
    if not is_host_name(text):
        raise ValueError(
            f"{text!r} is not a host name (letters, digits and hyphens between dots;"
            " other letters in their xn-- form)"
        )
    return text.lower()


def domains(text: str) -> frozenset[str]:
    """Domains with semicolons between them; not set: none."""
    parts = () if is_none(text) else text.split(";")
    return frozenset(filter(None, (domain(part.strip()) for part in parts)))


def hooks(text: str) -> tuple[str, ...]:
    """Names of verifiers, or `package.module:attribute`, with semicolons between them."""
    names = tuple(filter(None, (part.strip() for part in text.split(";"))))
    wrong = [name for name in names if not _HOOK.fullmatch(name)]
    if wrong:
        raise ValueError(
            f"{'; '.join(map(repr, wrong))} is not the name of a hook such as maildirs, table"
            " or package.module:Verifier (names are separated by semicolons)"
        )
    if not names:
        raise ValueError("holds no hook: every recipient would be unknown; the usual is maildirs")
    return names


def delimiters(text: str) -> str:
    """Characters of which each separates user from detail; not set: none does."""
    if is_none(text):
        return ""
    wrong = [letter for letter in text if letter not in string.punctuation or letter == "@"]
    if wrong:
        raise ValueError(f"{wrong[0]!r} cannot separate user from detail; the usual is +")
    return text


def template(text: str) -> str:
    """The path of a mailbox below the root: `{domain}/{local}`, `{domain}/{local:.1}/{local}`."""
    try:
        fields = [field for field in string.Formatter().parse(text) if field[1] is not None]
        for field in fields:
            _check_field(*field[1:])
        # Two mailboxes whose names begin alike would share one maildir, each reading the other.
        if not any(name != "domain" and "." not in (spec or "") for _, name, spec, _ in fields):
            raise ValueError("needs {local} or {mailbox} uncut, or mailboxes would share a folder")
        _check_parts(text.format(**_EXAMPLE))
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None
    return text


def ldap_filter(text: str) -> str:
    """A filter as RFC 4515 has it, with `{address}`, `{local}` and `{domain}`; not set: empty."""
    if is_none(text):
        return ""
    names = re.findall(r"\{([^{}]*)\}", text)
    wrong = sorted({*names} - {"address", "local", "domain"})
    if wrong:
        raise ValueError(f"{text!r}: {{{wrong[0]}}} is not {{address}}, {{local}} or {{domain}}")
    if not names:
        raise ValueError(f"{text!r} holds no {{address}}: every address would be found")
    return text


def ldap_scope(text: str) -> str:
    """`sub`, `one` or `base`."""
    return _one_of(text, "sub", "one", "base")


def ldap_attributes(text: str) -> tuple[str, ...]:
    """Names of attributes with semicolons between them; not set: none."""
    parts = () if is_none(text) else tuple(part.strip() for part in text.split(";"))
    wrong = [part for part in parts if not re.fullmatch("[A-Za-z][A-Za-z0-9-]*", part)]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is not the name of an attribute such as mail")
    return parts


def _host_and_port(text: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"\[(.*)\](?::([0-9]{1,5}))?|([^:]*):([0-9]{1,5})", text)
    if not found:
        return address(text), None
    host, number = found[1] or found[3] or "", found[2] or found[4]
    if number is not None and not 1 <= int(number) <= 65535:
        raise ValueError(f"{number!r} is not a port number (1 to 65535)")
    return address(host), None if number is None else int(number)


def _one_of(text: str, *words: str) -> str:
    if text in words:
        return text
    *others, last = words
    between = f"neither {others[0]} nor" if len(others) == 1 else f"none of {', '.join(others)} and"
    raise ValueError(f"{text!r} is {between} {last}")


def _fingerprint(text: str) -> str:
    digits = text.lower().replace(":", "")
    if not re.fullmatch("[0-9a-f]{64}", digits):
        raise ValueError(
            f"{text!r} is not a SHA-256 fingerprint (64 hex digits, as"
            " `openssl x509 -noout -fingerprint -sha256 -in FILE` prints them)"
        )
    return digits


def _check_field(name: str | None, spec: str | None, conversion: str | None) -> None:
    """One pair of braces: a name that we fill in, and at most a width and a precision."""
    if name not in _EXAMPLE:
        raise ValueError(f"{{{name}}} is not {{domain}}, {{local}} or {{mailbox}}")
    if conversion is not None or not _FORMAT_SPEC.fullmatch(spec or ""):
        raise ValueError(f"{{{name}}} takes only a width and a precision, such as {{{name}:.1}}")


def _check_parts(filled: str) -> None:
    """The path that an example makes: below the root, each part of it a name."""
    if "\0" in filled or any(part in ("", ".", "..") for part in filled.split("/")):
        raise ValueError("must be a relative path, without empty parts, '.' and '..'")
