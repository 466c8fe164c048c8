"""Mail from several connections at one time, each final reply noted with the call it came after.

What servers lose: Maildirs and domains that nobody has made yet, or that an administrator made a
moment ago and nobody has fsynced; two deliveries that make the same directory; lists; many
recipients; a message that is too large for memory.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from tests.support.client import Client, Reply, stuffed
from tests.support.messages import as_stored
from tests.support.promises import Promise

_MAILBOXES = 10
_LARGE_OCTETS = 300 * 1024
_PATIENCE_S = 60.0
_LARGE_EVERY = 5
_NEW_CONNECTION_EVERY = 4

Count = Callable[[], int]


def message(token: str, octets: int = 1000) -> bytes:
    """A message that no other is the end of, with lines that have to be stuffed."""
    head = f"Message-ID: <{token}@client.example>\r\nSubject: {token}\r\n\r\n.{token}\r\n"
    line = f"..and so on, says {token}\r\n"
    return (head + line * (octets // len(line))).encode()


class Connection:
    """One client that notes what it was promised."""

    def __init__(self, port: int, count: Count) -> None:
        self.promises: list[Promise] = []
        self._count = count
        self._client = Client.tcp(port)
        assert self._client.reply().code == 220
        assert self._client.command("LHLO client.example").code == 250

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def rcpt(self, address: str) -> Reply:
        """A probe: the reply to RCPT, and nothing left of the transaction."""
        assert self._client.command("MAIL FROM:<sender@example.net>").code == 250
        reply = self._client.command(f"RCPT TO:<{address}>")
        assert self._client.command("RSET").code == 250
        return reply

    def deliver(
        self,
        recipients: Sequence[str],
        content: bytes,
        members: Callable[[str], Sequence[str]] = lambda recipient: [recipient],
    ) -> dict[str, Reply]:
        """Send one message, pipelined; the last reply to each recipient, of RCPT or final."""
        lines = ["MAIL FROM:<sender@example.net>", *(f"RCPT TO:<{one}>" for one in recipients)]
        self._client.send("".join(f"{line}\r\n" for line in [*lines, "DATA"]).encode())
        assert self._client.reply().code == 250
        replies = {one: self._client.reply() for one in recipients}
        taken = [one for one, reply in replies.items() if reply.code == 250]
        start = self._client.reply()
        assert start.code == (354 if taken else 503), start
        if taken:
            self._client.send(stuffed(content))
            for one in taken:
                replies[one] = self._client.reply()
                self._note(replies[one], members(one), as_stored(content))
        else:
            assert self._client.command("RSET").code == 250
        return replies

    def _note(self, reply: Reply, mailboxes: Sequence[str], stored: bytes) -> None:
        count = self._count()
        if reply.code == 250:
            self.promises += [Promise(count, mailbox, stored) for mailbox in mailboxes]


class Load:
    """Rounds of mail; in each, every client sends one message into the same new domain."""

    def __init__(self, clients: int, rounds: int) -> None:
        self._clients = clients
        self._rounds = rounds
        self._barrier = Barrier(clients)

    def table(self) -> str:
        """The table of recipients: all mailboxes, and a list in each domain."""
        return "".join(
            "".join(f"{one}\n" for one in _mailboxes(number))
            + f"{_list(number)} {', '.join(_members(_list(number)))}\n"
            for number in range(self._rounds)
        )

    def make_half(self, root: Path) -> None:
        """Make half of the mailboxes as an administrator would: mkdir, and no fsync."""
        for number in range(0, self._rounds, 2):
            for mailbox in _mailboxes(number):
                local, _, domain = mailbox.rpartition("@")
                (root / domain / local).mkdir(parents=True)

    def run(self, port: int, count: Count) -> list[Promise]:
        """Send it all; what was promised. Every recipient has to be served."""
        with ThreadPoolExecutor(self._clients) as pool:
            running = [pool.submit(self._client, one, port, count) for one in range(self._clients)]
            return [promise for one in running for promise in one.result()]

    def _client(self, client: int, port: int, count: Count) -> list[Promise]:
        promises: list[Promise] = []
        try:
            for first in range(0, self._rounds, _NEW_CONNECTION_EVERY):
                rounds = range(first, min(first + _NEW_CONNECTION_EVERY, self._rounds))
                with Connection(port, count) as connection:
                    for number in rounds:
                        self._round(client, number, connection)
                    promises += connection.promises
        except BaseException:
            self._barrier.abort()
            raise
        return promises

    def _round(self, client: int, number: int, connection: Connection) -> None:
        choice = random.Random(1000 * number + client)
        recipients = choice.sample(_mailboxes(number), choice.randint(1, _MAILBOXES))
        if client == number % self._clients:
            recipients = [_list(number)]
        large = number % _LARGE_EVERY == client
        content = message(f"c{client}r{number}", _LARGE_OCTETS if large else 1000)
        # At the same moment, so that they make the same directories.
        self._barrier.wait(_PATIENCE_S)
        replies = connection.deliver(recipients, content, _members)
        assert all(reply.code == 250 for reply in replies.values()), replies


def _mailboxes(number: int) -> list[str]:
    return [f"m{one}@r{number}.example" for one in range(_MAILBOXES)]


def _list(number: int) -> str:
    return f"all@r{number}.example"


def _members(recipient: str) -> list[str]:
    local, _, domain = recipient.partition("@")
    return (
        [f"m{one}@{domain}" for one in range(0, _MAILBOXES, 3)] if local == "all" else [recipient]
    )
