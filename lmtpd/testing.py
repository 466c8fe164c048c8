"""What the author of a recipient hook calls in tests of his own; docs/HOOKS.md shows how.

Both checks raise AssertionError with a sentence that says what is wrong, and know of no test
framework.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from .delivery.layout import Layout
from .protocol.address import Address
from .protocol.envelope import Peer
from .recipients.chain import AddressRules
from .recipients.guard import sound
from .recipients.loader import HookError
from .recipients.policy import Policy
from .recipients.verdict import Kind, RcptContext, RecipientVerifier, Verdict

SENDER = "sender@example.net"

ODD_LOCALS = (
    "with space",
    "a@b",
    'quo"te',
    "back\\slash",
    ".",
    "..",
    "../../etc/passwd",
    "%2e%2e%2f",
    "%s{0}$1",
    "*",
    "*)(uid=*",
    "' or '1'='1",
    "<>",
    "+",
    "grüße-☃",
    "\U0001f4ec",
    "x" * 64,  # RFC 5321 4.5.3.1.1
    "x" * 200,  # longer than that, and still within a path
)
"""What may stand before the `@`, mostly in quotes, and is nobody's name."""

ODD_ADDRESSES = (
    Address("postmaster", ""),  # RFC 5321 4.1.1.3
    Address("x", "[192.0.2.1]"),
    Address("x", "[IPv6:2001:db8::1]"),
    Address("x", "[x400:c=xx]"),
    Address("x", "localhost"),
    Address("x", "xn--bcher-kva.example"),
    Address("x", ".".join(["d" * 60] * 4)),
)
"""Domains that are legal and rare; the first is none at all."""

_AT_ONCE = 8
_CLOSING_S = 2.0
"""What a hook has just let go of may be closed by another thread."""
_START_S = 60.0


def check_hook(
    hook: RecipientVerifier,
    known: Sequence[str],
    unknown: Sequence[str] = (),
    *,
    reads_context: bool = False,
    sender: str = SENDER,
) -> None:
    """Ask a hook what lmtpd and strangers may ask, and judge its answers.

    It accepts the known for mailboxes that a store can hold, says of the unknown that they are, or
    nothing; says the same twice, and to several who ask at once; copes with every legal address,
    and keeps no descriptor.

    Args:
        hook: as lmtpd would build it.
        known: addresses that it accepts.
        unknown: addresses that it does not know.
        reads_context: whether it may look at its context, so that no answer is kept.
        sender: the reverse-path of a message that the known take.

    Raises:
        AssertionError: it breaks a rule; the text says which, and by what answer.
        AddressError: what shall be known or unknown is no address.
    """
    asked = _Asked(hook, sender)
    rules = AddressRules()
    members = [rules.normal(Address.parse(text)) for text in known]
    strangers = [rules.normal(Address.parse(text)) for text in unknown]
    usual = [*members, *strangers]

    first = [asked.answer(address) for address in usual]
    for address, verdict in zip(members, first, strict=False):
        _check_accepted(address, verdict)
    for address, verdict in zip(strangers, first[len(members) :], strict=True):
        if verdict and verdict.kind is not Kind.UNKNOWN:
            _fail(f"{address} is unknown, and it says: {verdict}")
    _check_same(usual, first, [asked.answer(address) for address in usual], "a second time")
    many = [address for address in usual for _ in range(_AT_ONCE)]
    before = [verdict for verdict in first for _ in range(_AT_ONCE)]
    _check_same(many, before, asked.answers(many), "to several at once")

    _check_odd(asked, usual, {address.domain for address in strangers})
    _check_senders(asked, usual)
    _check_descriptors(lambda: [asked.answer(address) for address in usual])
    if asked.was_read and not reads_context:
        _fail("it reads its context, so that no answer is kept; if it must, say reads_context=True")
    if reads_context and not asked.was_read:
        _fail("it never read its context: leave reads_context out")


