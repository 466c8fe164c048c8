"""A whole server in memory: the real session, verification and delivery, without a socket."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lmtpd import config, wiring
from lmtpd.delivery.agent import DeliveryAgent, Job, Outcome
from lmtpd.delivery.disk import Disk
from lmtpd.delivery.duplicates import Unconfirmed
from lmtpd.delivery.message import Message
from lmtpd.delivery.stuck import StuckMailboxes
from lmtpd.log import Log
from lmtpd.log.forms import FORMS
from lmtpd.log.stream import Stream
from lmtpd.meter import Meter
from lmtpd.protocol.envelope import Peer, TlsInfo
from lmtpd.recipients.verdict import Verdict
from lmtpd.services import Runtime, Services
from lmtpd.session import Session
from tests.support.dialogues import Closed, Handshake, Hear, Say, Script, check_heard

TLS = TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256)


class TextTarget(Stream):
    """Lines of the log in a text, in the place of a descriptor."""

    def __init__(self, text: io.StringIO) -> None:
        super().__init__(-1, FORMS["logfmt"])
        self._text = text

    def write(self, entries: Sequence[bytes]) -> int:
        """All of them."""
        self._text.write(b"".join(entries).decode())
        return len(entries)


Cut = Callable[[bytes], Iterator[bytes]]


def runtime(log: io.StringIO, *, is_stopping: bool = False) -> Runtime:
    """A process that does everything at once, in the calling thread."""

    def within(_: float, __: bool, function: Callable[[], Verdict | None]) -> Verdict | None:
        return function()

    def offload(function: Callable[..., Any], /, *args: object, **kwargs: object) -> Any:
        return function(*args, **kwargs)

    def delivering(
        new_agent: Callable[[], DeliveryAgent],
        _: StuckMailboxes,
    ) -> Callable[[Job], tuple[Outcome, ...]]:
        agent = new_agent()

        def deliver(job: Job) -> tuple[Outcome, ...]:
            write_out(job.message, job.message.settle)
            return agent.deliver([job])[0]

        return deliver

    def write_out(message: Message, function: Callable[[], None]) -> None:
        function()
        message.account()

    return Runtime(
        offload,
        write_out,
        delivering,
        within,
        threading.Event,
        lambda *_: None,
        lambda *_: None,
        lambda: is_stopping,
        Log(TextTarget(log)),
        Meter(),
    )


def services(
    settings: Mapping[str, str],
    log: io.StringIO,
    disk: Disk | None = None,
    *,
    is_stopping: bool = False,
) -> Services:
    """What `lmtpd.py serve` would build from these settings."""
    loaded = config.load(None, {}, dict(settings))
    return wiring.services(loaded, runtime(log, is_stopping=is_stopping), Unconfirmed(), disk)


class ScriptedTransport:
    """A client that follows a script, and says each block in the pieces that `cut` makes."""

    def __init__(self, script: Script, cut: Cut) -> None:
        self._steps = iter(script.steps)
        self._step = next(self._steps, None)
        self._cut = cut
        self._pieces: Iterator[bytes] = iter(())
        self._heard = b""
        self.all_heard = b""
        self.is_closed = False

    def recv(self, seconds: float) -> bytes:  # noqa: ARG002
        """The next piece; the client leaves when the script is at its end."""
        for piece in self._pieces:
            return piece
        self._hear()
        match self._step:
            case Say(octets):
                self._pieces = self._cut(octets)
                self._advance()
                return next(self._pieces)
            case None:
                return b""
            case other:
                raise AssertionError(f"the server waits, but the script says {other}")

    def has_input(self) -> bool:
        """It says nothing before it has heard."""
        return False

    def acknowledge_at_once(self) -> None:
        """Nothing is delayed here."""

    def sendall(self, data: bytes) -> None:
        """Keep what the server says until it is time to compare."""
        self._heard += data
        self.all_heard += data

    def start_tls(self) -> TlsInfo:
        """A handshake that succeeds; what was said in clear behind STARTTLS is gone with it."""
        self._hear()
        assert isinstance(self._step, Handshake)
        self._pieces = iter(())
        self._advance()
        return TLS

    def close(self, *, has_quit: bool) -> None:  # noqa: ARG002
        """The server ends the connection."""
        self._hear()
        self.is_closed = True
        if isinstance(self._step, Closed):
            self._advance()
        assert self._step is None, f"the server closed before {self._step}"
        assert not self._heard, f"the server said more than was due: {self._heard!r}"

    def _hear(self) -> None:
        if isinstance(self._step, Hear):
            lines = self._heard.decode().split("\r\n")
            assert lines.pop() == ""
            check_heard(self._step.patterns, lines)
            self._heard = b""
            self._advance()

    def _advance(self) -> None:
        self._step = next(self._steps, None)


def play(script: Script, built: Services, cut: Cut) -> bytes:
    """Run a whole connection by the script; gives all that the server said."""
    transport = ScriptedTransport(script, cut)
    Session(transport, Peer("127.0.0.1", 4711), built).run()
    assert transport.is_closed
    return transport.all_heard
