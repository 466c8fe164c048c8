"""A conversation in which each step is compared with the model, and memory is measured."""

from __future__ import annotations

import gc
from collections.abc import Iterable

from lmtpd.protocol.dialogue import Dialogue
from lmtpd.protocol.events import Chunk, Event, Hello
from lmtpd.protocol.extensions import Extensions
from lmtpd.protocol.limits import Limits
from lmtpd.protocol.reply import Reply
from tests.support.conversation import Conversation, lead
from tests.support.lmtp_model import LmtpModel

_OWN_WORDS = 1024
"""Octets of a reply that a dialogue holds just now; the reply is everybody's."""
_SMALL = 64
"""Memory is measured after each piece that is larger, and after so many."""


def octets_held(root: object, *shared: object) -> int:
    """Octets of all bytes and texts that an object keeps alive, but for those of `shared`."""
    seen = {id(one) for one in shared}
    found, octets = [root], 0
    while found:
        one = found.pop()
        if id(one) in seen or isinstance(one, type):
            continue
        seen.add(id(one))
        if isinstance(one, bytes | bytearray | str):
            octets += len(one)
        else:
            found += gc.get_referents(one)
    return octets


class WatchedConversation(Conversation):
    """Raises AssertionError at the first step that the model would not take."""

    def __init__(
        self,
        limits: Limits,
        extensions: Extensions,
        *,
        needs_tls: bool = False,
        kind: type[Dialogue] = Dialogue,
    ) -> None:
        super().__init__(limits, extensions, needs_tls=needs_tls, kind=kind)
        self._limits, self._extensions = limits, extensions
        self._model = LmtpModel(limits, extensions, needs_tls=needs_tls)
        self._shared = (limits, extensions, self.dialogue._parser)
        self._pieces = 0
        self._at_first = octets_held(self.dialogue, *self._shared)

    def hear(self, octets: bytes) -> tuple[Reply, ...]:
        """The same; what is left of the octets is no more than a line."""
        self._model.receive(octets)
        said = super().hear(octets)
        self._compare()
        self._pieces += 1
        if self.dialogue.is_open and (len(octets) > _SMALL or self._pieces % _SMALL == 0):
            self._measure()
        return said

    def _measure(self) -> None:
        held = octets_held(self.dialogue, *self._shared) - self._at_first
        # A line that is not whole, and what became of the last one.
        assert held <= 2 * self._limits.line_octets + _OWN_WORDS, f"{held} octets are kept"
        content = self._model.is_in_text or (self.events and isinstance(self.events[-1], Chunk))
        assert not (content and self.dialogue.has_input), "content is kept"

    def take(self, event: Event) -> None:
        """The same, compared."""
        self._model.hears(event)
        assert self.dialogue.owed == self._model.owed
        if isinstance(event, Hello):
            offers = self._extensions.starttls and not self._model.under_tls
            assert ("STARTTLS" in self.dialogue.keywords) == offers
        super().take(event)

    def say(self, reply: Reply) -> None:
        """The same, compared."""
        super().say(reply)
        self._model.says(reply)
        self._compare()

    def shake_hands(self) -> None:
        """The same, compared; nothing is left of what was said in clear."""
        super().shake_hands()
        self._model.tls_started()
        self._compare()
        assert not self.dialogue.has_input

    def _compare(self) -> None:
        dialogue, model = self.dialogue, self._model
        is_in_transaction = model.transaction is not None
        assert dialogue.owed == model.owed
        assert dialogue.is_open == model.is_open
        assert dialogue.is_in_text == model.is_in_text
        assert dialogue.is_in_transaction == is_in_transaction
        assert dialogue.is_between_transactions == (not is_in_transaction and not model.owed)


def converse(
    octets: bytes,
    sizes: Iterable[int],
    limits: Limits,
    extensions: Extensions,
    *,
    needs_tls: bool = False,
    kind: type[Dialogue] = Dialogue,
) -> WatchedConversation:
    """`lead` with a conversation that is watched."""
    conversation = WatchedConversation(limits, extensions, needs_tls=needs_tls, kind=kind)
    lead(conversation, octets, sizes)
    return conversation
