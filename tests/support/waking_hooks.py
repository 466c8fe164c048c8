"""A recipient hook of the tests that waits until somebody else asks it: each domain in its own way.

Names are taken out of their modules here, at the top: what was imported before gevent's patch would
wait for real, and nobody could wake it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Queue
from select import select
from socket import socketpair
from threading import Condition, Event, Lock
from time import sleep

from lmtpd.protocol.address import Address
from lmtpd.recipients.verdict import RcptContext, Verdict


class Waking:
    """Asked for anybody it waits; asked for `wake` it wakes the one who waits in that domain."""

    negative_ttl_s = 0

    def __init__(self, config: object) -> None:
        self.config = config
        self.is_asleep = self.is_awake = False
        self.event = Event()
        self.lock = Lock()
        self.lock.acquire()
        self.condition = Condition()
        self.queue: Queue[None] = Queue()
        self.ours, self.theirs = socketpair()

    def verify(self, address: Address, _: RcptContext) -> Verdict | None:
        """Accept whoever was woken, and who woke him."""
        if address.local == "wake":
            self.wake()
        else:
            self.is_asleep = True
            WAYS[address.domain](self)
        return Verdict.accept(address.mailbox)

    def wake(self) -> None:
        """However he waits, once he does."""
        while not self.is_asleep:
            time.sleep(0.01)
        self.is_awake = True
        self.event.set()
        self.lock.release()
        with self.condition:
            self.condition.notify()
        self.queue.put(None)
        self.theirs.send(b"!")

    def sleep_by_module(self) -> None:
        while not self.is_awake:
            time.sleep(0.01)

    def sleep_by_name(self) -> None:
        while not self.is_awake:
            sleep(0.01)

    def wait_for_condition(self) -> None:
        with self.condition:
            self.condition.wait_for(lambda: self.is_awake)

    def join_thread(self) -> None:
        thread = threading.Thread(target=self.sleep_by_name)
        thread.start()
        thread.join()


WAYS: dict[str, Callable[[Waking], object]] = {
    "time-sleep.example": Waking.sleep_by_module,
    "sleep.example": Waking.sleep_by_name,
    "event.example": lambda hook: hook.event.wait(),
    "lock.example": lambda hook: hook.lock.acquire(),
    "condition.example": Waking.wait_for_condition,
    "queue.example": lambda hook: hook.queue.get(),
    "recv.example": lambda hook: hook.ours.recv(1),
    "select.example": lambda hook: select([hook.ours], [], []),
    "thread.example": Waking.join_thread,
}
