"""FailOpen: domains whose mail is accepted while nobody can say who exists in them.

Dangerous, and off unless an administrator names a domain. Whatever address is guessed is accepted
while a hook is down, and its mail goes to the mailbox of that very address, which delivery makes if
it is not there: misspelt and invented addresses become maildirs that nobody reads, aliases and
lists too, and no sender hears of it. It is for a domain where a late message is worse than a lost
one, such as that of an alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import replace

from ..failures import UnsafeMailboxError
from ..protocol.address import Address
from .process import Report
from .verdict import Verdict


class FailOpen:
    """What becomes of a deferral."""

    def __init__(self, domains: Set[str], check: Callable[[str], object], report: Report) -> None:
        """Accept for these domains.

        Args:
            domains: in their normal form; those below them are not meant.
            check: raises UnsafeMailboxError if the store cannot hold a mailbox of that name.
            report: each address that is accepted so is worth a line.
        """
        self._domains = domains
        self._check = check
        self._report = report

    def __call__(self, address: Address, deferral: Verdict) -> Verdict:
        """The deferral, or an acceptance with its reason."""
        if address.domain not in self._domains:
            return deferral
        try:
            self._check(address.mailbox)
        except UnsafeMailboxError:
            return deferral
        self._report("fail-open", recipient=address, cause=deferral.reason)
        return replace(Verdict.accept(address.mailbox), reason=f"fail-open: {deferral.reason}")
