"""The chain: hooks are asked in the order of the setting, the first opinion wins.

Here, and for all hooks alike, case is folded, the detail behind `+` is taken off, catch-alls are
ranked below every real address, deadlines are kept, and every fault of a hook becomes a deferral:
a directory that is down must not bounce mail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from traceback import format_exception_only
from typing import Protocol

from ..protocol.address import Address
from .verdict import Kind, RcptContext, RecipientVerifier, Verdict


class Deadline(Protocol):
    """Calls a function that must answer in time: cooperatively, or on a real thread."""

    def __call__(
        self, seconds: float, blocking: bool, function: Callable[[], Verdict | None], /
    ) -> Verdict | None:
        """The function's result.

        Raises:
            TimeoutError: it took longer.
        """


@dataclass(frozen=True, slots=True)
class AddressRules:
    """How the spellings of one recipient are found."""

    delimiters: str = "+"
    """Each of these characters sets off a detail: `alice+news` is alice's."""
    is_case_sensitive: bool = False

    def normal(self, address: Address) -> Address:
        """The one spelling under which the recipient is looked up."""
        if self.is_case_sensitive:
            return address
        return replace(address, local=address.local.lower())

    def spellings(self, address: Address) -> tuple[Address, ...]:
        """The address in normal form, then without its detail."""
        address = self.normal(address)
        if not self.delimiters:
            return (address,)
        user = re.match(rf"[^{re.escape(self.delimiters)}]+", address.local)
        if not user or user[0] == address.local:
            return (address,)
        return address, replace(address, local=user[0])


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds; the client waits no longer than 300 at RCPT, and Postfix's probe far less."""

    hook: float = 10.0
    chain: float = 25.0


class VerifierChain:
    """Asks every hook until one knows."""

    def __init__(
        self,
        hooks: Sequence[tuple[str, RecipientVerifier]],
        within: Deadline,
        clock: Callable[[], float],
        check: Callable[[str], object],
        rules: AddressRules,
        deadlines: Deadlines,
    ) -> None:
        """Join named hooks.

        Args:
            hooks: name and hook, in the order of `lmtp-recipient-hooks`.
            within: how a call is bounded in time.
            clock: monotonic seconds.
            check: raises if the store cannot hold a mailbox of that name.
            rules: case and details.
            deadlines: for one hook, and for all.
        """
        self._hooks = tuple(hooks)
        self._within = within
        self._clock = clock
        self._check = check
        self._rules = rules
        self._deadlines = deadlines

    def verify(self, address: Address, context: RcptContext) -> Verdict:
        """The verdict on an address; never raises."""
        end = self._clock() + self._deadlines.chain
        catch_all: Verdict | None = None
        for spelling in self._rules.spellings(address):
            for name, hook in self._hooks:
                verdict = self._ask(name, hook, spelling, context, end)
                if verdict and verdict.kind is Kind.UNKNOWN:
                    break  # no other hook; but `alice` may exist where `alice+news` does not
                if verdict and not verdict.is_catch_all:
                    return verdict
                catch_all = catch_all or verdict
        return catch_all or Verdict.unknown()

    def _ask(
        self,
        name: str,
        hook: RecipientVerifier,
        address: Address,
        context: RcptContext,
        end: float,
    ) -> Verdict | None:
        seconds = min(self._deadlines.hook, end - self._clock())
        if seconds <= 0:
            return Verdict.defer(f"hook {name}: no time left")
        try:
            blocking = bool(getattr(hook, "blocking", False))
            verdict = self._within(seconds, blocking, lambda: hook.verify(address, context))
            return self._checked(verdict)
        except TimeoutError:
            return Verdict.defer(f"hook {name}: no answer within {seconds:g} s")
        except Exception as error:  # noqa: BLE001 - whatever a hook raises must not bounce mail
            # The traceback module copes with errors that cannot even be printed.
            return Verdict.defer(f"hook {name}: {''.join(format_exception_only(error)).strip()}")

    def _checked(self, verdict: object) -> Verdict | None:
        """A hook may be anybody's code: only a verdict that delivery can keep goes through."""
        if verdict is None:
            return None
        if not isinstance(verdict, Verdict):
            raise TypeError(f"a Verdict or None was due, not {type(verdict).__name__}")
        if verdict.kind is Kind.ACCEPT and not verdict.mailboxes:
            raise ValueError("accepted without a mailbox")
        verdict.reply()  # so that what is wrong with it shows here and not in the session
        for mailbox in verdict.mailboxes:
            self._check(mailbox)
        return verdict
