"""Worker: serves listeners with one greenlet for each connection, and drains.

Import it after `gevent.monkey.patch_all()`: hooks may use sockets freely, and none of them may
block the others.
"""

from __future__ import annotations

import gc
import resource
import signal
import socket as plain_socket
import sys
import time
from collections.abc import Callable
from functools import partial
from math import inf

import gevent
from gevent import socket
from gevent.event import Event
from gevent.pool import Pool

from ..config import Config
from ..delivery.agent import DeliveryAgent, Job, Outcome
from ..delivery.message import Message
from ..delivery.stuck import StuckMailboxes
from ..delivery.sweep import sweep
from ..failures import HeldUpError, told
from ..log import Log
from ..meter import Meter
from ..recipients.verdict import Verdict
from ..services import Runtime, Services
from ..session import Session
from .acceptor import Acceptor
from .census import Census
from .channel import RETIRE, Channel
from .commands import answer
from .committer import Committer
from .confinement import Places, confine_worker
from .entrance import Entrance
from .heartbeats import BEAT_SECONDS, Heartbeats
from .sampling import SAMPLE_SECONDS, Sampler
from .tally import Tally
from .threads import Threads
from .tls import LOOK_S, Certificates, certificates_of
from .transport import SocketTransport

DISK_THREADS = 8
"""For what is too large for memory; deliveries have the Committer's thread."""
VERIFIER_THREADS = 16
"""Apart from the delivery's: hooks that hang must not stop mail that is on its way."""
LOOKS_IN_PATIENCE = 8
"""How often a thread that may hang is looked at, and who waits for it."""
LOOK_AT_PLACES_S = 2.0
SWEEP_SECONDS = 6 * 3600
WARN_SECONDS = 24 * 3600
"""Between two warnings of a certificate that expires."""
COLLECT_EVERY = 1000
"""Young garbage is looked for so many times for each look at everything."""
QUIT_SECONDS = 1.0
"""For clients that have just had their final reply to say QUIT."""
LAST_WORDS_SECONDS = 10.0
"""For the 421 of connections that were still busy when the patience ended."""


