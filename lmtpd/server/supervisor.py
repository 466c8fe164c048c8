"""Supervisor: the parent process. It binds, forks workers, replaces those that die, and stops them.

It never imports gevent nor anything that gevent has to patch: each worker patches itself after the
fork. Signals are blocked and waited for, so that none can come at the wrong moment; SIGIO is one of
them, by which commands and the workers' answers to them announce themselves.

    SIGTERM, SIGINT    stop; a second SIGINT at once
    SIGHUP             read the configuration anew
    SIGUSR2            go on as the program that is installed by now
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from math import inf

from .. import __version__
from ..config import ConfigError
from ..failures import told
from ..log import Log
from . import pid_file
from .census import Census
from .channel import Channel
from .commands import ERROR, RELOAD, UPGRADE, VERSION
from .companion import Companion
from .control import Control
from .generation import Generation, StartError
from .listener import Listener, unused
from .plan import Plan
from .program import Program
from .service_manager import ServiceManager
from .workforce import Workforce

LOOKS_IN_PATIENCE = 4
"""How often a worker that may hang is looked at."""
LAST_WORDS_SECONDS = 15.0
"""Beyond `lmtp-drain-timeout`, before a worker that hangs is killed."""

_SIGNALS = frozenset(
    {
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGUSR2,
        signal.SIGCHLD,
        signal.SIGIO,
    }
)
_BY_KERNEL = 0x80
"""SI_KERNEL of sigaction(2): a terminal that is gone sends SIGHUP so, and nobody wants a reload."""


class Supervisor:
    """Keeps the workers of one configuration alive, and has those of another take their place."""

    def __init__(
        self,
        log: Log,
        manager: ServiceManager,
        renew: Callable[[Sequence[Census]], Plan],
        program: Program,
        listeners: Sequence[Listener] = (),
        earlier: Workforce | None = None,
    ) -> None:
        """A parent that has not forked yet.

        Args:
            log: where lines go.
            manager: is told how we are.
            renew: reads the configuration; it may raise ConfigError. It is given the censuses of
                workers that finish what they have.
            program: can take our place.
            listeners: bound by the program that was here before.
            earlier: its workers.
        """
        self._log = log
        self._manager = manager
        self._renew = renew
        self._program = program
        self._listeners = [*listeners]
        self._earlier: list[Workforce] = [earlier] if earlier else []
        self._began = time.time()
        self._generation: Generation | None = None
        self._companions: tuple[Companion, ...] = ()
        self._control: Control | None = None
        self._next_control: Control | None = None

    def run(self, plan: Plan, ready: Callable[[list[Listener]], None]) -> None:
        """Serve until SIGTERM or SIGINT.

        Args:
            plan: of the configuration.
            ready: called with the listeners when connections are accepted.

        Raises:
            StartError: the first worker cannot start.
            BindError: as the plan's `bind`. In both cases no worker is left.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            # One alone at first: it says what is wrong, once, and nothing is bound before.
            generation = Generation(plan, self._log, self._let_go)
            try:
                generation.prove()
            except StartError as error:
                if not self._earlier:
                    raise
                # Those of before go on until one of ours can.
                self._log.line("upgrade-failed", cause=error)
            self._serve_with(generation)
            ready(self._listeners)
            self._manager.ready(self._status())
            self._supervise()
        finally:
            self._stop()

    def rehearse(self, plan: Plan) -> None:
        """Start a worker, and end it before anything is bound.

        Raises:
            StartError: it cannot start.
        """
        generation = Generation(plan, self._log, self._let_go)
        generation.prove()
        generation.signal(signal.SIGKILL)

    def _supervise(self) -> None:
        while True:
            self._fill()
            number, is_terminals = _wait_for_signal(self._pause())
            self._manager.alive()
            self._log.flush()  # what a reader had no room for; the next line may be long in coming
            for each in self._generations():
                each.kill_who_hangs()
            if number in (signal.SIGTERM, signal.SIGINT) or is_terminals:
                return
            if number == signal.SIGHUP:
                self._reload()
            elif number == signal.SIGUSR2 and not self._faults_of_program():
                self._execute()
            self._reap()
            self._turn()

    def _turn(self) -> None:
        """See to callers."""
        control = self._control
        if control is None:
            return
        control.turn()
        wanted = control.wanted
        if wanted:
            answers = self._answer(wanted)
            control.answer(answers)
            control.turn()
            if wanted == UPGRADE and not answers:
                self._execute()
        if self._next_control:
            control.close()
            self._control, self._next_control = self._next_control, None

    def _answer(self, wanted: str) -> list[str]:
        """What comes of a command to the parent itself, in lines."""
        if wanted == VERSION:
            return [f"lmtpd {__version__} since {self._began}"]
        faults = self._reload() if wanted == RELOAD else self._faults_of_program()
        return [f"{ERROR} {fault}" for fault in faults]

    def _pause(self) -> float | None:
        """For how many seconds there is nothing to do, unless a signal comes."""
        now = time.monotonic()
        due = [now + one.plan.patience_s / LOOKS_IN_PATIENCE for one in self._generations()]
        due += self._generation.due if self._generation else ()
        due += [one.due for one in self._companions if one.due is not None]
        due += [one.due for one in (self._control, self._manager) if one and one.due is not None]
        first = min(due, default=inf)
        return None if first == inf else max(0.0, first - now)

    def _status(self) -> str:
        """A line for the service manager's own."""
        workers = self._generation.plan.workers if self._generation else 0
        return f"Taking mail with {workers} workers since {time.strftime('%Y-%m-%d %H:%M:%S')}"

    def _channels(self) -> dict[int, Channel]:
        return self._generation.channels() if self._generation else {}

    def _fill(self) -> None:
        """See that all are there; those of before go when the new ones are."""
        for companion in self._companions:
            companion.fill(self._let_go)
        if self._generation:
            for _ in self._generation.fill(self._listeners):
                self._manager.alive()
            if self._generation.is_complete:
                for earlier in self._earlier:
                    earlier.retire()

    def _reap(self) -> None:
        for each in self._workforces():
            each.reap()
        for companion in self._companions:
            companion.reap()
        self._earlier = [each for each in self._earlier if not each.is_gone]

    def _workforces(self) -> list[Workforce]:
        return [*self._earlier, *([self._generation] if self._generation else [])]

    def _generations(self) -> list[Generation]:
        return [one for one in self._workforces() if isinstance(one, Generation)]

    def _let_go(self) -> None:
        """In a child: what is the parent's alone."""
        self._log.forget()
        for each in self._workforces():
            each.close()
        for listener in self._listeners:
            listener.close()
        for control in (self._control, self._next_control):
            if control:
                control.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's; the parent passes it on

    # Another configuration, another program.

    def _reload(self) -> list[str]:
        """Read the configuration anew; why that has changed nothing, in lines."""
        self._manager.reloading()
        faults = self._renewed()
        if faults:
            self._log.line("reload-refused", cause="; ".join(faults))
        else:
            self._fill()
            self._log.line("reloaded")
        self._manager.ready(self._status())
        return faults

    def _renewed(self) -> list[str]:
        before = self._generation
        censuses = [one.plan.census for one in self._generations()]
        try:
            plan = self._renew(censuses)
            generation = Generation(plan, self._log, self._let_go)
            generation.prove()
            self._serve_with(generation)
        except (ConfigError, StartError, OSError) as error:
            return str(error).splitlines()
        except Exception as error:  # noqa: BLE001 - a bug must cost a reload, not the server
            return [told(error)]
        if before:
            self._earlier.append(before)
        return []

    def _serve_with(self, generation: Generation) -> None:
        """It and its plan are those of the server from now on.

        Raises:
            BindError: that cannot be; nothing has changed, and it is told to go.
        """
        try:
            self._adopt(generation)
        except Exception:
            generation.signal(signal.SIGKILL)
            self._earlier.append(generation)  # to be reaped
            raise

    def _adopt(self, generation: Generation) -> None:
        plan = generation.plan
        listeners = plan.bind(self._listeners)
        try:
            if plan.pid_file:
                pid_file.write(plan.pid_file)
            plan.take_effect()
        except Exception:
            _drop(unused(listeners, self._listeners))
            raise
        before = self._generation.plan if self._generation else None
        if before and before.pid_file and before.pid_file != plan.pid_file:
            pid_file.remove(before.pid_file)
        _drop(unused(self._listeners, listeners))
        self._listeners, self._generation = listeners, generation
        self._meet(plan, before)
        self._accompany(plan)
        generation.employ_first(listeners)

    def _meet(self, plan: Plan, before: Plan | None) -> None:
        """Hear commands where the plan says, while one that is carried out is still heard."""
        if before and before.meeting == plan.meeting:
            return
        commands = plan.meet()
        if commands:
            control = Control(commands, self._channels, self._log)
            if self._control:
                self._next_control = control
            else:
                self._control = control

    def _accompany(self, plan: Plan) -> None:
        """Those companions stay that do the same by this plan."""
        wanted = []
        for new in plan.companions:
            same = [one for one in self._companions if one.does_as(new)]
            wanted += same or [new]
        for one in self._companions:
            if one not in wanted:
                one.stop()
        self._companions = tuple(wanted)

    def _faults_of_program(self) -> list[str]:
        """Why the program that is installed could not take our place, in lines."""
        self._manager.reloading()
        faults = self._program.faults()
        if faults:
            self._log.line("upgrade-refused", cause="; ".join(faults))
            self._manager.ready(self._status())
        return faults

    def _execute(self) -> None:
        workers = [one for each in self._workforces() for one in each.workers()]
        for companion in self._companions:
            companion.stop()  # the new program has its own
        self._manager.alive()
        self._log.line("upgrading", version=__version__)
        self._log.settle()  # what waits in this program's memory goes with it
        try:
            self._program.execute(self._listeners, workers)
        except OSError as error:
            self._log.line("upgrade-failed", cause=told(error))
            self._manager.ready(self._status())

    # The end.

    def _stop(self) -> None:
        """Drain all workers; kill those that hang, or all of them on a second SIGINT."""
        self._manager.stopping()
        for control in (self._control, self._next_control):
            if control:
                control.close()
        if self._generation and self._generation.plan.pid_file:
            pid_file.remove(self._generation.plan.pid_file)
        _drop(self._listeners)
        drain_seconds = self._generation.plan.drain_seconds if self._generation else 0.0
        end = time.monotonic() + drain_seconds + LAST_WORDS_SECONDS
        self._signal(signal.SIGTERM)
        while self._workforces():
            number, _ = _wait_for_signal(max(0.0, end - time.monotonic()))
            if number in (0, signal.SIGINT):
                self._signal(signal.SIGKILL)
                end = time.monotonic() + LAST_WORDS_SECONDS
            self._reap()
            if self._generation and self._generation.is_gone:
                self._generation = None
        for companion in self._companions:
            companion.stop()

    def _signal(self, number: signal.Signals) -> None:
        for each in self._workforces():
            each.signal(number)


def _drop(listeners: Sequence[Listener]) -> None:
    for listener in listeners:
        listener.remove()
        listener.close()


def _wait_for_signal(seconds: float | None) -> tuple[int, bool]:
    """The next signal, and whether a terminal is gone by it; 0 when the time is over."""
    if seconds is None:
        info: signal.struct_siginfo | None = signal.sigwaitinfo(_SIGNALS)
    else:
        info = signal.sigtimedwait(_SIGNALS, seconds)
    if info is None:
        return 0, False
    return info.si_signo, info.si_signo == signal.SIGHUP and info.si_code == _BY_KERNEL
