"""Address: a mailbox as RFC 5321 4.1.2 and RFC 6531 3.3 write it.

The local part is kept as the octets mean it (quotes and backslashes undone), the domain in one
normal form: lower-case A-labels, or an address literal. So `"alice"@EXAMPLE.org` and
`alice@example.org` are equal, and so are `bob@bücher.example` and `bob@xn--bcher-kva.example`.
Whether case matters in a local part is for the recipients' side to say, not for the grammar.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass, field, replace

import idna

PATH_OCTETS = 256
"""Longest path, angle brackets included (RFC 5321 4.5.3.1.3)."""
DOMAIN_OCTETS = 255
"""Longest domain (RFC 5321 4.5.3.1.2)."""

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]"
_DOT_STRING = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_QUOTED_STRING = re.compile(
    r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x20-\x7e])*)"'
)
# What nearly every address is; what it does not match is read in full.
_PLAIN_ADDRESS = re.compile(
    r"([A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*)"
    r"@([A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    r"(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*)"
)
# Source routes are accepted and ignored (RFC 5321 4.1.1.3, appendix C).
_SOURCE_ROUTE = re.compile(r"@[^@:,\s]+(?:,@[^@:,\s]+)*:")
# An underscore is no host name, but stands in domains of real mailboxes: refusing it would bounce.
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_GENERAL_LITERAL = re.compile(r"\[([A-Za-z0-9-]*[A-Za-z0-9]):([\x21-\x5a\x5e-\x7e]+)\]")
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


class AddressError(ValueError):
    """What stands between the angle brackets is no address."""


@dataclass(frozen=True, slots=True)
class Address:
    """`local@domain`; the domain is empty where the client gave none (`<postmaster>`)."""

    local: str
    domain: str
    _text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Spell it once: a delivery asks for it seven times."""
        local = self.local
        if not _DOT_STRING.fullmatch(local):
            local = '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'
        text = f"{local}@{self.domain}" if self.domain else local
        object.__setattr__(self, "_text", text)

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read what stands between `<` and `>`, less a source route.

        Raises:
            AddressError: the text breaks the grammar of RFC 5321 4.1.2.
        """
        plain = _PLAIN_ADDRESS.fullmatch(text)
        if plain and len(text) + 2 <= PATH_OCTETS:
            return cls(plain[1], plain[2].lower())
        if len(text.encode("utf-8", "surrogatepass")) + 2 > PATH_OCTETS:
            raise AddressError("path is too long")
        text = without_source_route(text)
        local, at, rest = _split_local(text)
        if any(unicodedata.category(letter) in _FORBIDDEN_CATEGORIES for letter in local):
            raise AddressError("control character in local part")
        if at and not rest:
            raise AddressError("domain is missing")
        return cls(unicodedata.normalize("NFC", local), normal_domain(rest) if at else "")

    @property
    def mailbox(self) -> str:
        """The name of the mailbox that the address means by itself: `local@domain`, no quotes."""
        is_whole = self.domain or "@" in self.local
        return f"{self.local}@{self.domain}" if is_whole else self.local

    @classmethod
    def of_mailbox(cls, mailbox: str) -> Address:
        """The address that a mailbox name means."""
        local, at, domain = mailbox.rpartition("@")
        return cls(local, domain) if at else cls(mailbox, "")

    def in_domain(self, domain: str) -> Address:
        """The same address; where it has no domain, in this one."""
        return self if self.domain else replace(self, domain=domain)

    def __str__(self) -> str:
        """As it goes between angle brackets, quoted where it must be."""
        return self._text


def without_source_route(text: str) -> str:
    """`@a,@b:user@c` is `user@c` (RFC 5321 4.1.1.3)."""
    route = _SOURCE_ROUTE.match(text)
    return text[route.end() :] if route else text


def normal_domain(text: str) -> str:
    """The one spelling of a domain: lower-case A-labels, or a literal in brackets.

    Raises:
        AddressError: neither a domain name nor an address literal.
    """
    if text.startswith("["):
        return _normal_literal(text)
    if not text.isascii():
        text = _to_a_labels(text)
    domain = text.lower()
    if len(domain) > DOMAIN_OCTETS:
        raise AddressError("domain is too long")
    if not all(_LABEL.fullmatch(label) for label in domain.split(".")):
        raise AddressError("domain is malformed")
    return domain


def _split_local(text: str) -> tuple[str, str, str]:
    """Local part unquoted, `@` or nothing, and the rest."""
    quoted = _QUOTED_STRING.match(text)
    if quoted:
        local, end = re.sub(r"\\(.)", r"\1", quoted[1]), quoted.end()
    else:
        plain = _DOT_STRING.match(text)
        if not plain:
            raise AddressError("local part is malformed")
        local, end = plain[0], plain.end()
    if not local or text[end : end + 1] not in ("@", ""):
        raise AddressError("local part is malformed")
    return local, text[end : end + 1], text[end + 1 :]


def _to_a_labels(text: str) -> str:
    """IDNA 2008 with the mapping of UTS 46; IDNA 2003 would send faß.de's mail to fass.de."""
    if len(text) > DOMAIN_OCTETS:  # before the tables are asked: their work grows with the length
        raise AddressError("domain is too long")
    try:
        labels = idna.uts46_remap(text, std3_rules=False, transitional=False).split(".")
        # ASCII labels are judged by our own rule: beside a U-label too, an underscore may stand.
        return ".".join(
            label if label.isascii() else idna.alabel(label).decode("ascii") for label in labels
        )
    except idna.IDNAError as error:
        raise AddressError("domain is malformed") from error


def _normal_literal(text: str) -> str:
    """`[192.0.2.1]`, `[IPv6:2001:db8::1]` or a tagged general literal (RFC 5321 4.1.3)."""
    inner = text[1:-1]
    # The standard library's IPv6 addresses may have a zone, of any letters; these may not.
    if not text.endswith("]") or not text.isascii() or "%" in text:
        raise AddressError("address literal is malformed")
    try:
        if inner[:5].lower() == "ipv6:":
            return f"[IPv6:{ipaddress.IPv6Address(inner[5:])}]"
        if ":" not in inner:
            return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError as error:
        raise AddressError("address literal is malformed") from error
    if not _GENERAL_LITERAL.fullmatch(text):
        raise AddressError("address literal is malformed")
    return text
