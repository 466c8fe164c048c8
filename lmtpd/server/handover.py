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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .channel import Channel
from .listener import Listener

VARIABLE = "LMTPD_HANDOVER"
TRIAL = "trial"
"""In its place: show that you could serve, and end."""


@dataclass(frozen=True, slots=True)
class Handover:
    """What comes from before; empty at an ordinary start."""

    listeners: Sequence[Listener] = ()
    handed: Sequence[tuple[str, socket.socket]] = ()
    """What systemd had handed over, by name; among the listeners too."""
    workers: Sequence[tuple[int, Channel]] = ()
    """The process ids of those that serve still, and the channels to them."""
    unconfirmed: tuple[int, float] | None = None
    """The memory of unconfirmed deliveries: its descriptor, and since when it is kept."""
    keepsake: tuple[int, ...] = ()
    """The descriptors of what the status knew."""
    is_trial: bool = False


def offer(left: Handover) -> str:
    """The text for the new program's environment; the descriptors in it outlive the execve."""
    _set_inheritable(left, to=True)
    return json.dumps(
        {
            "pid": os.getpid(),
            "listeners": [
                [one.socket.fileno(), one.place, one.file and [str(one.file[0]), *one.file[1:]]]
                for one in left.listeners
                if one.place
            ],
            "handed": [[name, one.fileno()] for name, one in left.handed],
            "workers": [[pid, channel.fileno()] for pid, channel in left.workers],
            "unconfirmed": left.unconfirmed,
            "keepsake": left.keepsake,
        }
    )


def withdraw(left: Handover) -> None:
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
    left = Handover(
        [
            Listener(socket.socket(fileno=number), 0, place, _file(file))
            for number, place, file in found["listeners"]
        ],
        [(name, socket.socket(fileno=number)) for name, number in found["handed"]],
        [(pid, Channel(socket.socket(fileno=number))) for pid, number in found["workers"]],
        tuple(found["unconfirmed"]),
        tuple(found["keepsake"]),
    )
    _set_inheritable(left, to=False)
    return left


def _set_inheritable(left: Handover, *, to: bool) -> None:
    descriptors = [one.socket.fileno() for one in left.listeners]
    descriptors += [one.fileno() for _, one in left.handed]
    descriptors += [channel.fileno() for _, channel in left.workers]
    descriptors += (left.unconfirmed or ())[:1]
    for descriptor in (*descriptors, *left.keepsake):
        os.set_inheritable(descriptor, to)


def _file(told: list[Any] | None) -> tuple[Path, int, int] | None:
    return (Path(told[0]), told[1], told[2]) if told else None
