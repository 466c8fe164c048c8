r"""AnswerReader: what a back-end has said, as a verdict.

`http` and `exec` answer in JSON, with `null` or an object of one member:

    null                                       nothing is known here: the next hook is asked
    {"accept": "alice@example.org"}            the mailbox
    {"accept": ["a@example.org", "b@example.org"]}     a list, or an alias: where the mail goes
    {"catch_all": "postmaster@example.org"}    the same, but only if no hook knows the address
    {"unknown": "text"}                        there is none, and no other hook shall be asked
    {"reject": "text"}                         it takes no mail, for good
    {"full": "text"}                           it takes none just now
    {"defer": "reason"}                        nobody can tell about this one; for the log

The text is for the client; empty stands for the usual words. The tables of Postfix answer with a
value: addresses as in virtual(5), or one of these words of access(5):

    alice@example.org, bob@example.org         where the mail goes
    REJECT text      550 text                  it takes no mail, for good; every 5NN
    452 text                                   it is full
    DEFER text       450 text                  nobody can tell about this one; every other 4NN

Data bases and directories answer with rows: each has a mailbox and, if the administrator wants it,
a word, with the text behind it (`reject This mailbox is closed`):

    accept      the mailbox gets the message; so does a row without a word
    catch-all   so it does, but only if no hook knows the address itself
    unknown, reject, full, defer       as above; the mailbox does not matter

No row is no opinion; several with a mailbox are a list. A refusal wins over an acceptance, an
acceptance over a catch-all.

A mailbox is an address, in `lmtp-default-domain` where it has no domain, and counts in its normal
form; or `~alice`, the home of a user of the system. Anything else is nonsense: AnswerError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence

from ..delivery.layout import is_home
from ..protocol.address import Address, AddressError
from .chain import AddressRules
from .verdict import AnswerError, Verdict

MOST_OCTETS = 65536
"""Of one answer; a back-end that goes on without end must not fill our memory."""
TOO_LONG = f"the answer is longer than {MOST_OCTETS} octets"
MOST_ROWS = 1000

_WORDS = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s,"])+')
_ACTION = re.compile(
    r"(REJECT|DEFER|[45][0-9]{2})(?:\s+[245]\.[0-9]{1,3}\.[0-9]{1,3})?(?:\s+(.*))?", re.DOTALL
)
_TEXTS: dict[str, Callable[[str], Verdict]] = {
    "unknown": Verdict.unknown,
    "reject": Verdict.reject,
    "full": Verdict.full,
    "defer": Verdict.defer,
}


class AnswerReader:
    """Reads answers as all hooks of one server do."""

    def __init__(self, default_domain: str, rules: AddressRules) -> None:
        """For addresses in this domain where they have none, in their normal form."""
        self._default_domain = default_domain
        self._rules = rules

    def of_json(self, octets: bytes) -> Verdict | None:
        """The verdict of a JSON answer.

        Raises:
            AnswerError: it is none of those above.
        """
        try:
            answer = json.loads(octets.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise AnswerError(f"the answer is no JSON: {error}") from error
        if answer is None:
            return None
        # One member, for of two nobody could say which counts.
        if isinstance(answer, dict) and len(answer) == 1:
            ((key, value),) = answer.items()
            if key in ("accept", "catch_all"):
                words = value if isinstance(value, list) else [value]
                return self._accepted(words, is_catch_all=key == "catch_all")
            if key in _TEXTS and isinstance(value, str):
                return _TEXTS[key](value)
        raise AnswerError(f"the answer {_short(answer)} has no meaning here")

    def of_value(self, value: str, *, is_catch_all: bool = False) -> Verdict:
        """The verdict of a table's value that holds addresses.

        Raises:
            AnswerError: it holds something else.
        """
        refusal = action(value)
        if refusal:
            return refusal
        if _WORDS.sub("", value).strip(" \t\r\n,"):
            raise AnswerError(f"the quotes of {_short(value)} are not balanced")
        return self._accepted(_WORDS.findall(value), is_catch_all=is_catch_all)

    def of_rows(self, rows: Sequence[tuple[object, object]]) -> Verdict | None:
        """The verdict that rows of a mailbox and a word stand for.

        Raises:
            AnswerError: they are too many or too long, or make no sense.
        """
        if len(rows) > MOST_ROWS:
            raise AnswerError(f"the answer has more than {MOST_ROWS} rows")
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
            elif kind not in _TEXTS:
                raise AnswerError(f"{kind[:32]!r} is none of {', '.join((*mailboxes, *_TEXTS))}")
            if octets > MOST_OCTETS:
                raise AnswerError(TOO_LONG)
        for kind, text in texts.items():
            if kind in _TEXTS:
                return _TEXTS[kind](text)
        for kind, names in mailboxes.items():
            if names:
                return Verdict.accept(*names, catch_all=kind == "catch-all", text=texts[kind])
        return None

    def _accepted(self, words: Iterable[object], *, is_catch_all: bool) -> Verdict:
        mailboxes = [self._mailbox(word) for word in words]
        if not mailboxes:
            raise AnswerError("the answer accepts, and names no mailbox")
        return Verdict.accept(*mailboxes, catch_all=is_catch_all)

    def _mailbox(self, value: object) -> str:
        text = _text(value, "mailbox")
        if is_home(text):
            return text
        try:
            address = Address.parse(text).in_domain(self._default_domain)
        except AddressError as error:
            raise AnswerError(f"{_short(text)} is no mailbox: {error}") from error
        return self._rules.normal(address).mailbox


def question_about(address: Address) -> bytes:
    """What is asked about an address, as JSON in one line of ASCII."""
    parts = {"address": address.mailbox, "local": address.local, "domain": address.domain}
    return json.dumps(parts).encode("ascii")


def action(value: str) -> Verdict | None:
    """The verdict of a value that is a word of access(5) for a refusal; None for any other."""
    found = _ACTION.fullmatch(value.strip())
    if not found:
        return None
    word, text = found[1], found[2] or ""
    if word == "452":
        return Verdict.full(text)
    return Verdict.reject(text) if word[0] in "R5" else Verdict.defer(text)


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise AnswerError(f"a {what} is text, not {type(value).__name__}")
    if not value:
        raise AnswerError(f"a {what} is empty")
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
