"""Services, Transport and Runtime: all that a session may touch, and who gives it what.

The process offers a Runtime, lmtpd.wiring makes Services of it; each connection has a Transport.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar

from .delivery.agent import DeliveryAgent, Job, Outcome
from .delivery.duplicates import Unconfirmed
from .delivery.message import Message
from .delivery.room import Room
from .delivery.stuck import StuckMailboxes
from .log import Log
from .meter import Meter
from .protocol.envelope import TlsInfo
from .protocol.extensions import Extensions
from .protocol.limits import Limits
from .recipients.chain import VerifierChain
from .recipients.memory import Memory
from .recipients.process import Deadline, Event
from .record import Record
from .trust import Resolved

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class Offload(Protocol):
    """Runs a function that may block on a real thread, and waits for its result."""

    def __call__(
        self,
        function: Callable[_Arguments, _Result],
        /,
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> _Result:
        """The function's result, or its exception."""


class Transport(Protocol):
    """A connected byte stream."""

    def recv(self, seconds: float) -> bytes:
        """Some bytes, within so many seconds; none when the peer has closed.

        Raises:
            TimeoutError: the peer said nothing for too long.
            OSError: the connection is lost.
        """

    def has_input(self) -> bool:
        """Whether the peer has said something that was not received yet."""

    def acknowledge_at_once(self) -> None:
        """Do not let a client wait that sends its next piece when the last was acknowledged."""

    def sendall(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            OSError: the connection is lost, or the peer does not read it in time.
        """

    def start_tls(self) -> TlsInfo:
        """Do the server's side of the handshake.

        Raises:
            OSError: it failed; the connection cannot be used any more.
        """

    def close(self, *, has_quit: bool) -> None:
        """End the connection, whatever state it is in; never raises.

        Args:
            has_quit: the peer says no more, so that nothing it says can be lost.
        """


@dataclass(frozen=True, slots=True)
class Services:
    """All that a session may touch."""

    host: str
    """Our own name."""
    default_domain: str
    """What a recipient without a domain gets."""
    limits: Limits
    extensions: Extensions
    verifier: VerifierChain
    memory: Memory
    """What the verifier's hooks remember; for commands, a session asks the verifier."""
    agent: DeliveryAgent
    deliver: Callable[[Job], tuple[Outcome, ...]]
    """Has the agent deliver, together with what else is ready; waits for the outcomes.

    Raises HeldUpError: it could not begin in time, and will not be delivered."""
    stuck: StuckMailboxes
    """Mailboxes where the disk does not answer."""
    unconfirmed: Unconfirmed
    """Is told whether the client has heard of an Outcome."""
    room: Room
    """Says at MAIL whether one more message can be taken."""
    new_message: Callable[[bool, Callable[[], bytes]], Message]
    """An empty message: whether it is BINARYMIME, and what gives the fields for its file."""
    new_id: Callable[[], str]
    name_of: Callable[[str], str]
    """The DNS name of a peer's address if it is known by now; never waits."""
    resolved: Callable[[str], Resolved]
    """What is known of a name in a list of trusted peers; never waits."""
    write_out: Callable[[Message, Callable[[], None]], None]
    """Has a message write to its file, and waits, but not for ever: HeldUpError."""
    log: Log
    meter: Meter
    record: Record
    """Is told what becomes of recipients."""
    is_stopping: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the process offers to those who build Services."""

    offload: Offload
    write_out: Callable[[Message, Callable[[], None]], None]
    """Has a message do something that may block; waits for it as long as a client would."""
    delivering: Callable[
        [Callable[[], DeliveryAgent], StuckMailboxes], Callable[[Job], tuple[Outcome, ...]]
    ]
    """Gives an agent its thread; where that hangs, it makes another agent and notes the mailbox.
    What is returned hands a message over and waits."""
    within: Deadline
    """Bounds the time of a hook."""
    new_event: Callable[[], Event]
    """Something that the process's kind of threads can wait for."""
    spawn: Callable[..., object]
    """Runs a function that nobody waits for."""
    repeat: Callable[[float, Callable[[], object]], object]
    """Calls a function every so many seconds, as long as the process lives."""
    is_stopping: Callable[[], bool]
    log: Log
    meter: Meter
