"""Record: what log and figures are told of recipients, one line for each final reply.

docs/RUNNING.md has the table of the fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .delivery.agent import Outcome
from .failures import told
from .log import Log
from .meter import Meter
from .protocol.address import Address
from .protocol.envelope import Envelope, Peer
from .protocol.events import MailFrom
from .protocol.reply import Reply


class Record:
    """Of one process; sessions write it."""

    __slots__ = ("_log", "_meter")

    def __init__(self, log: Log, meter: Meter) -> None:
        """Nothing is told yet.

        Args:
            log: for people and machines.
            meter: the figures.
        """
        self._log = log
        self._meter = meter

    def no_room(self, mail: MailFrom, peer: Peer, reply: Reply) -> None:
        """There will be no transaction."""
        self._meter.happened("refused", "", peer, mail.reverse_path, "", reply)
        sender = f"<{mail.reverse_path}>"
        self._log.line("refused", peer=peer, sender=sender, size=mail.size, reply=reply)

    def refused(
        self, envelope: Envelope, peer: Peer, address: Address, reply: Reply, cause: str
    ) -> None:
        """A recipient was not taken."""
        sender = envelope.reverse_path
        self._meter.refused(address)
        self._meter.happened("refused", envelope.id, peer, sender, address, reply, cause=cause)
        self._log.line(
            "refused",
            id=envelope.id,
            peer=peer,
            sender=f"<{sender}>",
            recipient=address,
            reply=reply,
            cause=cause,
        )

    def ended(
        self,
        envelope: Envelope,
        peer: Peer,
        original_client: Mapping[str, str],
        outcomes: Iterable[Outcome],
        size: int,
        verifying: float,
        took: float,
    ) -> None:
        """A transaction has come to its final replies.

        Args:
            envelope: its recipients are those that were taken.
            peer: the client.
            original_client: what XFORWARD said of the client's own.
            outcomes: one for each recipient.
            size: of the message, in octets.
            verifying: seconds in which its recipients were verified.
            took: seconds since the final dot.
        """
        common = self._log.words(
            id=envelope.id,
            peer=peer,
            helo=envelope.client_name,
            tls=envelope.tls and envelope.tls.version,
            client_cert=envelope.tls and envelope.tls.client,
            sender=f"<{envelope.reverse_path}>",
            size=size,
            verify=verifying,
            seconds=took,
            **{f"client_{key.lower()}": text for key, text in original_client.items()},
        )
        for outcome in outcomes:
            event, recipient = _event(outcome), outcome.recipient
            self._meter.happened(
                event,
                envelope.id,
                peer,
                envelope.reverse_path,
                recipient.address,
                outcome.reply,
                size,
                took,
                outcome.cause,
            )
            self._log.line(
                event,
                common,
                recipient=recipient.address,
                mailbox=",".join(recipient.mailboxes),
                reply=outcome.reply,
                queue=max(0.0, took - outcome.seconds) if outcome.seconds else None,
                disk=outcome.seconds or None,
                file=",".join(outcome.names),
                cause=outcome.cause and told(outcome.cause),
            )


def _event(outcome: Outcome) -> str:
    if outcome.is_repetition:
        return "repeated"
    return "delivered" if outcome.reply.is_success else "failed"
