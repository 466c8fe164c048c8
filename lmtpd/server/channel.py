"""The line between the supervisor and one worker.

The worker says that it is ready, or why it cannot be; the supervisor hands it the listening
sockets. After that the supervisor passes on the commands of lmtpd.server.control, the worker
answers them, and each notices when the other is gone.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Sequence

from .listener import MOST_LISTENERS, Listener

RETIRE = "retire"
"""To a worker whose configuration is no longer the server's: finish what you have, and go."""

_READY = b"ready"
_LONGEST = 1 << 17


class Channel:
    """One end of it."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two ends; the supervisor keeps one, the worker the other."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), cls(theirs)

    def fileno(self) -> int:
        """Becomes readable when the other end has said something, or is gone."""
        return self._end.fileno()

    def close(self) -> None:
        """Be gone."""
        self._end.close()

    def say_ready(self) -> None:
        """Worker: all that can fail at the start has succeeded.

        Raises:
            OSError: the supervisor is gone.
        """
        self._end.send(_READY)

    def say_fault(self, text: str) -> None:
        """Worker: why it cannot start; it ends then."""
        with contextlib.suppress(OSError):  # the parent is gone, and nobody wants to know
            self._end.send(text.encode()[:_LONGEST])

    def wait_until_ready(self, seconds: float) -> str | None:
        """Supervisor: None when the worker is ready; else why it is not, as far as it has said so.

        It has ended then, or takes too long.
        """
        said, end = b"", time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0:
                self._end.settimeout(left)
                heard = self._end.recv(_LONGEST)
                if heard == _READY:
                    self._end.settimeout(None)
                    return None
                said = heard or said
                if not heard:
                    break
        except OSError:
            pass  # a time-out says this too
        return said.decode(errors="replace")

    def send_listeners(self, listeners: Sequence[Listener]) -> None:
        """Supervisor: hand over the sockets to accept from, each with its owner.

        Raises:
            OSError: the worker is gone.
        """
        descriptors = array.array("i", [listener.socket.fileno() for listener in listeners])
        owners = array.array("i", [listener.owner for listener in listeners])
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
        self._end.sendmsg([owners], control)

    def receive_listeners(self) -> list[tuple[int, int]]:
        """Worker: owners and descriptors to accept from; none if the supervisor has given up."""
        descriptors, owners = array.array("i"), array.array("i")
        octets = MOST_LISTENERS * descriptors.itemsize
        # No program that a hook starts may keep our port (MSG_CMSG_CLOEXEC).
        said, control, _, _ = self._end.recvmsg(
            octets, socket.CMSG_SPACE(octets), socket.MSG_CMSG_CLOEXEC
        )
        owners.frombytes(said)
        for _, _, data in control:
            descriptors.frombytes(data)
        return list(zip(owners, descriptors, strict=True))

    def say(self, text: str) -> bool:
        """Tell the other end, and never wait; whether it is there.

        One that does not listen misses what is said once it has no room for more.
        """
        try:
            self._end.send(text.encode(), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def hear(self) -> str | None:
        """What the other end said; empty if it is gone, None if it said nothing yet."""
        try:
            return self._end.recv(_LONGEST, socket.MSG_DONTWAIT).decode(errors="replace")
        except BlockingIOError:
            return None
        except OSError:
            return ""


def announce(source: socket.socket | Channel) -> None:
    """Send this process SIGIO when there is something to read, or to accept, or the end.

    So whoever waits for signals misses nothing that is said, and needs no loop of another kind.
    """
    fcntl.fcntl(source, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(source, fcntl.F_SETFL, fcntl.fcntl(source, fcntl.F_GETFL) | os.O_ASYNC)
