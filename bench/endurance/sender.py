"""Senders: clients that hand over letters as MTAs do, each in its own manner.

Promises: a letter that is deferred, or that got no reply, waits in the sender's queue and is sent
again to those recipients alone until each has had a 250. What is heard goes to the ledger at once.
A sender that is told to finish begins no new letter, and ends when its queue is empty.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from bench.endurance.ledger import Ledger
from tests.support.client import Client, Reply, stuffed
from tests.support.load import compose

MOST_WAITING = 20
"""Letters in the queue of one sender; then it begins no new ones."""
_AGAIN_S = (0.5, 3.0)
_TURN_S = 0.05
_KEPT_LETTERS = 200
_PIECE_OCTETS = 32 * 1024
_REFUSED_S = 0.2


@dataclass(frozen=True, slots=True)
class Habit:
    """The manner of some senders."""

    name: str
    senders: int
    recipients: tuple[int, int] = (1, 3)
    octets: tuple[int, int] = (500, 16_000)
    pause_s: float = 0.15
    """Between letters, on average."""
    is_kept: bool = True
    """The connection is used for many letters."""
    is_tls: bool = False
    hangs_up: bool = False
    """Often without waiting for the final replies, and sends the letter again then."""
    vanishes: bool = False
    """Always, in mid-text."""
    is_probe: bool = False
    """It only asks, also for recipients that do not exist."""


HABITS = (
    Habit("a connection each", 4, is_kept=False),
    Habit("a connection each, TLS", 2, is_kept=False, is_tls=True),
    Habit("kept", 6, pause_s=0.1),
    Habit("kept, TLS", 3, is_tls=True),
    Habit("many recipients", 2, recipients=(20, 50), pause_s=0.6),
    Habit("large", 2, octets=(250_000, 1_000_000), pause_s=0.6),
    Habit("vanishing in mid-text", 2, octets=(500, 400_000), is_kept=False, vanishes=True),
    Habit("hanging up behind the dot", 2, is_kept=False, hangs_up=True),
    Habit("probes", 2, is_probe=True),
)


class TurnedAwayError(Exception):
    """A 421: we shall come again."""


@dataclass(slots=True)
class _Letter:
    name: str
    recipients: tuple[str, ...]
    octets: int
    start: int
    due: float = 0.0


class Sender(threading.Thread):
    """One client, on a thread of its own."""

    def __init__(
        self,
        habit: Habit,
        number: int,
        port: int,
        recipients: Sequence[str],
        unknown: str,
        tls: ssl.SSLContext,
        ledger: Ledger,
        seed: str,
    ) -> None:
        """A sender that does not run yet.

        Args:
            habit: how it goes about it.
            number: which of those with this habit.
            port: of the server, on the loopback.
            recipients: addresses that exist.
            unknown: one that does not.
            tls: for STARTTLS.
            ledger: is told what is heard.
            seed: of chance.
        """
        super().__init__(name=f"{habit.name} {number}")
        self._habit = habit
        self._port = port
        self._recipients = recipients
        self._unknown = unknown
        self._tls = tls
        self._ledger = ledger
        self._chance = Random(f"{seed}/{habit.name}/{number}")  # noqa: S311 - not for secrets
        self._mark = f"{habit.name.replace(' ', '-').replace(',', '')}/{number}"
        self._count = 0
        self._queue: list[_Letter] = []
        self._is_finishing = threading.Event()
        self._is_given_up = threading.Event()

    def finish(self) -> None:
        """Begin no new letter."""
        self._is_finishing.set()

    def give_up(self) -> None:
        """End, whatever still waits."""
        self._is_given_up.set()
        self._is_finishing.set()

    def run(self) -> None:
        """Connect and send, until there is nothing more to do."""
        while not self._is_done:
            since = time.monotonic()
            try:
                client = Client.tcp(self._port)
            except OSError as error:
                self._ledger.ends(self._habit.name, "not connected", since, error)
                time.sleep(_REFUSED_S)
                continue
            self._use(client, since)

    @property
    def _is_done(self) -> bool:
        is_idle = self._is_finishing.is_set() and not self._queue
        return is_idle or self._is_given_up.is_set()

    def _use(self, client: Client, since: float) -> None:
        try:
            with client:
                self._greet(client)
                for _ in range(_KEPT_LETTERS if self._habit.is_kept else 1):
                    if self._is_done or not self._turn(client):
                        break
                else:
                    self._expect(client.command("QUIT"), 221, "QUIT")
        except TurnedAwayError:
            pass
        except TimeoutError as error:
            self._ledger.ends(self._habit.name, "silence", since, error)
        except OSError as error:
            self._ledger.ends(self._habit.name, "lost", since, error)

    def _turn(self, client: Client) -> bool:
        """One letter or probe; whether the connection can be used further."""
        self._is_finishing.wait(self._chance.uniform(0, 2 * self._habit.pause_s))
        if self._habit.is_probe:
            self._probe(client)
            return True
        letter = self._next_letter()
        if letter is None:
            time.sleep(_TURN_S)
            return True
        return self._send(client, letter)

    def _next_letter(self) -> _Letter | None:
        """One that is due, or a new one."""
        for place, letter in enumerate(self._queue):
            if letter.due <= time.monotonic():
                return self._queue.pop(place)
        if self._is_finishing.is_set() or len(self._queue) >= MOST_WAITING:
            return None
        self._count += 1
        recipients = self._chance.sample(
            self._recipients, self._chance.randint(*self._habit.recipients)
        )
        letter = _Letter(
            f"{self._mark}/{self._count}",
            tuple(recipients),
            self._chance.randint(*self._habit.octets),
            self._chance.randrange(1 << 20),
        )
        self._ledger.sends(letter.name, recipients)
        if self._habit.vanishes:
            self._ledger.vanishes(letter.name)
        return letter

    # The dialogue.

    def _greet(self, client: Client) -> None:
        self._expect(client.reply(), 220, "the connection")
        self._expect(client.command("LHLO soak.example.net"), 250, "LHLO")
        if self._habit.is_tls:
            self._expect(client.command("STARTTLS"), 220, "STARTTLS")
            client.start_tls(self._tls)
            self._expect(client.command("LHLO soak.example.net"), 250, "LHLO")

    def _send(self, client: Client, letter: _Letter) -> bool:
        left = list(letter.recipients)
        try:
            accepted = self._announce(client, letter)
            if not accepted:
                return True
            wire = stuffed(compose(letter.name, letter.octets, letter.start))
            if self._habit.vanishes:
                self._vanish(client, wire)
                return False
            return self._hand_over(client, letter, wire, accepted, left)
        finally:
            if left and not self._habit.vanishes:
                letter.recipients = tuple(left)
                letter.due = time.monotonic() + self._chance.uniform(*_AGAIN_S)
                self._queue.append(letter)

    def _announce(self, client: Client, letter: _Letter) -> list[str]:
        """MAIL, RCPT and DATA in one piece; the recipients that were accepted."""
        paths = [f"RCPT TO:<{one}>" for one in letter.recipients]
        commands = ["MAIL FROM:<soak@example.net>", *paths, "DATA"]
        client.send("".join(f"{command}\r\n" for command in commands).encode())
        mail = self._heard(client)
        self._ledger.hears(self._habit.name, "MAIL", mail, letter.name)
        accepted = []
        for recipient in letter.recipients:
            reply = self._heard(client)
            if mail.code != 250:
                continue  # 503, for there is no transaction
            self._ledger.hears(self._habit.name, "RCPT", reply, f"{letter.name}: {recipient}")
            if reply.code == 250:
                accepted.append(recipient)
        data = self._heard(client)
        if (data.code == 354) != bool(accepted):
            self._ledger.fault(f"{letter.name}: DATA after {len(accepted)} recipients: {data}")
        if not accepted:
            self._expect(client.command("RSET"), 250, "RSET")
        return accepted

    def _hand_over(
        self,
        client: Client,
        letter: _Letter,
        wire: bytes,
        accepted: Sequence[str],
        left: list[str],
    ) -> bool:
        owed = list(accepted)
        pieces = [wire[at : at + _PIECE_OCTETS] for at in range(0, len(wire), _PIECE_OCTETS)]
        for piece in pieces[:-1]:
            client.send(piece)
        try:
            client.send(pieces[-1])
            if self._habit.hangs_up and self._chance.random() < 0.5:
                return False
            for recipient in accepted:
                reply = self._heard(client)
                owed.remove(recipient)
                self._ledger.hears_final(self._habit.name, letter.name, recipient, reply)
                if reply.code == 250:
                    left.remove(recipient)
        except TurnedAwayError as error:
            self._ledger.fault(f"{letter.name}: in the place of a final reply: {error}")
            raise
        finally:
            self._ledger.hears_nothing(letter.name, owed)
        return True

    def _vanish(self, client: Client, wire: bytes) -> None:
        """Behind some of the text; now and then with a reset."""
        client.send(wire[: self._chance.randrange(len(wire) - 5)])
        if self._chance.random() < 0.5:
            reset_on_close(client)

    def _probe(self, client: Client) -> None:
        known = self._chance.choice(self._recipients)
        mail = client.command("MAIL FROM:<>")
        self._ledger.hears(self._habit.name, "MAIL", self._checked(mail), "a probe")
        if mail.code != 250:
            return
        reply = self._checked(client.command(f"RCPT TO:<{known}>"))
        self._ledger.hears(self._habit.name, "RCPT", reply, known)
        reply = self._checked(client.command(f"RCPT TO:<{self._unknown}>"))
        if reply.code not in (450, 451, 550):
            self._ledger.fault(f"a probe: RCPT of somebody unknown was answered {reply}")
        self._expect(client.command("RSET"), 250, "RSET")

    def _heard(self, client: Client) -> Reply:
        return self._checked(client.reply())

    def _checked(self, reply: Reply) -> Reply:
        if reply.code == 421:
            self._ledger.is_turned_away(reply)
            raise TurnedAwayError(str(reply))
        return reply

    def _expect(self, reply: Reply, code: int, step: str) -> None:
        if self._checked(reply).code != code:
            self._ledger.fault(f"{self._mark}: {step} was answered {reply}")


def reset_on_close(client: Client) -> None:
    """Let the kernel send a reset in the place of an orderly end."""
    with socket.socket(fileno=client.fileno()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.detach()
