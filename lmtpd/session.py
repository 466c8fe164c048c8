"""Session: one connection, from the greeting to the close.

Events in, decisions out: each decision is another part's (the dialogue's, the verifier's, the
agent's); here they meet, and one line of the log is written for each final reply. It runs in any
kind of thread: whatever waits is behind a name in Services or Transport.
"""

from __future__ import annotations

import functools
import time
from dataclasses import replace

from .delivery.agent import Job, Outcome
from .delivery.message import Message
from .failures import DeliveryError, kept, told
from .patience import Patience
from .protocol import replies
from .protocol.address import Address
from .protocol.dialogue import NEED_DATA, Dialogue
from .protocol.envelope import BodyType, Envelope, Peer, Recipient, TlsInfo
from .protocol.events import (
    Chunk,
    Data,
    EndOfChunk,
    EndOfData,
    Event,
    Expand,
    Gone,
    Hello,
    Help,
    MailFrom,
    Noop,
    Quit,
    RcptTo,
    Refused,
    Reset,
    StartTls,
    Verify,
    XForward,
)
from .protocol.reply import Reply
from .recipients.verdict import RcptContext, Verdict
from .services import Services, Transport

_OUTBOX_OCTETS = 64 * 1024
"""Replies kept back for one write; more are sent at once, so that a flood fills no memory."""

_NO_ENVELOPE = Envelope("", "")
"""Between transactions; the dialogue sees to it that nobody looks."""


