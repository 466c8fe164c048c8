"""Delivery: an address is verified, and a message delivered to it, found, timed and removed."""

from __future__ import annotations

import os
import shlex
import threading
import time
from dataclasses import dataclass

from .. import wiring
from ..client.connection import Connection
from ..client.dialogue import SessionEndedError, opening, session
from ..client.probe import probe
from ..client.reader import ReplyReader
from ..client.steps import Hear, Say, Step, Steps, watched
from ..client.tls import Tls
from ..client.transaction import Transaction
from ..config import Config
from ..failures import DeliveryError, told
from ..hostname import machine_name
from ..protocol.address import Address
from ..protocol.envelope import Peer
from ..protocol.reply import Reply
from ..recipients.process import in_thread
from ..recipients.verdict import RcptContext
from ..server.confinement import act_as_worker
from ..tools import message_files
from ..tools.send import test_message
from ..tools.spot import Spot
from . import network
from .finding import Findings, fail, milliseconds, ok, warn

_DOT = b".\r\n"
_SUBJECT = "Test of lmtpd doctor, to be removed at once"


@dataclass(slots=True)
class _Clock:
    """When things were done."""

    begun: float
    dot: float = 0.0
    replied: float = 0.0

    def over(self, step: Step, _: bytes) -> None:
        """A step of the dialogue: to send the dot, to have it answered, or another."""
        now = time.perf_counter()
        if isinstance(step, Say) and step.octets == _DOT:
            self.dot = now
        if isinstance(step, Hear) and self.dot and not self.replied:
            self.replied = now


def look(settings: Config, address: Address) -> Findings:
    """From RCPT to the file in new/, and its end."""
    act_as_worker(settings)
    place = next(network.places(settings), None)
    if place is None:
        yield fail("the configuration names no place to connect to", "set lmtp-bind-addr")
        return
    one, target = place
    tls = Tls(network.mode_of(one, target))
    try:
        begun = time.perf_counter()
        with Connection(target, tls) as connection:
            reply = connection.perform(_asked(tls, address))
        took = milliseconds(time.perf_counter() - begun)
        if not reply.is_success:
            yield fail(
                f"{address} is refused ({took}): {reply}", f"lmtpd check-recipient {address}"
            )
            return
        yield ok(f"{address} is verified over {target} ({took}): {reply}")
        reply, clock = _sent(network.Place(one, target), tls, address)
    except SessionEndedError as ended:
        yield fail(f"{target} says: {ended.reply}", f"lmtpd send {address}")
        return
    except OSError as error:
        yield fail(f"{target} does not answer: {told(error)}", "systemctl status lmtpd")
        return
    if not reply.is_success:
        yield fail(f"the message is refused: {reply}", "journalctl -u lmtpd -e")
        return
    whole, disk = clock.replied - clock.begun, clock.replied - clock.dot
    yield ok(
        f"delivered in {milliseconds(whole)}, {milliseconds(disk)} of it behind the dot: {reply}"
    )
    yield from _found(settings, address, reply)


def _asked(tls: Tls, address: Address) -> Steps[Reply]:
    reader = ReplyReader()
    keywords = yield from opening(reader, machine_name(), tls.mode)
    return (yield from probe(reader, keywords, address))


def _sent(place: network.Place, tls: Tls, address: Address) -> tuple[Reply, _Clock]:
    text = test_message("", [address], _SUBJECT)
    transaction = Transaction("", [address], len(text))
    clock = _Clock(time.perf_counter())
    with Connection(place.target, tls) as connection:
        steps = session(ReplyReader(), machine_name(), tls.mode, transaction)
        (reply,) = connection.perform(watched(steps, clock.over), [text])
    return reply, clock


def _found(settings: Config, address: Address, reply: Reply) -> Findings:
    ids = message_files.OUR_ID.search(str(reply))
    if ids is None:
        yield fail("there is no id in the reply: is that server lmtpd?", f"lmtpd send {address}")
        return
    asking = wiring.process(in_thread, threading.Event, lambda *_, **__: None)
    chain = wiring.verifier(settings, wiring.tree(settings), asking)
    verdict = chain.verify(address, RcptContext(Peer("")))
    if not verdict.is_accepted:
        yield warn(f"its mailbox cannot be told: {verdict}", f"lmtpd trace {ids[1]}")
    for mailbox in verdict.mailboxes:
        try:
            yield from _removed(Spot.of(settings, mailbox), ids[1])
        except (OSError, DeliveryError) as error:
            us = "" if os.geteuid() == 0 else "; as root: sudo lmtpd doctor --send ..."
            yield warn(
                f"{mailbox} cannot be looked into: {told(error)}", f"lmtpd trace {ids[1]}{us}"
            )


def _removed(spot: Spot, transaction: str) -> Findings:
    begun = time.perf_counter()
    files = message_files.found(spot, message_files.named({transaction}))
    took = milliseconds(time.perf_counter() - begun)
    if not files:
        yield fail(f"it is not in {spot.path}/new", f"lmtpd trace {transaction}")
    for where, status in files:
        path = f"{spot.path}/{where}"
        yield ok(f"found in {path}, {status.st_size} octets ({took})")
        try:
            message_files.remove(spot, where)
        except (OSError, DeliveryError) as error:
            yield warn(f"it could not be removed: {told(error)}", f"rm {shlex.quote(path)}")
        else:
            yield ok("removed")
