"""Who exists in every directory of the tests, as rows for a data base and entries for LDAP."""

from __future__ import annotations

from dataclasses import dataclass

from lmtpd.protocol.address import Address
from lmtpd.recipients.verdict import Verdict
from tests.support.slapd import BASE

ALICE = "alice@example.org"
BOB = "bob@example.org"
STRANGE = r"o'hara*)(|=%_\{local}\\27@example.org"
"""As an address may be that wants to be more than a value."""


@dataclass(frozen=True)
class Known:
    """An address, its mailboxes, and the word of answer.py."""

    address: str
    mailboxes: tuple[str, ...] = ()
    word: str | None = None


KNOWN = (
    Known(ALICE, (ALICE,)),
    Known("sales@example.org", (ALICE,)),
    Known("team@example.org", (ALICE, BOB), "accept"),
    Known("@example.net", (ALICE,), "catch-all"),
    Known("bob@example.net", (BOB,)),
    Known("gone@example.org", (), "unknown"),
    Known("closed@example.org", (), "reject Gone fishing"),
    Known("closed@example.net", (ALICE,), "reject"),
    Known("full@example.org", (ALICE,), "full Come back on Monday"),
    Known(STRANGE, (BOB,)),
    # From here on nonsense.
    Known("nothing@example.org"),
    Known("perhaps@example.org", (ALICE,), "perhaps"),
    Known("long@example.org", ("x" * 70_000,)),
    Known("many@example.org", tuple(f"u{number}@example.org" for number in range(1001))),
    *(Known(f"user{number}@example.org", (f"box{number}@example.org",)) for number in range(20)),
)

ANSWERS = {
    ALICE: Verdict.accept(ALICE),
    "sales@example.org": Verdict.accept(ALICE),
    "team@example.org": Verdict.accept(ALICE, BOB),
    "whoever@example.net": Verdict.accept(ALICE, catch_all=True),
    "bob@example.net": Verdict.accept(BOB),
    "gone@example.org": Verdict.unknown(),
    "closed@example.org": Verdict.reject("Gone fishing"),
    "closed@example.net": Verdict.reject(),
    "full@example.org": Verdict.full("Come back on Monday"),
    STRANGE: Verdict.accept(BOB),
    "nobody@example.org": None,
    "*@example.org": None,
    "%@example.org": None,
    "' OR '1'='1@example.org": None,
    "x)(mail=*@example.org": None,
    f"{'x' * 240}@example.org": None,
    "j\u00f6rg@example.org": None,
    "\U0001f600@example.org": None,
}

NONSENSE = ("nothing@example.org", "perhaps@example.org", "long@example.org", "many@example.org")


def address(mailbox: str) -> Address:
    """The address that means this mailbox."""
    return Address.of_mailbox(mailbox)


def rows() -> list[dict[str, str | None]]:
    """A row for each mailbox."""
    return [
        {"address": known.address, "mailbox": mailbox, "word": known.word}
        for known in KNOWN
        for mailbox in known.mailboxes or (None,)
    ]


def ldif() -> str:
    """An entry for each address: `mailLocalAddress`, `mail` and `description`."""
    entries = []
    for number, known in enumerate(KNOWN):
        lines = [
            f"dn: cn={number},{BASE}",
            "objectClass: inetOrgPerson",
            "objectClass: inetLocalMailRecipient",
            f"cn: {number}",
            "sn: x",
            f"mailLocalAddress: {known.address}",
            *(f"mail: {mailbox}" for mailbox in known.mailboxes),
        ]
        if known.word:
            lines.append(f"description: {known.word}")
        entries.append("\n".join(lines))
    return "\n\n".join(entries) + "\n"