class Worker:
    """One process full of sessions."""

    def __init__(
        self,
        index: int,
        census: Census,
        heartbeats: Heartbeats,
        config: Config,
        log: Log,
        build: Callable[[Runtime], Services],
        feed: plain_socket.socket | None = None,
    ) -> None:
        """A worker that is ready to serve.

        Args:
            index: its number among its like, from 0.
            census: who is connected to any of them.
            heartbeats: is told that the event loop turns.
            config: the settings.
            log: where lines go.
            build: makes the services out of what this process offers; its errors pass.
            feed: takes samples, if somebody serves the status.

        Raises:
            ConfigError: certificate and key cannot be used, or rights not be given up.
        """
        self._certificates = certificates_of(config.listeners)
        # Behind the keys, before hooks and before there is a thread.
        self._places = confine_worker(config)
        self._index = index
        self._census = census
        self._heartbeats = heartbeats
        self._config = config
        self._log = log
        log.gather(gevent.get_hub().loop.run_callback)
        self._disk = Threads(DISK_THREADS)
        self._verifications = Threads(VERIFIER_THREADS)
        self._sessions: dict[Session, SocketTransport] = {}
        self._greenlets = Pool()
        self._stopping = Event()
        self._end = inf
        """Of the patience with transactions; it has one when the server stops."""
        self._acceptors: list[Acceptor] = []
        self._committers: list[Committer] = []
        self._meter = Meter()
        self._services = build(
            Runtime(
                offload=self._disk.run,
                write_out=self._write_out,
                delivering=self._delivering,
                within=self._within,
                new_event=Event,
                spawn=gevent.spawn,
                repeat=lambda seconds, function: gevent.spawn(_repeat, seconds, function),
                is_stopping=self._stopping.is_set,
                log=log,
                meter=self._meter,
            )
        )
        self._tally = Tally(log, gevent.spawn_later)
        self._entrances = [
            Entrance(each, self._services, certificates, census, self._tally)
            for each, certificates in zip(config.listeners, self._certificates, strict=True)
        ]
        self._sampler = feed and Sampler(
            feed, index, self._meter, self._services.memory.health, self._gauges
        )

    def run(self, channel: Channel) -> None:
        """Get the listeners and serve until SIGTERM, or until the supervisor is gone."""
        handler = gevent.signal_handler(signal.SIGTERM, self._stop)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _raise_descriptor_limit()
        _collect_rarely()
        # OpenSSL's callbacks cannot raise: a client that asks for a name that is none would write
        # a traceback of many lines into the log.
        sys.unraisablehook = self._note
        channel.say_ready()
        self._acceptors = [
            Acceptor(
                socket.socket(fileno=bound),
                partial(self._serve, self._entrances[owner]),
                self._greenlets,
                self._census.balance,
                self._index,
                self._tally,
            )
            for owner, bound in channel.receive_listeners()
        ]
        self._census.join(self._index)
        self._heartbeats.beat(self._index)  # the first client may bring it to a stop
        for acceptor in self._acceptors:
            acceptor.start()
        gevent.spawn(self._watch, channel)
        gevent.spawn(self._sweep)
        gevent.spawn(_repeat, BEAT_SECONDS, self._beat)
        if self._places:
            gevent.spawn(self._look_at, self._places)
        if self._sampler:
            gevent.spawn(_repeat, SAMPLE_SECONDS, self._sampler.send)
        for certificates in {*filter(None, self._certificates)}:
            gevent.spawn(self._refresh, certificates)
            gevent.spawn(self._warn, certificates)
        self._stopping.wait()
        self._drain()
        if self._sampler:
            self._sampler.send()
        handler.cancel()
        self._log.close()

    def _beat(self) -> None:
        self._heartbeats.beat(self._index)
        # What a reader of the log had no room for; the next line may be long in coming.
        self._log.flush()

    def _watch(self, channel: Channel) -> None:
        """Carry out commands. Without the supervisor nobody would stop us: finish, and go."""
        try:
            while (heard := _heard(channel)) != "":
                if heard == RETIRE:
                    self._stopping.set()
                    continue
                number, _, line = heard.partition(" ")
                channel.say(f"{number} {answer(line, self._services.memory)}")
        finally:
            self._stop()

    def _stop(self) -> None:
        self._end = min(self._end, time.monotonic() + self._config.lmtp_drain_timeout)
        self._stopping.set()

    # One connection.

    def _serve(self, entrance: Entrance, connection: socket.socket, address: object) -> None:
        try:
            self._hold_session(entrance, connection, address)
        finally:
            self._census.balance.add(self._index, -1)
            self._census.forget(connection)

    def _hold_session(self, entrance: Entrance, connection: socket.socket, address: object) -> None:
        admitted = entrance.admit(connection, address)
        if admitted is None:
            return
        session, transport = admitted
        self._sessions[session] = transport
        try:
            session.run()
        finally:
            del self._sessions[session]

    def _within(
        self, seconds: float, blocking: bool, function: Callable[[], Verdict | None]
    ) -> Verdict | None:
        timeout = gevent.Timeout(seconds)
        try:
            with timeout:
                return self._verifications.run(function) if blocking else function()
        except gevent.Timeout as expired:
            if expired is not timeout:
                raise
            raise TimeoutError from None

    def _delivering(
        self, new_agent: Callable[[], DeliveryAgent], stuck: StuckMailboxes
    ) -> Callable[[Job], tuple[Outcome, ...]]:
        concurrency = self._config.lmtp_mailbox_concurrency
        patience_s = self._config.lmtp_mailbox_patience
        timeout_s = self._config.lmtp_delivery_timeout
        committer = Committer(new_agent, stuck, concurrency, patience_s, self._log.line)
        self._committers.append(committer)
        gevent.spawn(_repeat, min(patience_s, timeout_s) / LOOKS_IN_PATIENCE, committer.look)

        def deliver(job: Job) -> tuple[Outcome, ...]:
            end = time.monotonic() + timeout_s
            if job.message.file is not None:
                self._write_out(job.message, job.message.settle)
            return committer.deliver(job, end)

        return deliver

    def _write_out(self, message: Message, function: Callable[[], None]) -> None:
        """Have a message do something with its file, which may outlast the message's session."""
        message.keep()
        held_up = HeldUpError("the file of a large message cannot be written")
        with gevent.Timeout(self._config.lmtp_delivery_timeout, held_up):
            self._disk.run_and_tell(function, message.close)
        message.account()

    def _gauges(self) -> dict[str, object]:
        """Figures of the moment, for a sample."""
        certificates = {*filter(None, self._certificates)}
        return {
            "connections": len(self._sessions),
            "waiting": sum(one.waiting for one in self._committers),
            "memory_held": self._services.room.memory_held,
            "threads_busy": {"disk": self._disk.busy, "hooks": self._verifications.busy},
            "threads_most": {"disk": DISK_THREADS, "hooks": VERIFIER_THREADS},
            "certificates": [pair for each in certificates for pair in each.told()],
        }

    # The end.

    def _drain(self) -> None:
        """Take no more, let transactions end, tell the idle 421.

        Where others take our place there is no haste: whoever has just connected has his first
        transaction, and each its own time.
        """
        if self._sessions:
            self._log.line("draining", connections=len(self._sessions))
        self._census.balance.leave(self._index)
        for acceptor in self._acceptors:
            acceptor.close()  # not stop(): that kills busy sessions after a second
        self._interrupt(lambda session: session.is_idle)
        begin = time.monotonic() + self._config.lmtp_drain_timeout
        while self._greenlets and (left := self._end - time.monotonic()) > 0:
            may_begin = self._end == inf and time.monotonic() < begin
            # Those who have had their final reply by now have until then to say QUIT.
            silent = {
                one
                for one in self._sessions
                if one.is_between_transactions and not (may_begin and one.is_new)
            }
            self._greenlets.join(timeout=min(QUIT_SECONDS, left))
            still = {one for one in silent if one.is_between_transactions}
            self._interrupt(still.__contains__)
        self._interrupt(lambda _: True)
        self._greenlets.join(timeout=LAST_WORDS_SECONDS)
        if self._greenlets:
            self._log.line("unfinished", connections=len(self._greenlets))

    def _interrupt(self, concerns: Callable[[Session], bool]) -> None:
        for session, transport in list(self._sessions.items()):
            if concerns(session):
                transport.interrupt()

    def _note(self, ignored: sys.UnraisableHookArgs) -> None:
        self._log.line("ignored", cause=ignored.exc_value and told(ignored.exc_value))

    def _look_at(self, places: Places) -> None:
        """Our successor may write where we may not: what is mounted over the store now, say."""
        while not self._disk.run(places.have_moved):
            gevent.sleep(LOOK_AT_PLACES_S)
        self._log.line("store-moved", worker=self._index)
        self._stopping.set()

    def _refresh(self, certificates: Certificates) -> None:
        """All of us have the same files: one says what became of them."""
        news = certificates.loaded()
        while True:
            for event, fields in news if self._index == 0 else ():
                self._log.line(event, **fields)
            gevent.sleep(LOOK_S)
            news = certificates.refresh(self._disk.run)

    def _warn(self, certificates: Certificates) -> None:
        while self._index == 0:
            for warning in certificates.warnings():
                self._log.line("warning", text=warning)
            gevent.sleep(WARN_SECONDS)

    def _sweep(self) -> None:
        while self._index == 0:  # one of us is enough
            removed = self._disk.run(sweep, str(self._config.lmtp_maildir_root))
            if removed:
                self._log.line("swept", files=removed)
            gevent.sleep(SWEEP_SECONDS)


def _heard(channel: Channel) -> str:
    """What the supervisor says; empty when it is gone."""
    while True:
        socket.wait_read(channel.fileno())
        heard = channel.hear()
        if heard is not None:
            return heard


def _repeat(seconds: float, function: Callable[[], object]) -> None:
    while True:
        gevent.sleep(seconds)
        function()


def _raise_descriptor_limit() -> None:
    """The soft limit of 1,024 is for programs that use select(); we may have what is allowed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _collect_rarely() -> None:
    """Python's look for garbage among all that lives stops everybody for its time.

    With 5,000 connections that is a tenth of a second, again and again; hardly any of it is found.
    """
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, COLLECT_EVERY)
