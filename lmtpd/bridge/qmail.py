"""For qmail: from a .qmail file (qmail-command(8)), or in the place of qmail-local.

One message, one recipient: 0 delivered, 100 refused for good, 111 try again. What stands on
standard error goes into qmail's log and into the bounce.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..protocol.address import Address
from .call import Call, UsageError
from .exits import QMAIL_HARD, QMAIL_SOFT
from .message import pieces, send

_DOUBLE_BOUNCE = "#@[]"
"""The sender of a bounce's bounce; as a path it is no more than the null path."""

_QMAIL_LOCAL = ("USER", "HOMEDIR", "LOCAL", "DASH", "EXT", "HOST", "SENDER", "ALIASEMPTY")


def run(call: Call) -> int:
    """From a .qmail file: the envelope is in the environment.

    EXT@HOST by default: LOCAL and RECIPIENT carry the prefix of control/virtualdomains. Without an
    extension, in a user's own .qmail, there is no prefix either.
    """
    if call.arguments:
        raise UsageError("qmail takes no recipients: they come from the environment")
    return _deliver(call, os.environ, "ext")


def run_as_qmail_local(call: Call) -> int:
    """In the place of qmail-local: the envelope is in the arguments."""
    if len(call.arguments) != len(_QMAIL_LOCAL):
        raise UsageError(f"qmail-local takes {len(_QMAIL_LOCAL)} arguments behind --")
    return _deliver(call, dict(zip(_QMAIL_LOCAL, call.arguments, strict=True)), "local")


def _deliver(call: Call, environment: Mapping[str, str], usual: str) -> int:
    recipient, sender = _envelope(environment, call.options.get("--recipient", usual))
    (fate,) = send(call, sender, [recipient], pieces())
    if fate.is_success:
        return os.EX_OK
    return QMAIL_HARD if fate.is_permanent else QMAIL_SOFT


def _envelope(environment: Mapping[str, str], choice: str) -> tuple[str, str]:
    """Recipient and sender. qmail takes the quotes off local parts: they are put on again."""
    absent = [name for name in ("SENDER", "LOCAL", "HOST") if name not in environment]
    if absent:
        raise UsageError(f"{', '.join(absent)} not set: this is run by qmail, not by hand")
    match choice:
        case "ext":
            local = environment.get("EXT") or environment["LOCAL"]
        case "local":
            local = environment["LOCAL"]
        case _:
            raise UsageError("--recipient is ext or local")
    sender = environment["SENDER"]
    is_bounce = sender in ("", _DOUBLE_BOUNCE)
    reverse_path = "" if is_bounce else str(Address.of_mailbox(sender))
    return str(Address(local, environment["HOST"])), reverse_path
