"""RowReader: what the rows mean that a data base or a directory answers with.

Each row is a mailbox (`local@domain`) and, if the administrator wants it, a word, with words for
the client behind it (`reject This mailbox is closed`):

    accept      the mailbox gets the message; so does a row without a word
    catch-all   so it does, but only if no hook knows the address itself
    unknown     550: there is no such address, and no other hook is asked
    reject      550: the address takes no mail
    full        452: not now

Several rows with a mailbox are a list. A refusal wins over an acceptance, an acceptance over a
catch-all. A mailbox is an address, in `lmtp-default-domain` where it has no domain, and counts in
its normal form. No row is no opinion: the next hook is asked. Anything else is a fault of the
back-end, for a query that is wrong must not bounce mail.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..protocol.address import Address, AddressError
from .chain import AddressRules
from .verdict import Verdict

MOST_ROWS = 1000
MOST_OCTETS = 64 * 1024

_REFUSALS = {"unknown": Verdict.unknown, "reject": Verdict.reject, "full": Verdict.full}


class RowReader:
    """Reads rows as all hooks of one server do."""

    def __init__(self, default_domain: str, rules: AddressRules) -> None:
        """For mailboxes in this domain where they have none, in their normal form."""
        self._default_domain = default_domain
        self._rules = rules

    def verdict(self, rows: Sequence[tuple[object, object]]) -> Verdict | None:
        """The verdict that rows of a mailbox and a word stand for.

        Raises:
            ValueError: they are too many or too long, or make no sense.
        """
        if len(rows) > MOST_ROWS:
            raise ValueError(f"the answer has more than {MOST_ROWS} rows")
        mailboxes: dict[str, list[str]] = {"accept": [], "catch-all": []}
        texts: dict[str, str] = {}
        octets = 0
        for mailbox, says in rows:
            words = "accept" if says is None else _text(says, "word")
            kind, _, text = words.partition(" ")
            texts.setdefault(kind, text)
            octets += len(words.encode())
            if kind in mailboxes:
                mailboxes[kind].append(self._mailbox(mailbox))
                octets += len(mailboxes[kind][-1].encode())
            elif kind not in _REFUSALS:
                raise ValueError(f"{kind[:32]!r} is none of {', '.join((*mailboxes, *_REFUSALS))}")
            if octets > MOST_OCTETS:
                raise ValueError(f"the answer has more than {MOST_OCTETS} octets")
        for kind, text in texts.items():
            if kind in _REFUSALS:
                return _REFUSALS[kind](text)
        for kind, names in mailboxes.items():
            if names:
                return Verdict.accept(*names, catch_all=kind == "catch-all", text=texts[kind])
        return None

    def _mailbox(self, value: object) -> str:
        text = _text(value, "mailbox")
        try:
            address = Address.parse(text).in_domain(self._default_domain)
        except AddressError as error:
            raise ValueError(f"{text[:100]!r} is no mailbox: {error}") from error
        return self._rules.normal(address).mailbox


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a {what} is text, not {type(value).__name__}")
    if not value:
        raise ValueError(f"a {what} is empty")
    return value
