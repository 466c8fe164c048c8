"""Plan: what the parent process does for one configuration."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .census import Census
from .channel import Channel
from .companion import Companion
from .heartbeats import Heartbeats
from .listener import Listener


@dataclass(frozen=True, slots=True)
class Plan:
    """Made anew when the configuration is read anew."""

    workers: int
    work: Callable[[int, Channel], int]
    """What a worker does, given its number and its end of the channel; its exit code."""
    bind: Callable[[Sequence[Listener]], list[Listener]]
    """Gives the listening sockets, new ones and those that there are. Raises BindError."""
    meeting: str
    """What the socket for commands is called."""
    meet: Callable[[], socket.socket | None]
    """Gives that socket, if it can be had."""
    census: Census
    heartbeats: Heartbeats
    patience_s: float
    """How long a worker's event loop may stand still, before the worker is killed."""
    drain_seconds: float
    """How long workers may go on after the order to stop."""
    companions: tuple[Companion, ...]
    pid_file: Path | None
    take_effect: Callable[[], None]
    """What else changes in this process when the configuration is known to be good."""
