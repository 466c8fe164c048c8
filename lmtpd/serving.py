"""Serving: what `serve` does; of each configuration that is read it makes a plan for the parent."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from math import inf

from . import try_it
from .config import Config, ConfigError
from .delivery.duplicates import Unconfirmed
from .failures import told
from .log import open_log, open_target
from .server import handover, rendezvous
from .server.activation import handed_over
from .server.census import Census
from .server.channel import Channel
from .server.companion import Companion
from .server.confinement import become_worker, confine_parent
from .server.generation import StartError
from .server.heartbeats import Heartbeats
from .server.listener import BindError, Listener, bind
from .server.plan import Plan
from .server.program import Program
from .server.service_manager import ServiceManager
from .server.supervisor import Supervisor
from .server.workforce import Place, Workforce
from .status.keepsake import Keepsake
from .terminal import CommandError, tell

_OF_STATUS = (
    "lmtp_status_addr",
    "lmtp_maildir_root",
    "lmtp_hostname",
    "lmtp_disk_reserve",
    "lmtp_workers",
    "lmtp_user",
    "lmtp_group",
    "lmtp_log_target",
    "lmtp_log_format",
)
"""What the status process has of the configuration; where all of it stays, so does the process,
with its memory of the last hour."""


class Serving:
    """The parent process, from its start to its end."""

    def __init__(
        self, settings: Config, load: Callable[[], Config], arguments: Sequence[str]
    ) -> None:
        """Take over what systemd has, and what the program has left that was here before.

        Args:
            settings: to begin with.
            load: reads the configuration anew; it may raise ConfigError.
            arguments: of the command line, by which another program would read the same.

        Raises:
            CommandError: what systemd hands over cannot be used.
        """
        self._settings = settings
        self._load = load
        self._log = open_log(settings.lmtp_log_target, settings.lmtp_log_format, os.environ)
        self._before = handover.accept(os.environ)
        try:
            self._handed = handed_over(os.environ) or self._before.handed
        except BindError as error:
            raise CommandError(os.EX_OSERR, f"systemd's sockets: {error}") from error
        self._unconfirmed = Unconfirmed(self._before.unconfirmed)
        self._keepsake = Keepsake(self._before.keepsake)
        memories = self._unconfirmed.kept, self._keepsake.files
        self._program = Program(arguments, self._handed, *memories)
        self._feed: tuple[socket.socket, socket.socket] | None = None

    def run(self) -> int:
        """Serve; the exit code.

        Raises:
            CommandError, ConfigError: it cannot begin.
        """
        supervisor = Supervisor(
            self._log,
            ServiceManager(os.environ),
            self._renewed,
            self._program,
            self._before.listeners,
            self._workers_of_before(),
        )
        try:
            plan = self._plan(self._settings, ())
            if self._before.is_trial:
                supervisor.rehearse(plan)
            else:
                supervisor.run(plan, self._say_welcome)
        except BindError as error:
            raise CommandError(os.EX_OSERR, str(error)) from error
        except StartError as error:
            raise CommandError(error.code, str(error)) from error
        finally:
            self._log.close()
        return os.EX_OK

    def _workers_of_before(self) -> Workforce | None:
        numbered = enumerate(self._before.workers)
        places = [Place(number, pid, channel) for number, (pid, channel) in numbered]
        return Workforce(places, self._log) if places else None

    def _say_welcome(self, listeners: list[Listener]) -> None:
        tell(try_it.welcome(self._settings, listeners))

    def _renewed(self, earlier: Sequence[Census]) -> Plan:
        settings = self._load()
        if settings.lmtp_environment - self._settings.lmtp_environment:
            text = "lmtp-environment: what was removed at the start is back after a restart only"
            self._log.line("warning", text=text)
        return self._plan(settings, earlier)

    def _plan(self, settings: Config, earlier: Sequence[Census]) -> Plan:
        for warning in (*settings.warnings, *confine_parent(settings)):
            self._log.line("warning", text=warning)
        if settings.lmtp_status_addr and not self._feed:
            self._feed = _feed()
        census = Census(settings.lmtp_workers, earlier)
        heartbeats = Heartbeats(settings.lmtp_workers)
        return Plan(
            settings.lmtp_workers,
            lambda index, channel: self._work(settings, census, heartbeats, index, channel),
            lambda held: bind(settings, self._handed, held),
            rendezvous.name(settings),
            lambda: self._meet(settings),
            census,
            heartbeats,
            inf if settings.lmtp_worker_patience is None else settings.lmtp_worker_patience,
            settings.lmtp_drain_timeout,
            self._companions(settings),
            settings.lmtp_pid_file,
            lambda: self._go_by(settings),
        )

    def _go_by(self, settings: Config) -> None:
        before, self._settings = self._settings, settings
        target = settings.lmtp_log_target, settings.lmtp_log_format
        if target != (before.lmtp_log_target, before.lmtp_log_format):
            self._log.move_to(open_target(*target, os.environ))

    def _meet(self, settings: Config) -> socket.socket | None:
        try:
            return rendezvous.listen(settings)
        except OSError as error:
            name = rendezvous.name(settings)
            self._log.line("control-unavailable", name=name, cause=told(error))
            return None

    def _companions(self, settings: Config) -> tuple[Companion, ...]:
        if not settings.lmtp_status_addr:
            return ()
        own = [getattr(settings, name) for name in _OF_STATUS]
        return (Companion("status", own, lambda: self._tell_status(settings), self._log),)

    # The children.

    def _begin_child(self, settings: Config) -> None:
        self._go_by(settings)
        for _, listener in self._handed:
            listener.close()  # a worker gets them by the channel, when it is ready

    def _tell_status(self, settings: Config) -> None:
        from . import wiring
        from .status import process

        self._begin_child(settings)
        become_worker(settings)
        if self._feed:
            theirs, ours = self._feed
            ours.close()
            process.run(settings, wiring.tree(settings), theirs, self._log.line, self._keepsake)

    def _work(
        self,
        settings: Config,
        census: Census,
        heartbeats: Heartbeats,
        index: int,
        channel: Channel,
    ) -> int:
        self._begin_child(settings)
        from .server import patch

        patch()
        from . import wiring
        from .server.worker import Worker

        feed = self._feed[1] if settings.lmtp_status_addr and self._feed else None
        try:
            worker = Worker(
                index,
                census,
                heartbeats,
                settings,
                self._log,
                lambda runtime: wiring.services(settings, runtime, self._unconfirmed),
                feed,
            )
        except ConfigError as error:
            channel.say_fault(str(error))
            return os.EX_CONFIG
        worker.run(channel)
        return os.EX_OK


def _feed() -> tuple[socket.socket, socket.socket]:
    """The ends of the samples' way from the workers to the process that tells the status.

    Its end is seen when the last worker is gone, and the parent.
    """
    theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return theirs, ours
