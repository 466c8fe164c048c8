"""The chain: hooks are asked in the order of the setting, the first opinion wins.

Here, and for all hooks alike, case is folded, the detail behind `+` is taken off, and catch-alls
are ranked below every real address. Whom nobody knows is unknown; whom nobody could be asked about
is deferred.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..protocol.address import Address
from .verdict import Kind, RcptContext, Verdict


class Link(Protocol):
    """A hook as the chain asks it; lmtpd.recipients.guard has the usual one."""

    def verify(self, address: Address, context: RcptContext, end: float, /) -> Verdict | None:
        """An opinion on an address in its normal form, mostly before `end`; never raises."""


@dataclass(frozen=True, slots=True)
class AddressRules:
    """How the spellings of one recipient are found."""

    delimiters: str = "+"
    """Each of these characters sets off a detail: `alice+news` is alice's."""
    is_case_sensitive: bool = False
    _user: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare what is asked for at every RCPT."""
        letters = f"[^{re.escape(self.delimiters)}]" if self.delimiters else "."
        object.__setattr__(self, "_user", re.compile(f"{letters}+", re.DOTALL))

    def normal(self, address: Address) -> Address:
        """The one spelling under which the recipient is looked up."""
        if self.is_case_sensitive:
            return address
        local = address.local.lower()
        return address if local == address.local else Address(local, address.domain)

    def spellings(self, address: Address) -> tuple[Address, ...]:
        """The address in normal form, then without its detail."""
        address = self.normal(address)
        user = self._user.match(address.local)
        if not user or user[0] == address.local:
            return (address,)
        return address, Address(user[0], address.domain)


class VerifierChain:
    """Asks every hook until one knows."""

    def __init__(
        self,
        links: Sequence[Link],
        rules: AddressRules,
        deadline_s: float,
        clock: Callable[[], float],
        last_resort: Callable[[Address, Verdict], Verdict] | None = None,
    ) -> None:
        """Join hooks.

        Args:
            links: in the order of `lmtp-recipient-hooks`.
            rules: case and details.
            deadline_s: for all of them together; the client waits no longer than 300 seconds at
                RCPT, and Postfix's probe far less.
            clock: monotonic seconds.
            last_resort: what becomes of a deferral; its address is in normal form, without detail.
        """
        self._links = tuple(links)
        self._rules = rules
        self._deadline_s = deadline_s
        self._clock = clock
        self._last_resort = last_resort

    def verify(self, address: Address, context: RcptContext) -> Verdict:
        """The verdict on an address; never raises."""
        end = self._clock() + self._deadline_s
        spellings = self._rules.spellings(address)
        catch_all: Verdict | None = None
        refusal: Verdict | None = None
        for spelling in spellings:
            for link in self._links:
                verdict = link.verify(spelling, context, end)
                if verdict is None:
                    continue
                if verdict.kind is Kind.UNKNOWN:
                    refusal = refusal or verdict
                    break  # no other hook; but `alice` may exist where `alice+news` does not
                if verdict.kind is Kind.DEFER and self._last_resort:
                    return self._last_resort(spellings[-1], verdict)
                if not verdict.is_catch_all:
                    return verdict
                catch_all = catch_all or verdict
        return catch_all or refusal or Verdict.unknown()
