"""Table: the entries of a file, resolved once and asked from memory.

What stands on the right and is an entry itself is followed; an address that names itself, or is no
entry, is a mailbox. Patterns and whole domains are catch-alls: they hide no address that a hook
knows, and no pattern hides one of the table. Patterns are tried in their order, then the domain.
A domain that stands for another (`@a @b`) takes every name, as with Postfix.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..protocol.address import Address
from .chain import AddressRules
from .entries import Entries, TableError, is_pattern
from .pattern import compile_pattern
from .verdict import Verdict


class Table:
    """Answers from memory."""

    def __init__(self, entries: Entries, rules: AddressRules) -> None:
        """Resolve aliases and lists.

        Raises:
            TableError: an alias leads to itself and to no mailbox.
        """
        self._rules = rules
        self._moved = {
            key[1:]: targets[0][1:]
            for key, targets in entries.items()
            if targets and targets[0].startswith("@")
        }
        rest = [key for key in entries if key[1:] not in self._moved or key[0] != "@"]
        self._mailboxes = {key: _expand(key, entries) for key in rest}
        self._patterns = [
            (compile_pattern(key[1:-1], is_case_sensitive=rules.is_case_sensitive), mailboxes)
            for key, mailboxes in self._mailboxes.items()
            if is_pattern(key)
        ]
        loops = [key for key, mailboxes in self._mailboxes.items() if not mailboxes]
        loops += [f"@{domain}" for domain in self._moved if domain in self._ways(domain)]
        if loops:
            raise TableError(f"these aliases lead to no mailbox: {', '.join(sorted(loops))}")

    def __len__(self) -> int:
        """Entries."""
        return len(self._mailboxes) + len(self._moved)

    def answer(self, address: Address) -> Verdict | None:
        """Accept what is in the table."""
        mailboxes = self._mailboxes.get(address.mailbox)
        if mailboxes:
            return Verdict.accept(*mailboxes)
        mailboxes = self._matched(address) or self._caught(address)
        return Verdict.accept(*mailboxes, catch_all=True) if mailboxes else None

    def _matched(self, address: Address) -> tuple[str, ...]:
        for pattern, mailboxes in self._patterns:
            if pattern.search(address.mailbox):
                return mailboxes
        return ()

    def _caught(self, address: Address) -> tuple[str, ...]:
        """What the domain stands for; an address that moved with it may be an entry there."""
        last = address
        for domain in self._ways(address.domain):
            for last in self._rules.spellings(Address(address.local, domain)):
                mailboxes = self._mailboxes.get(last.mailbox)
                if mailboxes:
                    return mailboxes
        caught = self._mailboxes.get(f"@{last.domain}", ())
        return caught or ((last.mailbox,) if last.domain != address.domain else ())

    def _ways(self, domain: str) -> Sequence[str]:
        """The domains that this one stands for, one by the other; itself only in a circle."""
        ways: list[str] = []
        while domain in self._moved and self._moved[domain] not in ways:
            domain = self._moved[domain]
            ways.append(domain)
        return ways


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
