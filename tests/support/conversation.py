"""A client to whom all is granted, and the dialogue alone: no session, no socket, no mailbox.

The one exception is `nobody`, whose mail is not taken and who is no recipient.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lmtpd.protocol import events, replies
from lmtpd.protocol.dialogue import NEED_DATA, Dialogue
from lmtpd.protocol.events import Chunk, EndOfChunk, EndOfData, Event, Gone, Refused
from lmtpd.protocol.extensions import Extensions
from lmtpd.protocol.limits import Limits
from lmtpd.protocol.reply import Reply
from tests.support.usual_replies import USUAL_REPLIES

HANDSHAKE = b"\x16"
"""The first octet of a TLS record with one (RFC 8446 5.1); for `converse`, all of the handshake."""


def answer(event: Event) -> Reply:
    """What is said to it."""
    match event:
        case Refused(reply):
            return reply
        case events.RcptTo(address) if address.local == "nobody":
            return replies.UNKNOWN_RECIPIENT
        case events.MailFrom(reverse_path) if reverse_path.startswith("nobody@"):
            return replies.STORAGE_LOW
        case EndOfData(is_too_large=True):
            return replies.TOO_LARGE
        case EndOfData(has_lost_chunk=has_lost):
            return replies.CHUNK_LOST if has_lost else replies.DELIVERED
    return USUAL_REPLIES[type(event)]


class Conversation:
    """A dialogue that is greeted and answered; it keeps what was heard and said."""

    def __init__(
        self,
        limits: Limits,
        extensions: Extensions | None = None,
        *,
        under_tls: bool = False,
        needs_tls: bool = False,
        kind: type[Dialogue] = Dialogue,
        answers: Iterable[Reply] | None = None,
    ) -> None:
        """One that says so in their order; the usual replies if no answers are given."""
        self.dialogue = kind(
            limits, extensions or Extensions(), under_tls=under_tls, needs_tls=needs_tls
        )
        self.dialogue.send(replies.GREETING)
        self.events: list[Event] = []
        self.said: list[Reply] = []
        self.awaits_handshake = False
        self._answers = None if answers is None else iter(answers)

    def hear(self, octets: bytes) -> tuple[Reply, ...]:
        """Take octets of the client, answer all that they say, and give these answers."""
        before = len(self.said)
        self.dialogue.receive(octets)
        while self.dialogue.is_open and not self.awaits_handshake:
            event = self.dialogue.next_event()
            if event is NEED_DATA:
                break
            self.take(event)
            if isinstance(event, Gone):
                break
        return tuple(self.said[before:])

    def take(self, event: Event) -> None:
        """Keep it, and pay what is owed for it."""
        self.events.append(event)
        assert (self.dialogue.owed == 0) is isinstance(event, Chunk | Gone)
        while self.dialogue.owed:
            self.say(answer(event) if self._answers is None else next(self._answers))
        if isinstance(event, events.StartTls):
            self.awaits_handshake = self.said[-1].is_success

    def say(self, reply: Reply) -> None:
        """A reply that is owed."""
        assert self.dialogue.send(reply) == reply.encode()
        self.said.append(reply)

    def shake_hands(self) -> None:
        """Both go on under TLS."""
        self.dialogue.tls_started()
        self.awaits_handshake = False

    @property
    def content(self) -> bytes:
        """What was given of messages."""
        return b"".join(event.data for event in self.events if isinstance(event, Chunk))

    @property
    def essence(self) -> list[Event]:
        """The events with the pieces of each text joined.

        A text that is too large, lacks a chunk or never ended is left out: how much of it is given
        depends on when it came, and nothing of it is delivered.
        """
        joined: list[Event] = []
        text: list[bytes] = []
        for event in self.events:
            if isinstance(event, Chunk):
                text.append(event.data)
                continue
            is_whole = isinstance(event, EndOfChunk) or event == EndOfData()
            if text and is_whole:
                joined.append(Chunk(b"".join(text)))
            text.clear()
            joined.append(event)
        return joined


def cut(octets: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """Pieces of these sizes, then what is left."""
    left = iter(sizes)
    while octets:
        size = next(left, len(octets))
        yield octets[:size]
        octets = octets[size:]


def lead(conversation: Conversation, octets: bytes, sizes: Iterable[int] = ()) -> None:
    """All that a client says, in pieces of these sizes and then the rest; then it leaves.

    Where STARTTLS was granted, HANDSHAKE stands for the handshake: what is before it was said in
    clear too early, in whatever pieces, and what is behind it is said under TLS.
    """
    left = iter(sizes)
    for number, part in enumerate(octets.split(HANDSHAKE)):
        is_secured = conversation.awaits_handshake
        if is_secured:
            conversation.shake_hands()
        for piece in cut(part if is_secured or not number else HANDSHAKE + part, left):
            if conversation.awaits_handshake:
                conversation.dialogue.receive(piece)
            else:
                conversation.hear(piece)
    if conversation.awaits_handshake:
        conversation.shake_hands()
    conversation.hear(b"")
