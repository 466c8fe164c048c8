"""Hooks: each back-end is asked for real, with the rights of a worker."""

from __future__ import annotations

import threading
import time

from .. import wiring
from ..checks import BACK_ENDS
from ..config import Config, ConfigError
from ..protocol.address import Address
from ..protocol.envelope import Peer
from ..recipients.chain import VerifierChain
from ..recipients.guard import GuardedHook
from ..recipients.process import in_thread
from ..recipients.verdict import Kind, RcptContext
from ..server.confinement import act_as_worker
from . import domains
from .finding import Finding, Findings, fail, milliseconds, note, ok

_MARGIN_S = 10.0
"""To load them, and to ask for the postmasters of further domains."""


def look(settings: Config) -> Findings:
    """Ask each of them for a postmaster, of whom every domain has one (RFC 5321 4.5.1)."""
    act_as_worker(settings)
    found: list[GuardedHook] = []

    def watched(hook: GuardedHook) -> GuardedHook:
        found.append(hook)
        return hook

    asking = wiring.process(in_thread, threading.Event, lambda *_, **__: None)
    try:
        chain = wiring.verifier(settings, wiring.tree(settings), asking, watched)
    except ConfigError as error:
        for fault in error.faults:
            yield fail(fault, "correct it, then look again with: lmtpd check-config")
        return
    postmasters = [Address("postmaster", domain) for domain in domains.of(settings)]
    is_down = False
    for hook in found:
        finding = _asked(hook, postmasters[0], settings)
        is_down |= bool(finding.remedy)
        yield finding
    missed = [] if is_down else [one for one in postmasters if not _exists(one, chain)]
    for one in missed:
        yield note(
            f"{one} is unknown here, and every domain needs it (RFC 5321 4.5.1)",
            f"lmtpd mailbox add {one}, or an alias for somebody who reads it",
        )


def _exists(address: Address, chain: VerifierChain) -> bool:
    return chain.verify(address, RcptContext(Peer(""))).kind is not Kind.UNKNOWN


def _asked(hook: GuardedHook, address: Address, settings: Config) -> Finding:
    begun = time.monotonic()
    end = begun + settings.lmtp_hook_timeout
    verdict = hook.verify(address, RcptContext(Peer("")), end)
    took = milliseconds(time.monotonic() - begun)
    if verdict and verdict.kind is Kind.DEFER:
        keys = BACK_ENDS.get(hook.name, ())
        where = f"is what {keys[0]} names there, and does it run?" if keys else "see its own log;"
        return fail(f"{verdict.reason} ({took})", f"{where} Then: lmtpd check-recipient {address}")
    return ok(f"{hook.name} answers: {verdict or 'no opinion'} on {address} ({took})")


def seconds(settings: Config) -> float:
    """How long all of them may take."""
    return len(settings.lmtp_recipient_hooks) * settings.lmtp_hook_timeout + _MARGIN_S
