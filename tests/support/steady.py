"""Clients that nobody may notice a change by: each connection is accepted and each message taken.

One kind connects for each message. The other keeps its connection, and may hear 421 at the begin of
a transaction that is not its first (RFC 5321 3.8): it comes back then.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from types import TracebackType

from tests.support.client import Client
from tests.support.waiting import wait_for

_PATIENCE_S = 60.0


class SteadyClients:
    """They run inside the `with` block; at its end what they met with is raised."""

    def __init__(self, port: Callable[[], int], recipient: str) -> None:
        self._port = port
        self._recipient = recipient
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (self._come_anew, self._come_anew, self._stay)
        ]
        self._numbers = itertools.count()
        self.delivered = 0
        self.turned_away = 0
        self._faults: list[Exception] = []
        self._lock = threading.Lock()

    def __enter__(self) -> SteadyClients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(_PATIENCE_S)
        if error is None:
            self.check()

    def check(self) -> None:
        """Raise what a client has met with."""
        if self._faults:
            raise self._faults[0]

    def go_on(self, messages: int = 5) -> None:
        """Wait until so many more messages are delivered."""
        enough = self.delivered + messages

        def is_enough() -> bool:
            self.check()
            return self.delivered >= enough

        wait_for(is_enough, _PATIENCE_S, f"{messages} more messages")

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            while not self._is_over.is_set():
                work()
        except Exception as fault:  # noqa: BLE001 - raised at the end
            self._faults.append(fault)

    def _come_anew(self) -> None:
        with self._greeted() as client:
            assert self._has_delivered(client, is_first=True)
            reply = client.command("QUIT")
            assert reply.code == 221, reply

    def _stay(self) -> None:
        with self._greeted() as client:
            is_first = True
            while not self._is_over.is_set() and self._has_delivered(client, is_first=is_first):
                is_first = False

    def _greeted(self) -> Client:
        client = Client.tcp(self._port())
        for reply in client.reply(), client.command("LHLO steady.example"):
            assert reply.code in (220, 250), reply
        return client

    def _has_delivered(self, client: Client, *, is_first: bool) -> bool:
        reply = client.command("MAIL FROM:<sender@example.net>")
        if reply.code == 421 and not is_first:
            assert client.is_closed_by_peer()
            with self._lock:
                self.turned_away += 1
            return False
        assert reply.code == 250, reply
        for line, code in ((f"RCPT TO:<{self._recipient}>", 250), ("DATA", 354)):
            reply = client.command(line)
            assert reply.code == code, reply
        # None like another, or one whose reply its client may not have heard would be a repetition.
        client.send(b"Subject: steady\r\n\r\n%d\r\n.\r\n" % next(self._numbers))
        reply = client.reply()
        assert reply.code == 250, reply
        with self._lock:
            self.delivered += 1
        return True
