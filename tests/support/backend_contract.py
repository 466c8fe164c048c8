"""What every back-end of recipients is asked in the tests, and what has to come out.

Promises: the addresses and verdicts stand here once. A back-end of the tests serves `TABLE` in its
own form, goes wrong for the addresses of `WRONG` in its own way, and can be started and stopped, on
one port, as often as wanted.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from lmtpd import config, wiring
from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import Peer
from lmtpd.recipients.process import in_thread
from lmtpd.recipients.verdict import RcptContext, Verdict

ALICE, BOB = "alice@example.org", "bob@example.org"
ELSEWHERE = "elsewhere@example.org"
"""Known to the hook behind the back-end, and not to the back-end itself."""

TABLE = {
    ALICE: Verdict.accept(ALICE),
    "sales@example.org": Verdict.accept(BOB),
    "team@example.org": Verdict.accept(ALICE, BOB),
    "former@example.org": Verdict.reject("has left us"),
    "brimful@example.org": Verdict.full("holds no more"),
    "moving@example.org": Verdict.defer("is being moved"),
    "@caught.example": Verdict.accept("postmaster@example.org", catch_all=True),
}
"""What the back-end knows; the last is a domain's catch-all."""

ANSWERS = {
    **TABLE,
    "nobody@example.org": Verdict.unknown(),
    ELSEWHERE: Verdict.accept(ELSEWHERE),
    "anybody@caught.example": TABLE["@caught.example"],
    "anybody%s@caught.example": TABLE["@caught.example"],
    "Team+News@Example.ORG": TABLE["team@example.org"],
    '"a b%c"@example.org': Verdict.unknown(),
    "jürgen@example.org": Verdict.unknown(),
}
"""What the chain has to say."""
del ANSWERS["@caught.example"]

MUTE = "mute@wrong.example"
WRONG = {
    MUTE: "no answer within",
    "dying@wrong.example": "",
    "nonsense@wrong.example": "",
    "octets@wrong.example": "",
    "endless@wrong.example": "longer than 65536 octets",
}
"""What goes wrong with an address, and a word of the reason."""


class BackEnd(Protocol):
    """Something real that knows `TABLE`."""

    hook: str
    answers: Mapping[str, Verdict]
    """What the chain has to say of it; mostly ANSWERS."""
    wrong: Mapping[str, str]
    """The part of WRONG that it can do."""

    def __init__(self, folder: Path) -> None:
        """Not running yet, with its files in a folder."""

    @property
    def settings(self) -> dict[str, object]:
        """Where it is, for lmtpd."""

    def start(self) -> None:
        """Answer from now on."""

    def stop(self) -> None:
        """Be gone from now on, with every connection."""


class Asking:
    """The chain of lmtpd: a back-end, and behind it a maildir that the back-end does not know."""

    def __init__(self, folder: Path, back_end: BackEnd, **settings: object) -> None:
        root = folder / "asked"
        (root / "example.org" / "elsewhere").mkdir(parents=True, exist_ok=True)
        given = {
            "lmtp_maildir_root": root,
            "lmtp_recipient_hooks": f"{back_end.hook};maildirs",
            "lmtp_verify_positive_ttl": 0,
            "lmtp_verify_negative_ttl": 0,
            "lmtp_hook_faults": 1000,
            **back_end.settings,
            **settings,
        }
        options = {key.replace("_", "-"): str(value) for key, value in given.items()}
        loaded = config.load(None, {}, options)
        self.lines: list[str] = []
        asking = wiring.process(in_thread, threading.Event, self._report)
        self._chain = wiring.verifier(loaded, wiring.tree(loaded), asking)

    def verdict(self, address: str) -> Verdict:
        """What is said of an address."""
        return self._chain.verify(Address.parse(address), RcptContext(Peer("")))

    def _report(self, event: str, **fields: object) -> None:
        self.lines.append(" ".join([event, *(f"{key}={value}" for key, value in fields.items())]))
