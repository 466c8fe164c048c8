"""One run of the load client, and what it tells while it runs."""

# ruff: noqa: S603

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.maildirs import DOMAIN, Sent
from bench.scenarios import MAILBOXES, Scenario


class LoadError(Exception):
    """The client gave up: a refusal, a hang-up or a hang. Its text says which."""


class Observer(Protocol):
    """Is told of each turn of a run, at that moment."""

    def idle_open(self) -> None:
        """The idle connections stand; the load begins when this returns."""

    def begin(self, wall_clock: float) -> None:
        """The warm-up is over."""

    def at(self, seconds: float, deliveries: int) -> None:
        """So many deliveries since the warm-up."""

    def end(self, wall_clock: float) -> None:
        """What is measured is over."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The client's own account; all but `acknowledged` is of the measured time."""

    seconds: float
    messages: int
    deliveries: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    client_cpu_s: float
    acknowledged: list[int]


@dataclass(frozen=True, slots=True)
class Load:
    """A load client with its message, ready to run."""

    client: Path
    sent: Sent
    scenario: Scenario
    seconds: float
    warmup: float
    limit: int

    def run(self, port: int, observer: Observer) -> Loaded:
        """Run it to its end.

        Raises:
            LoadError: it gave up.
        """
        with subprocess.Popen(
            self._command(port),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as client:
            try:
                return self._follow(client, observer)
            finally:
                client.kill()

    def _follow(self, client: subprocess.Popen[str], observer: Observer) -> Loaded:
        if not (client.stdin and client.stdout and client.stderr):
            raise TypeError("all three are pipes")
        for line in client.stdout:
            match line.split(maxsplit=1):
                case ["idle-open", _]:
                    observer.idle_open()
                    client.stdin.write("\n")
                    client.stdin.flush()
                case ["begin", clock]:
                    observer.begin(float(clock))
                case ["at", progress]:
                    seconds, deliveries = progress.split()
                    observer.at(float(seconds), int(deliveries))
                case ["end", clock]:
                    observer.end(float(clock))
                case ["result", text]:
                    return Loaded(**json.loads(text))
        raise LoadError(client.stderr.read().strip() or "the client ended without a word")

    def _command(self, port: int) -> list[str]:
        scenario = self.scenario
        options: dict[str, object] = {
            "port": port,
            "message": self.sent.path,
            "domain": DOMAIN,
            "mailboxes": MAILBOXES,
            "connections": scenario.connections,
            "recipients": scenario.recipients,
            "idle": scenario.idle,
            "seconds": self.seconds,
            "warmup": self.warmup,
            "limit": self.limit,
        }
        words = [str(self.client)]
        for name, value in options.items():
            words += [f"--{name}", str(value)]
        words += ["--new-each"] if scenario.is_new_each else []
        words += ["--probe"] if scenario.is_probe else []
        return words + (["--tls"] if scenario.is_tls else [])
