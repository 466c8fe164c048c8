r"""Entries: what the file of the hook `table` says, line by line.

The form is that of Postfix's virtual(5): one entry a line, `#` begins a comment line, a line that
begins with a space goes on with the one before.

    alice@example.org                                   a mailbox
    sales@example.org     alice@example.org             an alias
    team@example.org      alice@example.org, bob@example.org
    all@example.org       :include:lists/all            members from a file of their own
    carol@example.org     ~carol                        the home of a user of the system
    /^sales-.*@example\.org$/ sales@example.org         all that look so, see pattern.py
    @example.org          postmaster@example.org        all that no hook knows
    @example.com          @example.org                  the same names in another domain
    example.com           anything                      Postfix's mark of a domain: passed over

A list's file holds addresses, with spaces, commas or line breaks between them, `#` comments and
further `:include:`. Its path is relative to the file that names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ..delivery.layout import is_home
from ..protocol.address import Address, AddressError, normal_domain
from .chain import AddressRules
from .pattern import compile_pattern

_WORD = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s,"])+')
_PATTERN = re.compile(r"(/(?:[^/\\]|\\.)*/)(?:\s+|$)")
_INCLUDE = re.compile(r'":include:([^"]+)"|:include:(?:"([^"]+)"|([^"]+))')

Entries = Mapping[str, tuple[str, ...]]
"""From an address, `@domain` or `/pattern/` to what it stands for; nothing for a mailbox."""

Include = Callable[[Path], str]
"""The text of a list's file.

Raises:
    OSError, ValueError: it cannot be used.
"""


class TableError(ValueError):
    """The file cannot be used; the text names every faulty line."""


def is_pattern(key: str) -> bool:
    """Is this key a pattern, and no address?"""
    return len(key) > 2 and key[0] == key[-1] == "/"


def parse(
    text: str, path: Path, default_domain: str, rules: AddressRules, include: Include
) -> Entries:
    """Read the text of a table.

    Args:
        text: the file's content.
        path: the file, for messages and for the lists beside it.
        default_domain: what an address without a domain gets.
        rules: whether case matters.
        include: reads a list's file.

    Raises:
        TableError: every faulty line.
    """
    return _Parser(default_domain, rules, include).entries(text, path)


class _Parser:
    """What does not change from line to line."""

    def __init__(self, default_domain: str, rules: AddressRules, include: Include) -> None:
        self._default_domain = default_domain
        self._rules = rules
        self._include = include

    def entries(self, text: str, path: Path) -> Entries:
        """All entries of a table."""
        entries: dict[str, tuple[str, ...]] = {}
        marks: dict[str, str] = {}
        faults: list[str] = []
        for number, line in _logical_lines(text):
            try:
                word, rest = _split(line)
                key = self._key(word)
                targets = self._targets(rest, path)
                _check_entry(key, targets, entries)
                entries[key] = tuple(targets)
                if "@" not in word and rest:
                    marks[word.lower()] = key
            except ValueError as error:
                faults.append(f"{path}:{number}: {error}")
        if faults:
            raise TableError("\n".join(faults))
        for domain in {key.rpartition("@")[2] for key in entries if key not in marks.values()}:
            if domain in marks:
                del entries[marks[domain]]
        return entries

    def _key(self, word: str) -> str:
        if is_pattern(word):
            compile_pattern(word[1:-1], is_case_sensitive=self._rules.is_case_sensitive)
            return word
        try:
            if word.startswith("@"):
                return f"@{normal_domain(word[1:])}"
            address = Address.parse(word).in_domain(self._default_domain)
        except AddressError as error:
            raise ValueError(f"{word!r} is no address ({error})") from error
        return self._rules.normal(address).mailbox

    def _targets(self, words: list[str], origin: Path, *outer: Path) -> list[str]:
        """Addresses and homes, those of lists among them; `outer` are the lists that led here."""
        targets: list[str] = []
        for word in words:
            listed = _INCLUDE.fullmatch(word)
            if listed:
                path = origin.parent / (listed[1] or listed[2] or listed[3])
                targets += self._members(path, *outer)
            else:
                targets.append(word if is_home(word) else self._key(word))
        return targets

    def _members(self, path: Path, *outer: Path) -> list[str]:
        if path in outer:
            raise ValueError(f"the list {path} includes itself")
        try:
            text = self._include(path)
            words = [word for _, line in _logical_lines(text) for word in _words(line)]
            members = self._targets(words, path, path, *outer)
        except OSError as error:
            raise ValueError(f"the list {path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"the list {path}: {error}") from error
        if not members:
            raise ValueError(f"the list {path} has no members")
        return members


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


def _split(line: str) -> tuple[str, list[str]]:
    """The key and the words behind it."""
    pattern = _PATTERN.match(line)
    if pattern:
        rest = line[pattern.end() :]
        return pattern[1], _words(rest) if rest else []
    key, *words = _words(line)
    return key, words


def _words(line: str) -> list[str]:
    words = _WORD.findall(line)
    if _WORD.sub("", line).strip(" \t,") or not words:
        raise ValueError(f"{line!r} is no entry; are its quotes balanced?")
    return words


def _check_entry(key: str, targets: list[str], entries: Entries) -> None:
    if key in entries:
        raise ValueError(f"{key} has an entry already")
    if (key.startswith("@") or is_pattern(key)) and not targets:
        raise ValueError(
            f"the {'pattern' if is_pattern(key) else 'catch-all'} {key} needs a mailbox to send to"
        )
    if is_pattern(key) and any("$" in target for target in targets):
        raise ValueError(f"{key}: what a pattern has found ($1) cannot be put into an address")
    if any(map(is_pattern, targets)):
        raise ValueError(f"{key} must lead to addresses, not to a pattern")
    is_moved = key.startswith("@") and len(targets) == 1
    if not is_moved and any(target.startswith("@") for target in targets):
        raise ValueError(f"{key} must lead to addresses, not to a whole domain")
