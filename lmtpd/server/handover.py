"""Handover: what a running server leaves to the program that takes its place in the same process.

The parent process executes the program anew (execve(2)), whose code may be another version's by
now. Process id, children and blocked signals stay; the listening sockets stay open, so nobody who
connects meanwhile is refused; and the workers of before go on until those of the new program serve.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .channel import Channel
from .listener import Listener

VARIABLE = "LMTPD_HANDOVER"
TRIAL = "trial"
"""In its place: show that you could serve, and end."""

Left = tuple[
    Sequence[Listener],
    Sequence[tuple[str, socket.socket]],
    Sequence[tuple[int, Channel]],
    tuple[int, float],
]
"""Listeners, what systemd had handed over, workers, and the memory of unconfirmed deliveries."""


@dataclass(slots=True)
class Handover:
    """What comes from before; empty at an ordinary start."""

    listeners: list[Listener] = field(default_factory=list)
    handed: list[tuple[str, socket.socket]] = field(default_factory=list)
    """What systemd had handed over, by name; among the listeners too."""
    workers: list[tuple[int, Channel]] = field(default_factory=list)
    """The process ids of those that serve still, and the channels to them."""
    unconfirmed: tuple[int, float] | None = None
    """Its descriptor, and since when it is kept."""
    is_trial: bool = False


def offer(left: Left) -> str:
    """The text for the new program's environment; the descriptors in it outlive the execve."""
    _set_inheritable(left, to=True)
    listeners, handed, workers, unconfirmed = left
    return json.dumps(
        {
            "pid": os.getpid(),
            "listeners": [
                [one.socket.fileno(), one.place, one.file and [str(one.file[0]), *one.file[1:]]]
                for one in listeners
                if one.place
            ],
            "handed": [[name, one.fileno()] for name, one in handed],
            "workers": [[pid, channel.fileno()] for pid, channel in workers],
            "unconfirmed": unconfirmed,
        }
    )


def withdraw(left: Left) -> None:
    """The execve has failed: programs that workers start shall not have the descriptors."""
    _set_inheritable(left, to=False)


def accept(environment: MutableMapping[str, str]) -> Handover:
    """What there is for this process.

    Args:
        environment: the process's; the text is taken out, for it is not meant for what we start.
    """
    text = environment.pop(VARIABLE, "")
    if text == TRIAL:
        return Handover(is_trial=True)
    found: dict[str, Any] = json.loads(text) if text else {}
    if found.get("pid") != os.getpid():
        return Handover()  # meant for another process, from which we have the variables
    descriptor, since = found["unconfirmed"]
    os.set_inheritable(descriptor, False)
    return Handover(
        [
            Listener(_taken(number), 0, place, _file(file))
            for number, place, file in found["listeners"]
        ],
        [(name, _taken(number)) for name, number in found["handed"]],
        [(pid, Channel(_taken(number))) for pid, number in found["workers"]],
        (descriptor, since),
    )


def _set_inheritable(left: Left, *, to: bool) -> None:
    listeners, handed, workers, (unconfirmed, _) = left
    descriptors = [one.socket.fileno() for one in listeners]
    descriptors += [one.fileno() for _, one in handed]
    descriptors += [channel.fileno() for _, channel in workers]
    for descriptor in (*descriptors, unconfirmed):
        os.set_inheritable(descriptor, to)


def _taken(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)


def _file(told: list[Any] | None) -> tuple[Path, int, int] | None:
    return (Path(told[0]), told[1], told[2]) if told else None
