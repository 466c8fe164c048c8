"""A load of mail that knows what it was promised, and the examination of the store afterwards.

Promises: a final reply is written down before anything else happens, so that what is written down
is what a client may rely on. Each message carries an id of its own and the digest of its body, so
that every file in new/ shows by itself whose it is and whether it is whole. A load sends no message
twice: whatever is in a mailbox twice was doubled by the server.

The replies are judged as they come: each has to name its own recipient, in the order of RCPT, and
the id in a 250 belongs to one transaction only. A reply that was said twice or to the wrong client
shifts all that follow, and so is noticed.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import NamedTuple

from tests.support.client import Client, Reply, stuffed
from tests.support.waiting import wait_for

SMALLEST_OCTETS = 4 * 1024
LARGEST_OCTETS = 1024 * 1024
MOST_RECIPIENTS = 10

_PIECE_OCTETS = 32 * 1024
_RECONNECT_S = 20.0

# No two stretches of it are alike, and some of its lines begin with a dot.
_RANDOM = base64.b64encode(Random(0).randbytes(LARGEST_OCTETS), altchars=b"./")
_TEXT = b"".join(line + b"\r\n" for line in re.findall(rb".{76}", _RANDOM))
_LINE_OCTETS = 78

_FIELD = re.compile(rb"^X-Load: (\S+) ([0-9a-f]{64})$", re.M)
_SIZE_IN_NAME = re.compile(r",S=(\d+)")
_DELIVERY_ID = re.compile(r"\bid ([0-9a-zA-Z]+)")


class Answer(NamedTuple):
    """The final reply to one recipient of one message."""

    letter: str
    recipient: str
    code: int


@dataclass
class Record:
    """What was sent, what was answered; it may outlive several loads and servers."""

    routes: dict[str, tuple[str, ...]]
    """Which mailboxes the mail to each recipient is to reach."""
    letters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The recipients of each message."""
    answers: list[Answer] = field(default_factory=list)
    """Every final reply that a client has read."""
    faults: list[str] = field(default_factory=list)
    """Replies that should not have been said, in words."""
    delivery_ids: dict[str, str] = field(default_factory=dict)
    """The message that each id in a 250 was said of."""

    def promises(self) -> set[tuple[str, str]]:
        """Message and mailbox of every copy that has to be there."""
        return {
            (letter, mailbox)
            for letter, recipient, code in self.answers
            if code == 250
            for mailbox in self.routes[recipient]
        }

    def addressees(self, letter: str) -> set[str]:
        """Every mailbox in which a message may be."""
        recipients = self.letters[letter]
        return {mailbox for recipient in recipients for mailbox in self.routes[recipient]}


@dataclass
class Findings:
    """What the store holds against the promise, in words."""

    lost: list[str] = field(default_factory=list)
    """Acknowledged, and not there."""
    torn: list[str] = field(default_factory=list)
    """In new/, and not what was sent."""
    doubled: list[str] = field(default_factory=list)
    """There more than once."""
    strayed: list[str] = field(default_factory=list)
    """In a mailbox that it was not sent to."""

    def __bool__(self) -> bool:
        return any((self.lost, self.torn, self.doubled, self.strayed))


def examine(root: Path, record: Record) -> Findings:
    """Compare what lies in every new/ below a store's root with what was promised."""
    findings = Findings()
    found: Counter[tuple[str, str]] = Counter()
    for file in sorted(root.glob("*/*/new/*")):
        mailbox = f"{file.parts[-3]}@{file.parts[-4]}"
        letter = letter_in(file)
        if letter is None:
            findings.torn.append(f"{mailbox}: {file.name}, {file.stat().st_size} octets")
            continue
        found[letter, mailbox] += 1
        if mailbox not in record.addressees(letter):
            findings.strayed.append(f"{mailbox}: {letter}")
    findings.doubled.extend(
        f"{place}: {count} times" for place, count in found.items() if count > 1
    )
    findings.lost.extend(f"{place}" for place in sorted(record.promises() - set(found)))
    return findings


