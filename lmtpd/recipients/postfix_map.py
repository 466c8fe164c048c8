"""PostfixMap: the answers of a look-up table that serves Postfix, as verdicts.

The address is looked up as `alice@example.org`, without quotation marks, and where the values are
addresses, then as `@example.org`: its value is a catch-all. Details (`alice+news`) are asked for
by the chain, not here. A value may also be a refusal; lmtpd.recipients.answer says how. An address
in a value is a mailbox, and not looked up again.
"""

from __future__ import annotations

from typing import Protocol

from ..protocol.address import Address
from .answer import AnswerReader, action
from .verdict import AnswerError, RcptContext, Verdict


class LookUpError(OSError):
    """The server is there, and its table is not."""


class LookUp(Protocol):
    """A client of a table."""

    def __call__(self, key: str, /) -> str | None:
        """The value of a key, None where there is none; raises when nobody can tell."""


class PostfixMap:
    """A hook that asks a table."""

    def __init__(self, look_up: LookUp, reader: AnswerReader | None) -> None:
        """Ask a table.

        Args:
            look_up: its client.
            reader: of values that are addresses (virtual_alias_maps); None where to be in the table
                is all, whatever the value (virtual_mailbox_maps, relay_recipient_maps).
        """
        self._look_up = look_up
        self._reader = reader

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:  # noqa: ARG002
        """What the table says.

        Raises:
            OSError: it is late or gone, or says that it cannot tell.
            AnswerError: it answers nonsense.
        """
        value = self._value(address.mailbox)
        if self._reader is None:
            if value is None:
                return None
            return action(value) or Verdict.accept(address.mailbox)
        if value is not None:
            return self._reader.of_value(value)
        value = self._value(f"@{address.domain}")
        return None if value is None else self._reader.of_value(value, is_catch_all=True)

    def _value(self, key: str) -> str | None:
        try:
            return self._look_up(key)
        except UnicodeDecodeError as error:
            raise AnswerError(f"the answer is not UTF-8: {error}") from error