def check_cooperation(
    name: str,
    addresses: Sequence[str],
    *,
    most_s: float = 0.1,
    within_s: float = _START_S,
) -> None:
    """Ask a hook under gevent, as a worker does; it must not stop the event loop for others.

    That needs a process of its own, for the standard library is patched before the hook is
    imported. One that is `blocking` is asked on a real thread and stops nobody.

    Args:
        name: as in `lmtp-recipient-hooks`; it is built with the default settings.
        addresses: what to ask; better those for which it has to ask a back-end.
        most_s: seconds that the event loop may stand still.
        within_s: seconds for all, start included.

    Raises:
        AssertionError: it stops the event loop, fails or hangs.
    """
    try:
        child = subprocess.run(  # noqa: S603 # nosec B603 # our own module
            [sys.executable, "-m", f"{__package__}.stall", name, *addresses],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        _fail(f"{name} gave no answer within {within_s:g} s under gevent")
    if child.returncode:
        _fail(f"{name} fails under gevent:\n{child.stderr}")
    stall_s = float(child.stdout.split()[-1])
    if stall_s > most_s:
        _fail(
            f"{name} stops the event loop for {stall_s:.2f} s, and every connection with it:"
            " say blocking = True, or wait by sockets of the standard library"
        )


class _Asked:
    """A hook, each of whose answers comes in time and has a sound form."""

    def __init__(self, hook: RecipientVerifier, sender: str) -> None:
        if not callable(getattr(hook, "verify", None)):
            _fail("it has no method verify(address, context)")
        if not isinstance(getattr(hook, "blocking", False), bool):
            _fail("its attribute blocking is neither True nor False")
        try:
            self._deadline_s = Policy().of(type(hook).__name__, hook).deadline_s
        except HookError as error:
            _fail(str(error))
        self._hook = hook
        self._sender = sender
        self._contexts: list[RcptContext] = []

    @property
    def was_read(self) -> bool:
        """Whether any answer may depend on who asked."""
        return any(context.was_read for context in self._contexts)

    def answer(self, address: Address) -> Verdict | None:
        """The answer to one who asks alone."""
        return self.answer_for(address, RcptContext(Peer("127.0.0.1"), self._sender))

    def answer_for(self, address: Address, context: RcptContext) -> Verdict | None:
        """The answer in circumstances of their own."""
        return self._settle(address, self._begin(address, context))

    def answers(self, addresses: Iterable[Address]) -> list[Verdict | None]:
        """The answers to many who ask at once."""
        context = RcptContext(Peer("127.0.0.1"), self._sender)
        begun = [(address, self._begin(address, context.unread())) for address in addresses]
        return [self._settle(address, future) for address, future in begun]

    def _begin(self, address: Address, context: RcptContext) -> Future[object]:
        """On a thread, and a new one: what hangs is left behind."""
        future: Future[object] = Future()
        self._contexts.append(context)

        def ask() -> None:
            try:
                future.set_result(self._hook.verify(address, context))
            except BaseException as error:  # noqa: BLE001 - judged by who waits
                future.set_exception(error)

        threading.Thread(target=ask, daemon=True).start()
        return future

    def _settle(self, address: Address, future: Future[object]) -> Verdict | None:
        try:
            error = future.exception(self._deadline_s)
        except TimeoutError:
            _fail(f"it has no answer about {address} within {self._deadline_s:g} s")
        if error:
            raise AssertionError(
                f"asked for {address} it raises {error!r}; only a back-end that is down is"
                " something to raise for"
            ) from error
        try:
            return sound(future.result(), lambda _: None)
        except Exception as error:
            raise AssertionError(f"its answer about {address} cannot be used: {error}") from error


def _check_accepted(address: Address, verdict: Verdict | None) -> None:
    if verdict is None or not verdict.is_accepted:
        _fail(f"{address} is known, and it says: {verdict or 'no opinion'}")
    try:
        sound(verdict, Layout("{domain}/{local}").parts)
    except Exception as error:
        raise AssertionError(
            f"no store can hold what {address} is accepted for: {error}"
        ) from error


def _check_same(
    addresses: Iterable[Address],
    before: Iterable[Verdict | None],
    after: Iterable[Verdict | None],
    when: str,
) -> None:
    """The reason is for the log, and may tell the time."""
    for address, one, other in zip(addresses, before, after, strict=True):
        if (one and replace(one, reason="")) != (other and replace(other, reason="")):
            _fail(
                f"asked for {address} it says {one or 'no opinion'}, and {when}"
                f" {other or 'no opinion'}; if time alone makes the difference, leave it out here"
            )


def _check_odd(asked: _Asked, usual: Iterable[Address], closed: set[str]) -> None:
    """Whoever has no name for `*` accepts it only if he took it for a pattern, or for code."""
    for address in _odd(usual):
        verdict = asked.answer(address)
        if verdict and verdict.is_accepted and address.domain in closed:
            _fail(
                f"it accepts {address}, which nobody has, and not every address of"
                f" {address.domain}: is the address escaped where it is looked up?"
            )


def _odd(usual: Iterable[Address]) -> Iterator[Address]:
    """In domains that the hook cares for; in others it may not look at the local part at all."""
    addresses = list(usual)
    for domain in sorted({address.domain for address in addresses}):
        yield from (
            address for local in ODD_LOCALS if (address := Address(local, domain)) not in addresses
        )
    yield from ODD_ADDRESSES


def _check_senders(asked: _Asked, addresses: Iterable[Address]) -> None:
    """VRFY has no sender, a bounce an empty one, and a unix socket no address."""
    for address in addresses:
        for context in (RcptContext(Peer("")), RcptContext(Peer("2001:db8::1"), "")):
            asked.answer_for(address, context)


def _check_descriptors(ask: Callable[[], object]) -> None:
    before = _descriptors()
    ask()
    end = time.monotonic() + _CLOSING_S
    while _descriptors() > before:
        if time.monotonic() > end:
            _fail(f"it leaves descriptors open: {before} before, {_descriptors()} afterwards")
        time.sleep(0.01)


def _descriptors() -> int:
    gc.collect()  # what is closed by nobody is closed by chance
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _fail(text: str) -> NoReturn:
    raise AssertionError(text)
