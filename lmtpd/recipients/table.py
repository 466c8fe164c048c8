"""The hook `table`: a file of addresses, aliases, lists and catch-alls.

The form is that of Postfix's virtual(5): one entry a line, `#` begins a comment line, a line that
begins with a space goes on with the one before.

    alice@example.org                                   a mailbox
    sales@example.org     alice@example.org             an alias
    team@example.org      alice@example.org, bob@example.org
    @example.org          postmaster@example.org        all that no hook knows

What stands on the right and is an entry itself is followed; an address that names itself, or is no
entry, is a mailbox.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..protocol.address import Address, AddressError, normal_domain
from .chain import AddressRules
from .verdict import RcptContext, Verdict

_WORD = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s,"])+')

Entries = Mapping[str, tuple[str, ...]]
"""From an address, or `@domain`, to what it stands for; nothing for a mailbox."""


class TableError(ValueError):
    """The file cannot be used; the text names every faulty line."""


class TableVerifier:
    """Answers from memory."""

    def __init__(self, entries: Entries) -> None:
        """Resolve aliases and lists once.

        Raises:
            TableError: an alias leads to itself and to no mailbox.
        """
        self._mailboxes = {key: _expand(key, entries) for key in entries}
        loops = sorted(key for key, mailboxes in self._mailboxes.items() if not mailboxes)
        if loops:
            raise TableError(f"these aliases lead to no mailbox: {', '.join(loops)}")

    @classmethod
    def read(cls, path: Path, default_domain: str, rules: AddressRules) -> TableVerifier:
        """A table from a file.

        Raises:
            OSError: it cannot be read.
            TableError: it holds faults; each is named with its line.
        """
        try:
            text = path.read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            raise TableError(f"{path}: is not UTF-8: {error}") from error
        return cls(parse(text, str(path), default_domain, rules))

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:  # noqa: ARG002
        """Accept what is in the table."""
        mailboxes = self._mailboxes.get(address.mailbox)
        if mailboxes:
            return Verdict.accept(*mailboxes)
        mailboxes = self._mailboxes.get(f"@{address.domain}")
        return Verdict.accept(*mailboxes, catch_all=True) if mailboxes else None


def parse(text: str, origin: str, default_domain: str, rules: AddressRules) -> Entries:
    """Read the text of a table.

    Args:
        text: the file's content.
        origin: the file's name, for messages.
        default_domain: what an address without a domain gets.
        rules: whether case matters.

    Raises:
        TableError: every faulty line.
    """
    entries: dict[str, tuple[str, ...]] = {}
    faults: list[str] = []
    for number, line in _logical_lines(text):
        try:
            key, *targets = (_key(word, default_domain, rules) for word in _words(line))
            _check_entry(key, targets, entries)
            entries[key] = tuple(targets)
        except ValueError as error:
            faults.append(f"{origin}:{number}: {error}")
    if faults:
        raise TableError("\n".join(faults))
    return entries


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Entries with the number of their first line."""
    begun: tuple[int, str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and begun:
            begun = begun[0], f"{begun[1]} {line.strip()}"
            continue
        if begun:
            yield begun
        begun = number, line.strip()
    if begun:
        yield begun


def _words(line: str) -> list[str]:
    words = _WORD.findall(line)
    if _WORD.sub("", line).strip(" \t,") or not words:
        raise ValueError(f"{line!r} is no entry; are its quotes balanced?")
    return words


def _key(word: str, default_domain: str, rules: AddressRules) -> str:
    try:
        if word.startswith("@"):
            return f"@{normal_domain(word[1:])}"
        address = Address.parse(word).in_domain(default_domain)
    except AddressError as error:
        raise ValueError(f"{word!r} is no address ({error})") from error
    return rules.normal(address).mailbox


def _check_entry(key: str, targets: list[str], entries: Entries) -> None:
    if key in entries:
        raise ValueError(f"{key} has an entry already")
    if key.startswith("@") and not targets:
        raise ValueError(f"the catch-all {key} needs a mailbox to send to")
    if any(target.startswith("@") for target in targets):
        raise ValueError(f"{key} must lead to addresses, not to a whole domain")


def _expand(key: str, entries: Entries) -> tuple[str, ...]:
    """The mailboxes behind an entry, in order; circles are cut, not followed."""
    found: dict[str, None] = {}
    seen = {key}
    waiting = [key]
    while waiting:
        current = waiting.pop()
        targets = entries.get(current, ())
        if not targets or current in targets:
            found[current] = None
        fresh = [target for target in targets if target not in seen]
        seen.update(fresh)
        waiting.extend(reversed(fresh))
    return tuple(found)