class Session:
    """The server's side of one connection."""

    __slots__ = (
        "_client_name",
        "_dialogue",
        "_envelope",
        "_fault",
        "_has_heard",
        "_has_just_delivered",
        "_message",
        "_original_client",
        "_outbox",
        "_patience",
        "_peer",
        "_refusal",
        "_services",
        "_tls",
        "_transport",
        "_unconfirmed",
        "_verifying",
        "is_new",
    )

    def __init__(
        self,
        transport: Transport,
        peer: Peer,
        services: Services,
        tls: TlsInfo | None = None,
        refusal: Reply | None = None,
        *,
        needs_tls: bool = False,
    ) -> None:
        """A session that has said nothing yet.

        Args:
            transport: the connection.
            peer: who is at its other end.
            services: what it may touch.
            tls: what was agreed on, if the connection began with a handshake.
            refusal: said in the place of the greeting, and all that is said (RFC 5321 3.1).
            needs_tls: nothing is to be had before STARTTLS.
        """
        self._transport = transport
        self._peer = peer
        self._services = services
        self._tls = tls
        self._refusal = refusal
        self._dialogue = Dialogue(
            services.limits,
            services.extensions,
            under_tls=tls is not None,
            needs_tls=needs_tls,
        )
        self._patience = Patience(services.limits)
        self._outbox = bytearray()
        self._client_name = ""
        self._original_client: dict[str, str] = {}
        self._envelope = _NO_ENVELOPE
        self._verifying = 0.0
        self._message: Message | None = None
        self._fault: Exception | None = None
        self._unconfirmed: tuple[bytes, ...] = ()
        self._has_just_delivered = False
        self.is_new = True
        """It has had no transaction to its end."""
        self._has_heard = tls is not None

    @property
    def is_between_transactions(self) -> bool:
        """Nothing would be lost if the connection ended now."""
        return self._dialogue.is_between_transactions

    @property
    def is_idle(self) -> bool:
        """Between transactions, and neither about to QUIT after one nor to begin its first.

        OpenSMTPD delivers again what was acknowledged if its QUIT gets 421, and Postfix, which has
        a new connection for one that it kept, defers mail if a new one gets it.
        """
        return self.is_between_transactions and not self._has_just_delivered and not self.is_new

    def run(self) -> None:
        """Serve the connection to its end; never raises what the peer or the disk caused."""
        try:
            self._greet()
            self._converse()
        except TimeoutError:
            reply = self._patience.last_words
            self._note_cut_off(reply)
            self._part(reply)
        except OSError as error:
            if self._has_heard:  # else it only looked whether we are there, and nothing is lost
                self._services.log.line("connection-lost", peer=self._peer, cause=told(error))
        except Exception as error:  # noqa: BLE001 - a bug must cost one connection, not the server
            self._services.log.line("session-failed", peer=self._peer, cause=told(error))
            self._part(replies.SESSION_FAILED)
        finally:
            self._abandon()
            self._forget()
            self._transport.close(has_quit=self._dialogue.has_quit)

    def _greet(self) -> None:
        refusal = self._refusal or self._certificate_refusal()
        if refusal:
            self._say(refusal)
            return
        self._services.name_of(self._peer.address)  # begins to look, for Received
        self._say(self._introducing(replies.GREETING))

    def _converse(self) -> None:
        dialogue = self._dialogue
        while dialogue.is_open:
            event = dialogue.next_event()
            if event is NEED_DATA:
                self._listen()
            elif not isinstance(event, Gone):
                if not isinstance(event, Chunk):
                    self._patience.restart()
                if self._is_to_part(event):
                    self._say(replies.SHUTTING_DOWN)
                else:
                    self._handle(event)
            elif self._services.is_stopping():
                self._say(replies.SHUTTING_DOWN)
            else:
                return
        self._flush()

    def _is_to_part(self, event: Event) -> bool:
        """Whether nothing more is to be begun: a client that never pauses is told so as well."""
        return (
            isinstance(event, (MailFrom, Reset, Noop, Hello))
            and self._services.is_stopping()
            and not (self._dialogue.is_in_transaction or self._has_just_delivered or self.is_new)
        )

    def _listen(self) -> None:
        """All that was received is dealt with: send the replies together, then wait."""
        self._flush()
        if self._services.is_stopping() and self.is_idle:
            self._say(replies.SHUTTING_DOWN)
        else:
            if self._dialogue.is_in_text:
                self._transport.acknowledge_at_once()
            data = self._transport.recv(
                self._patience.left_s(
                    is_in_content=self._dialogue.is_in_content,
                    is_in_transaction=self._dialogue.is_in_transaction,
                )
            )
            if data:
                self._confirm()
                self._has_just_delivered = False
                self._has_heard = True
            self._dialogue.receive(data)

    def _handle(self, event: Event) -> None:
        match event:
            case RcptTo():
                self._add_recipient(event)
            case Chunk(data):
                self._take(data)
            case EndOfData():
                self._end_data(event)
            case MailFrom():
                self._begin(event)
            case Hello(name):
                self._forget()
                self._client_name = name
                self._say(self._introducing(replies.HELLO, *self._dialogue.keywords))
            case StartTls():
                self._start_tls()
            case Verify(address):
                self._say(self._vrfy(address))
            case Expand(address, smtputf8):
                self._say(self._expn(address, smtputf8=smtputf8))
            case XForward(attributes):
                self._original_client.update(attributes)
                self._say(replies.XFORWARD_OK)
            case Reset():
                self._forget()
                self._say(replies.RESET)
            case Refused(reply):
                self._say(reply)
                if not self._dialogue.is_open:
                    self._note_cut_off(reply)
            case _:
                self._say(_FIXED_REPLIES[type(event)])

    # One transaction.

    def _begin(self, mail: MailFrom) -> None:
        refusal = self._services.room.refusal(mail.size)
        if refusal:
            self._services.record.no_room(mail, self._peer, refusal)
            self._say(refusal)
            return
        self._envelope = Envelope(
            id=self._services.new_id(),
            reverse_path=mail.reverse_path,
            body=mail.body,
            smtputf8=mail.smtputf8,
            client_name=self._client_name,
            tls=self._tls,
        )
        self._say(replies.MAIL_OK)

    def _add_recipient(self, rcpt: RcptTo) -> None:
        envelope = self._envelope
        address = rcpt.address.in_domain(self._services.default_domain)
        context = RcptContext(self._peer, envelope.reverse_path)
        begun = time.perf_counter()
        verdict = self._services.verifier.verify(address, context)
        took = time.perf_counter() - begun
        self._services.meter.verification.add(took)
        self._verifying += took
        judged, cause = self._judge(verdict)
        reply = judged.about(address)
        if reply.is_success:
            recipient = Recipient(address, verdict.mailboxes, rcpt.original)
            envelope.recipients.append(recipient)
            envelope.copies += len(recipient.mailboxes)
        else:
            self._services.record.refused(envelope, self._peer, address, reply, cause)
        self._say(reply)

    def _judge(self, verdict: Verdict) -> tuple[Reply, str]:
        """The reply to a recipient, less the address, and the cause if it is no success."""
        count, most = len(verdict.mailboxes), self._services.limits.copies
        if count > most:
            return replies.OUT_OF_RESOURCES, f"{count} mailboxes: {most} fit into LimitNOFILE"
        if count and self._envelope.copies + count > most:
            return replies.TOO_MANY_RECIPIENTS, ""
        if any(map(self._services.stuck.holds, verdict.mailboxes)):
            return replies.MAILBOX_STUCK, ""
        return verdict.reply(), verdict.reason

    def _take(self, data: bytes) -> None:
        """Keep a piece of the message. After a fault the rest is read and thrown away."""
        if self._fault:
            return
        if self._message is None:
            self._message = self._new_message()
        self._message.append(data)
        if self._message.is_full:
            try:
                self._services.write_out(self._message, self._message.spill)
            except (OSError, DeliveryError) as error:
                self._fault = kept(error)
                self._message.close()
                self._message = None

    def _end_data(self, end: EndOfData) -> None:
        envelope, begun = self._envelope, time.perf_counter()
        outcomes = self._outcomes(envelope, end)
        took = time.perf_counter() - begun
        self._services.meter.delivery.add(took)
        # What a client says before it hears the reply, a QUIT behind the dot, proves nothing.
        self._unconfirmed = tuple(one.key for one in outcomes if one.key)
        if self._dialogue.has_input or self._transport.has_input():
            self._abandon()
        self._has_just_delivered, self.is_new = True, False
        self._services.record.ended(
            envelope,
            self._peer,
            self._original_client,
            outcomes,
            self._message.size if self._message else 0,
            self._verifying,
            took,
        )
        for outcome in outcomes:
            self._say(outcome.reply)
        self._forget()

    def _confirm(self) -> None:
        """The client goes on, so it has heard the final replies."""
        for key in self._unconfirmed:
            self._services.unconfirmed.confirm(key)
        self._unconfirmed = ()

    def _abandon(self) -> None:
        """Whether it has heard them will not be known."""
        for key in self._unconfirmed:
            self._services.unconfirmed.abandon(key)
        self._unconfirmed = ()

    def _outcomes(self, envelope: Envelope, end: EndOfData) -> tuple[Outcome, ...]:
        agent, recipients = self._services.agent, envelope.recipients
        if end.is_too_large or end.has_lost_chunk:
            reply = replies.TOO_LARGE if end.is_too_large else replies.CHUNK_LOST
            return tuple(Outcome(one, reply.about(one.address)) for one in recipients)
        if self._fault:
            return tuple(agent.failure(one, self._fault) for one in recipients)
        try:
            message = self._message = self._message or self._new_message()
            message.finish()
            return self._services.deliver(Job(message, envelope, self._named_peer()))
        except (OSError, DeliveryError) as error:
            return tuple(agent.failure(one, kept(error)) for one in recipients)

    def _new_message(self) -> Message:
        agent, envelope, peer = self._services.agent, self._envelope, self._named_peer()
        is_binary = envelope.body is BodyType.BINARY_MIME
        return self._services.new_message(is_binary, lambda: agent.lead(envelope, peer))

    def _named_peer(self) -> Peer:
        name = self._services.name_of(self._peer.address)
        if name != self._peer.name:
            self._peer = replace(self._peer, name=name)
        return self._peer

    def _forget(self) -> None:
        """The transaction is over, or was never to be."""
        if self._message:
            self._message.close()
        self._message = self._fault = None
        self._envelope = _NO_ENVELOPE
        self._verifying = 0.0
        self._original_client = {}

    # Questions.

    def _vrfy(self, address: Address) -> Reply:
        verdict, address = self._asked(address)
        if verdict is None:
            return replies.CANNOT_VERIFY
        return (replies.VERIFIED if verdict.is_accepted else verdict.reply()).about(address)

    def _expn(self, address: Address, *, smtputf8: bool) -> Reply:
        verdict, address = self._asked(address)
        if verdict is None:
            return replies.CANNOT_VERIFY
        if not verdict.is_accepted:
            return verdict.reply().about(address)
        if len(verdict.mailboxes) > self._services.limits.members:
            return replies.CANNOT_EXPAND
        members = tuple(f"<{Address.of_mailbox(mailbox)}>" for mailbox in verdict.mailboxes)
        if not smtputf8 and not all(member.isascii() for member in members):
            return replies.NEEDS_SMTPUTF8
        try:
            return replace(replies.VERIFIED, lines=members)
        except ValueError:  # a hook's mailbox is no line, and a part of them would pass for all
            return replies.CANNOT_EXPAND

    def _asked(self, address: Address) -> tuple[Verdict | None, Address]:
        """The verdict that RCPT would give; None if the operator does not let it be asked for."""
        address = address.in_domain(self._services.default_domain)
        if not self._services.extensions.vrfy:
            return None, address
        return self._services.verifier.verify(address, RcptContext(self._peer)), address

    # The connection.

    def _start_tls(self) -> None:
        self._say(replies.TLS_READY)
        self._flush()
        self._tls = self._transport.start_tls()
        self._dialogue.tls_started()
        self._client_name = ""
        self._forget()
        refusal = self._certificate_refusal()
        if refusal:
            self._say(refusal)

    def _certificate_refusal(self) -> Reply | None:
        """What is to be said to a client whose certificate is good, but in no list."""
        client = self._tls.client if self._tls else None
        if client is None or client.is_listed:
            return None
        self._services.log.line(
            "client-not-listed",
            peer=self._peer,
            client_cert=client,
            fingerprint=client.fingerprint,
        )
        return replies.CLIENT_NOT_LISTED

    def _introducing(self, reply: Reply, *more: str) -> Reply:
        return _introduced(self._services.host, reply, more)

    def _say(self, reply: Reply) -> None:
        self._services.meter.replies[reply.code] += 1
        self._outbox += self._dialogue.send(reply)
        if len(self._outbox) >= _OUTBOX_OCTETS:
            self._flush()

    def _part(self, reply: Reply) -> None:
        """Last words, if the peer still hears."""
        try:
            self._say(reply)
            self._flush()
        except OSError as error:
            self._services.log.line("connection-lost", peer=self._peer, cause=told(error))

    def _flush(self) -> None:
        if self._outbox:
            data = bytes(self._outbox)
            self._outbox.clear()
            self._transport.sendall(data)

    def _note_cut_off(self, reply: Reply) -> None:
        self._services.log.line("cut-off", peer=self._peer, reply=reply)


@functools.lru_cache(maxsize=16)
def _introduced(host: str, reply: Reply, more: tuple[str, ...]) -> Reply:
    """The same to every client."""
    return replace(reply, lines=(f"{host} {reply.lines[0]}", *more))


_FIXED_REPLIES = {
    Data: replies.START_MAIL,
    EndOfChunk: replies.CHUNK_OK,
    Noop: replies.NOTHING_DONE,
    Help: replies.HELP,
    Quit: replies.BYE,
}