def letter_in(file: Path) -> str | None:
    """The id of the message in a file; None if it is not whole."""
    octets = file.read_bytes()
    header, _, body = octets.partition(b"\n\n")
    match = _FIELD.search(header)
    size = _SIZE_IN_NAME.search(file.name)
    if match is None or hashlib.sha256(body).hexdigest().encode() != match[2]:
        return None
    if size and int(size[1]) != len(octets):
        return None
    return match[1].decode()


def outside_of_mailboxes(root: Path) -> list[str]:
    """Files of a store that lie neither in a new/ nor in a tmp/: there should be none."""
    return [
        str(file.relative_to(root))
        for file in root.rglob("*")
        if not file.is_dir() and file.parent.name not in ("new", "tmp")
    ]


def compose(letter: str, size: int, start: int = 0) -> bytes:
    """A message with its id, of about this size; `start` chooses where in our text it begins."""
    first = start % (len(_TEXT) // _LINE_OCTETS) * _LINE_OCTETS
    length = max(1, size // _LINE_OCTETS) * _LINE_OCTETS
    body = (_TEXT[first : first + length] + _TEXT)[:length]
    digest = hashlib.sha256(body.replace(b"\r\n", b"\n")).hexdigest()
    header = f"From: load@example.net\r\nSubject: {letter}\r\nX-Load: {letter} {digest}\r\n\r\n"
    return header.encode() + body


def greeted(port: int) -> Client:
    """A connection that has said LHLO.

    ConnectionError if the server is not there, or is about to leave.
    """
    client = Client.tcp(port)
    try:
        for reply in client.reply(), client.command("LHLO load.example.net"):
            if reply.code not in (220, 250):
                raise ConnectionAbortedError(str(reply))
    except BaseException:
        client.close()
        raise
    return client


def announce(client: Client, record: Record, letter: str, recipients: Sequence[str]) -> list[str]:
    """MAIL, RCPT and DATA in one piece; the accepted recipients, none if there is to be no body."""
    record.letters[letter] = tuple(recipients)
    commands = ["MAIL FROM:<load@example.net>", *(f"RCPT TO:<{one}>" for one in recipients), "DATA"]
    client.send("".join(f"{command}\r\n" for command in commands).encode())
    said = _heard(client, record, letter)
    if said.code != 250:
        record.faults.append(f"{letter}: MAIL was answered {said}")
    accepted = []
    for recipient in recipients:
        said = _heard(client, record, letter, recipient)
        if said.code == 250:
            accepted.append(recipient)
    said = _heard(client, record, letter)
    if (said.code == 354) != bool(accepted):
        record.faults.append(f"{letter}: DATA after {len(accepted)} recipients: {said}")
    if not accepted:
        client.send(b"RSET\r\n")
        _heard(client, record, letter)
    return accepted


def finish(
    client: Client,
    record: Record,
    letter: str,
    accepted: Sequence[str],
    octets: bytes,
    at_each_event: Callable[[], None] = lambda: None,
) -> list[Answer]:
    """The body, and the final replies, each written down as soon as it is read."""
    wire = stuffed(octets)
    for start in range(0, len(wire), _PIECE_OCTETS):
        client.send(wire[start : start + _PIECE_OCTETS])
        at_each_event()
    answers = []
    for recipient in accepted:
        reply = client.reply()
        answer = Answer(letter, recipient, reply.code)
        record.answers.append(answer)
        at_each_event()
        answers.append(answer)
        _judge(reply, record, letter, recipient)
        if reply.code == 250:
            _judge_id(reply, record, letter)
    return answers


def _heard(client: Client, record: Record, letter: str, recipient: str = "") -> Reply:
    reply = client.reply()
    _judge(reply, record, letter, recipient)
    return reply


def _judge(reply: Reply, record: Record, letter: str, recipient: str) -> None:
    """Whether it is the reply that was due. A 421 may come in place of any: the server leaves."""
    if reply.code == 421:
        raise ConnectionAbortedError(str(reply))
    if recipient and f"<{recipient}>" not in reply.text:
        record.faults.append(f"{letter}: said in the place of {recipient}: {reply}")


def _judge_id(reply: Reply, record: Record, letter: str) -> None:
    match = _DELIVERY_ID.search(reply.text)
    if match is None:
        record.faults.append(f"{letter}: a 250 without an id: {reply}")
    elif record.delivery_ids.setdefault(match[1], letter) != letter:
        record.faults.append(f"{letter}: the id of {record.delivery_ids[match[1]]}: {reply}")


class Trigger:
    """Does something once, at the n-th of many events, on the thread that the event comes on."""

    def __init__(self, at: int, action: Callable[[], None]) -> None:
        self._at = at
        self._action = action
        self._numbers = itertools.count(1)
        self._is_over = threading.Event()

    def __call__(self) -> None:
        """An event."""
        if next(self._numbers) == self._at:
            self._action()
            self._is_over.set()

    @property
    def is_over(self) -> bool:
        """Whether it is done."""
        return self._is_over.is_set()


class Load:
    """Clients that send mail, each on a connection of its own, until they are told to stop.

    `at_start` is called on each client's thread before all else, `at_each_event` after every piece
    of a message that was sent and every final reply that was written down. A client whose
    connection is lost makes another one and goes on with the next message. The end of the `with`
    block stops and joins.
    """

    def __init__(
        self,
        port: int,
        record: Record,
        seed: str,
        connections: int,
        at_each_event: Callable[[], None] = lambda: None,
        at_start: Callable[[], None] = lambda: None,
    ) -> None:
        self._port = port
        self._record = record
        self._seed = seed
        self._at_each_event = at_each_event
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(connections, initializer=at_start)
        self._clients: list[Future[None]] = []
        self._connections = connections

    def __enter__(self) -> Load:
        self._clients = [self._pool.submit(self._run, n) for n in range(self._connections)]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._pool.shutdown()
        if error is None:
            self.join()

    def wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait for something that the load brings about; a client's failure ends the wait."""
        wait_for(lambda: condition() or self._raised(), timeout_s, what)

    def stop(self) -> None:
        """Begin no further message."""
        self._stopping.set()

    def join(self) -> None:
        """Wait until each client has read what it was owed; what went wrong in it is raised."""
        for client in self._clients:
            client.result()

    def _raised(self) -> bool:
        for client in self._clients:
            if client.done():
                client.result()
        return False

    def _run(self, number: int) -> None:
        chance = Random(f"{self._seed}/{number}")
        count = 0
        while not self._stopping.is_set():
            client = wait_for(self._connected, _RECONNECT_S, f"a greeting on port {self._port}")
            if not isinstance(client, Client):
                return
            try:
                with client:
                    while not self._stopping.is_set():
                        count += 1
                        self._send(client, f"{self._seed}/{number}/{count}", chance)
            except ConnectionError:
                continue

    def _connected(self) -> Client | bool:
        """A client; False if the server is not there now, True if there is nothing more to do."""
        if self._stopping.is_set():
            return True
        try:
            return greeted(self._port)
        except ConnectionError:
            return False

    def _send(self, client: Client, letter: str, chance: Random) -> None:
        recipients = chance.sample(sorted(self._record.routes), chance.randint(1, MOST_RECIPIENTS))
        # As many small messages as large ones: the logarithm of the size is evenly spread.
        spread = math.log(LARGEST_OCTETS / SMALLEST_OCTETS)
        size = int(SMALLEST_OCTETS * math.exp(chance.uniform(0, spread)))
        octets = compose(letter, size, chance.randrange(1 << 20))
        accepted = announce(client, self._record, letter, recipients)
        if accepted:
            finish(client, self._record, letter, accepted, octets, self._at_each_event)
